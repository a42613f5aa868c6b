"""Metrics, controls and tables by which ECG encoders and ECG-LLMs are evaluated."""
