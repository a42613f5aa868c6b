"""The ECG-LLM: encoder tokens projected into the slots of a prompt to a causal language model."""
