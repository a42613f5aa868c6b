"""PTB-XL's reports in one language and without what gives its labels away.

About 61 % of them are German, 34 % English, 5 % Swedish, in few phrases. The phrases are a table,
`report_words.csv`, for a reader of these languages to amend; words it lacks stay as they are.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pandas as pd

from ecg_lib.errors import DataError

TABLE = Path(__file__).resolve().parent.parent / "knowledge" / "report_words.csv"
# Labels written behind the text ("edit: NORM 100", "consensus label derived from: {...}") and what
# says nothing about the heart: the machine's "4.46 unbestätigter bericht", often cut off.
_BEHIND = re.compile(
    r"(?:edit:|consensus\s*label).*|\b4\.46\b.*|trace only requested\.?", re.IGNORECASE | re.DOTALL
)
_LABELS = re.compile(r"edit:|consensus\s*label", re.IGNORECASE)
_STRAY = re.compile(r"[^\w\s&()/.,+-]|ó\W|(?<!\w)[.,-]|[.,](?!\w)")


@cache
def phrases() -> dict[str, str]:
    """Phrase in German or Swedish -> English, lower case."""
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
    """Whether a report has labels in code written behind it."""
    return bool(_LABELS.search(report))


def plain_text(report: str) -> str:
    """A report without labels and machine remarks, in lower-case English, single spaces.

    Points and commas between words go: German reports of PTB-XL have none.
    """
    text = " ".join(_BEHIND.sub(" ", report.lower()).split())
    text = _pattern().sub(lambda found: phrases()[found[0]], text)
    return " ".join(_STRAY.sub(" ", text).split())
