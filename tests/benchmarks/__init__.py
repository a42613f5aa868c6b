"""Speed as ratios in one run: the library beside the plain way, `make bench`."""
