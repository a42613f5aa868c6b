"""Names for ECGs of data sets that only registered users may read, for what others may see."""

from __future__ import annotations

import re

from ecg_lib.data.prepare import sources


def without_ids(text: str) -> str:
    """Return a text in which no ECG of a credentialed data set has its id.

    >>> without_ids("One ECG: mimic-iv-ecg/40689238")
    'One ECG: an ECG of mimic-iv-ecg'

    A source declares itself by `CREDENTIALED = True`.
    """
    for kind in sources().values():
        if getattr(kind, "CREDENTIALED", False):
            text = re.sub(rf"\b{re.escape(kind.name)}/[\w.-]+", f"an ECG of {kind.name}", text)
    return text
