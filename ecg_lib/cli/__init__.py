"""Command-line programs: the verbs of `debiased-ecg` and the runners of the pipeline."""
