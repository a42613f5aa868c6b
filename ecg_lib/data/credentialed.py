"""Names for ECGs of data sets that only registered users may read, for what others may see."""

from __future__ import annotations

import re
from functools import cache

from ecg_lib.data.prepare import sources


def without_ids(text: str) -> str:
    """Return a text in which no ECG of a credentialed data set has its id.

    >>> without_ids("One ECG: mimic-iv-ecg/40689238")
    'One ECG: an ECG of mimic-iv-ecg'

    A source declares itself by `CREDENTIALED = True`.
    """
    return _ids().sub(r"an ECG of \1", text)


@cache
def _ids() -> re.Pattern:
    closed = [k.name for k in sources().values() if getattr(k, "CREDENTIALED", False)]
    return re.compile(rf"\b({'|'.join(map(re.escape, closed))})/[\w.-]+")
