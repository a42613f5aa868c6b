"""Sources of ECGs, one file each; every class here with `NAME` and `SIGNATURE` is a cohort."""
