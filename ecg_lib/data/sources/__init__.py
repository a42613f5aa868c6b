"""One file per source of ECGs: a class with `NAME` and `SIGNATURE` is a cohort by being here."""
