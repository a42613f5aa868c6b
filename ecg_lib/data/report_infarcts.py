"""Bring the many wordings of an infarct and its wall into one: "inferolateral infarct"."""

from __future__ import annotations

import re

# Stems of the walls, also inside joined words such as "anteroseptal".
_WALLS = {
    "anterior": "anter",
    "septal": "sept",
    "lateral": "later",
    "inferior": "infer|diaphragmatic",
    "posterior": "poster",
    "apical": "api[ck]al",
}
_JOINED = {
    frozenset({"anterior", "septal"}): "anteroseptal",
    frozenset({"anterior", "lateral"}): "anterolateral",
    frozenset({"inferior", "lateral"}): "inferolateral",
    frozenset({"inferior", "posterior"}): "inferoposterior",
    frozenset({"inferior", "posterior", "lateral"}): "inferoposterolateral",
}
_STEM = r"(?:(?:antero|infero|postero|latero|septo)(?: ?- ?| )?|hoch|high )"
_ONE = (
    rf"{_STEM}*(?:anterior|septal|lateral|inferior|posterior|api[ck]al|diaphragmatic)(?:e[rnsm]?)?"
)
_SEVERAL = re.compile(rf"\b{_ONE}(?:\s?[-/]\s?{_ONE})*\b")
_GERMAN_WALL = re.compile(r"\b(vorder|hinter|seiten)wand[\s-]?(?=infar[ck]t|ischem|schaden)")
_GERMAN = {"vorder": "anterior ", "hinter": "inferior ", "seiten": "lateral "}
_INFARCT = re.compile(
    r"\b(?:(?:non[- ])?st[- ]elevation )?(?:(?:myocardial|myokard|herz)[\s-]?)?"
    r"infar(?:ct|cts|ction|ctions|kt|kts|ktes|kte|kten)\b|"
    r"\bn?stemi\b|\b(?:(?:non[- ])?st[- ]elevation )?mis?\b"
)
_BETWEEN = (
    r"(?:(?:wall|leads?|acute|old|recent|remote|prior|previous|subacute|chronic|evolving|healed|"
    r"myocardial|transmural|q[- ]wave|st[- ]elevation|alter|alte[rnsm]?|akute[rnsm]?|frische[rnsm]?"
    r"|abgelaufene[rnsm]?|with)\s+)"
)
_WALL = (
    r"(?:inferoposterolateral|anteroseptal|anterolateral|inferolateral|inferoposterior|anterior|"
    r"septal|lateral|inferior|posterior|apical)"
)
_GAP = re.compile(rf"\b({_WALL}) {_BETWEEN}+infarct\b")
_LISTED = re.compile(
    rf"(?<!in )(?<!the )\b({_WALL})( (?:and|or|und|oder|&) {_BETWEEN}*{_WALL} infarct)\b"
)
_INJURY = re.compile(rf"\b({_WALL}) (injury|ischemia) (or|and|/) {_BETWEEN}*infarct\b")
_BEHIND = re.compile(
    rf"(?<!\w )\binfarct(?:,? | - )(?:(?:of|in|involving|at) )?(?:the )?({_WALL})"
    rf"(?: (?:wall|leads?))?\b(?! infarct)|"
    rf"\binfarct (?:of|in|involving) (?:the )?({_WALL})(?: (?:wall|leads?))?\b"
)


def walls_before_infarct(text: str) -> str:
    """Rewrite a sentence so that each infarct stands directly behind its wall.

    Parameters
    ----------
    text : str
        A sentence in lower case.

    Returns
    -------
    str
        E.g. "old inferior infarct" for "infarction, inferior wall", and "septal infarct and
        inferior infarct" for "septal and inferior MI".
    """
    text = _GERMAN_WALL.sub(lambda found: _GERMAN[found[1]], text)
    text = _INFARCT.sub("infarct", text)
    text = _SEVERAL.sub(lambda found: _wall_of(found[0]), text)
    text = _GAP.sub(r"\1 infarct", text)
    text = _INJURY.sub(r"\1 \2 \3 \1 infarct", text)
    while (longer := _LISTED.sub(r"\1 infarct\2", text)) != text:
        text = longer
    return _BEHIND.sub(lambda found: f"{found[1] or found[2]} infarct", text)


def _wall_of(words: str) -> str:
    """Return one word for a wall, or for walls that a hyphen, a slash or a vowel joins."""
    named = {wall for wall, stem in _WALLS.items() if re.search(stem, words)}
    if len(named) == 1:
        return next(iter(named))
    return _JOINED.get(frozenset(named), words)
