"""Leads, sampling rate, amplitude, quality and intervals of ECG signals."""
