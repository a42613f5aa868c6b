"""Pretrained language models that a profile names: fetched from a package, practised in reading."""
