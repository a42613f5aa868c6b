"""Read the free text of PTB-XL's signal columns: " , I-AVF,V5;V6,  ", "VES2,alles", "v1,3"."""

from __future__ import annotations

import re

from ecg_lib.signal.leads import LEADS, canonical_name

_LEAD = r"(?:av[rlf]|v[1-6]|i{1,3}|[1-6])"
_SPAN = re.compile(rf"(?<![a-z0-9])({_LEAD})(?:\s*-+\s*({_LEAD}))?(?![a-z0-9])")
_SLIPS = str.maketrans({"!": "1", "&": "6"})  # "V!", "V&": typed with shift on a German keyboard
# A count may precede the name ("3ES"). Longest name first, because all three end in "es".
_EXTRASYSTOLE = re.compile(r"(sves|ves|es)(?![a-z])")
EXTRASYSTOLES = {
    "es": "extrasystoles",
    "ves": "ventricular extrasystoles",
    "sves": "supraventricular extrasystoles",
}


def leads_in(text: str) -> list[str]:
    """Return the leads that a note names, in the order of LEADS.

    "alle" and "alles" mean all leads. A range follows the order of LEADS ("I-V1" is seven leads).
    A bare digit continues a list of chest leads ("V1,3" and "v4-6"). A note that names no lead
    ("leicht", "stark") gives an empty list.
    """
    text = str(text).lower()
    if re.search(r"\balles?\b", text):
        return list(LEADS)
    text = re.sub(r"(?<=v)[!&]", lambda slip: slip[0].translate(_SLIPS), text)
    text = re.sub(r"(?<=v[1-6])(?=v[1-6])", ",", text)  # "V1V6"
    found: set[str] = set()
    for first, last in _SPAN.findall(text):
        if first.isdigit() and not any(lead.startswith("V") for lead in found):
            continue  # a count of beats, not a chest lead
        ends = sorted(LEADS.index(_lead(name)) for name in (first, last or first))
        found.update(LEADS[ends[0] : ends[1] + 1])
    return [lead for lead in LEADS if lead in found]


def extrasystoles_in(text: str) -> list[str]:
    """Return ECG-QA's words for the extra beats that a note lists.

    "VES,SVES1,alles", for example, lists two kinds. A note that starts with a bare count
    ("1,alles") means extrasystoles of unstated origin.
    """
    text = str(text).lower().strip()
    kinds = set(_EXTRASYSTOLE.findall(re.sub(r"\balles?\b", "", text)))
    if re.match(r"\d+(?!\d*\s*(?:s?v)?es)", text):
        kinds.add("es")
    return [name for kind, name in EXTRASYSTOLES.items() if kind in kinds]


def _lead(name: str) -> str:
    return canonical_name(f"v{name}" if name.isdigit() else name) or ""
