"""Pretraining objectives of the ECG encoder, each found by the name of its file."""
