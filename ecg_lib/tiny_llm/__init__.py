"""The stand-in for LLaMA-2: a tiny Llama that learns to read written ECG reports.

:func:`ecg_lib.tiny_llm.pretrain.pretrain` is the one function that other rooms need.
"""
