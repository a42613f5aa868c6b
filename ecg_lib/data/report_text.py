"""Translate PTB-XL's reports into English and remove text that gives the labels away.

About 61 % of the reports are German, 34 % English and 5 % Swedish, and they use few phrases. These
are in a table, `report_words.csv`, which a reader of these languages can amend. Words that are not
in the table are left as they are.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pandas as pd

from ecg_lib.errors import DataError

TABLE = Path(__file__).resolve().parent.parent / "knowledge" / "report_words.csv"
# Labels appended to the text ("edit: NORM 100", "consensus label derived from: {...}"), and text
# that says nothing about the heart: the machine's "4.46 unbestätigter bericht", often cut off.
_BEHIND = re.compile(
    r"(?:edit:|consensus\s*label).*|\b4\.46\b.*|trace only requested\.?", re.IGNORECASE | re.DOTALL
)
_LABELS = re.compile(r"edit:|consensus\s*label", re.IGNORECASE)
_STRAY = re.compile(r"[^\w\s&()/.,+-]|ó\W|(?<!\w)[.,-]|[.,](?!\w)")


@cache
def phrases() -> dict[str, str]:
    """Return the German and Swedish phrases with their English translations, in lower case.

    Raises
    ------
    DataError
        The table lists a phrase twice.
    """
    table = pd.read_csv(TABLE, dtype=str, keep_default_na=False)
    twice = table[table["words"].duplicated()]
    if len(twice):
        raise DataError(f"{TABLE.name}: {twice['words'].iloc[0]!r} occurs twice; keep one row")
    return dict(zip(table["words"], table["english"], strict=True))


@cache
def _pattern() -> re.Pattern:
    longest_first = sorted(phrases(), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")


def states_labels(report: str) -> bool:
    """Return whether labels are appended to a report as codes."""
    return bool(_LABELS.search(report))


def plain_text(report: str) -> str:
    """Return a report in lower-case English, without labels and machine remarks.

    Full stops and commas between words are removed, because PTB-XL's German reports have none.
    White space is reduced to single spaces.
    """
    text = " ".join(_BEHIND.sub(" ", report.lower()).split())
    text = _pattern().sub(lambda found: phrases()[found[0]], text)
    return " ".join(_STRAY.sub(" ", text).split())
