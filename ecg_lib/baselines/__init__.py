"""Baselines: readers that see only the question or tags, and a fusion classifier."""
