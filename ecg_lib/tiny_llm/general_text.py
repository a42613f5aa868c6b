"""Plain sentences about ECGs for pretraining the tiny language model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import yaml

from ecg_lib.errors import DataError

_FILE = Path(__file__).parent / "texts" / "general_text.yaml"


@lru_cache(maxsize=1)
def load_general_text() -> tuple[str, ...]:
    """Load the plain sentences for pretraining the tiny language model.

    Raises
    ------
    DataError
        A sentence is empty or occurs twice.
    """
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    sentences = tuple(content["sentences"])
    for sentence in sentences:
        if not isinstance(sentence, str) or not sentence.strip() or sentences.count(sentence) > 1:
            raise DataError(f"general_text.yaml: {sentence!r} is empty or occurs twice; remove it")
    return sentences
