"""The stand-in for LLaMA-2: a tiny Llama that learns to read written ECG reports.

The entry point is :func:`ecg_lib.tiny_llm.pretrain.pretrain`.
"""
