"""Building blocks that several pretraining objectives share."""
