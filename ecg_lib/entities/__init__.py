"""Entities mined from reports: what each report says is there, as labels for pre-training."""
