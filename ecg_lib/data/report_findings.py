"""Read labels from the statements of an ECG report, in the words of carts and physicians.

The phrases are in label_maps.csv, English ones under `mimic_iv_ecg` and German ones under
`report_de`. This file brings a statement into the form of that table and decides whether a phrase
is denied ("no infarct", "no longer present") or doubted ("possible", "cannot rule out").
"""

from __future__ import annotations

import re
from functools import cache

from ecg_lib.data.report_infarcts import walls_before_infarct
from ecg_lib.knowledge.label_maps import Translation, label_map

_LONGEST = 2_000  # characters of a statement; reading takes time that grows with their square
DOUBTED = 50.0  # likelihood of a doubted finding
_MAPS = ("mimic_iv_ecg", "report_de")

_ABBREVIATIONS = (  # replaced before full stops end a sentence
    (r"[‐-―−]", "-"),
    (r"ß", "ss"),
    (r"\bz\. ?n\.", "zustand nach"),
    (r"\bv\. ?a\.", "verdacht auf"),
    (r"\b(unbest|vent|approx|incl|ca)\.(?= \w+)", r"\1"),
)
_FORMS = (  # other spellings of what the table holds, replaced in this order
    (r"(electro|elektro)[ck]ardiogram?m?\b|\bekg\b", "ecg"),
    (r"\bischaem|\bischäm", "ischem"),
    (r"\ba-v\b", "av"),
    (r"\b(cannot|can not|can't|could not|not|unable to|kann nicht|nicht|(?:hard|difficult) to)"
     r" (be )?(completely )?(rule[d]? out|exclude[d]?|auszuschliessen|ausgeschlossen( werden)?)",
     "~doubtful~"),
    # neither a denial of what follows nor of what stands before
    (r"\bno (further|significant|other|definite|previous|prior|major|rhythm|comparison|new)?"
     r"( (further|significant|interval|rhythm|previous|prior|qrs|st|st-t))*"
     r" ?(analysis|interpretation|comparison|changes?|ecgs?|tracings?|measurements?)\b", "~"),
    # the verdict on the whole ECG
    (r"^((the|this) )?(ecg |tracing |recording |study )?(is |was )?"
     r"((probably|essentially|entirely|completely) )?(with)?in normal limits", r"\4\6 normal ecg"),
    (r"\b(ecg|tracing|recording) (is |appears |was )?(essentially |entirely |completely )?normal\b",
     "normal ecg"),
    (r"\bnormal (tracing|recording|study|12[- ]lead ecg|(pa?ediatric|adult|resting) ecg)\b",
     "normal ecg"),
    (r"\b(otherwise|borderline|near|nearly|almost|sonst|grenzwertig(es)?) (a )?normal(es)? ecg",
     "~lesser~"),
    (r"\bnormal(es)? ecg[\s,:;(-]+((?:rate )?except(?:ed|ing)?|apart from|aside from|other than|"
     r"but for|save for|with the exception|bis auf|ausser|abgesehen)", "~lesser~"),
)  # fmt: skip

# Where denial and doubt end: a clause, or a cause ("no analysis due to paced rhythm").
_CAUSE = (
    r"\b(?:due to|because of|because|owing to|secondary to|caused by|as a result of|"
    r"on account of|in the presence of|in view of|wegen|aufgrund|bei)\b"
)
_TURN = r"\b(?:but|however|although|though|with|mit|aber)\b"
_CLAUSE = r"[,;:#]| - |--"
_END_OF_DENIAL = re.compile(rf"{_CLAUSE.replace('#', '')}|{_CAUSE}|{_TURN}")
_END_OF_DOUBT = re.compile(rf"{_CLAUSE.replace('#', '')}|{_TURN}")
_END_AFTER = re.compile(rf"{_CLAUSE}|{_TURN}")
_SENTENCE = re.compile(r"\.(?:\s+(?!grad)|$)|;(?!\s*except)|\s*\*{2,}\s*|\n")

_DENIED_BEFORE = re.compile(
    r"\b(?:no|not|without|absent|absence of|no longer|never|negative for|free of|excludes?|"
    r"ruled out|rather than|instead of|replac(?:ed|es|ing)(?! by)|kein\w*|ohne|nicht|ausschluss|"
    r"(?:previous|prior|last) (?:ecg|tracing) (?:had|showed|was|shows|with)|n?either|nor)\b"
)
_DENIED_AFTER = re.compile(
    r"\b(?:no longer|(?:is|are|was|were) (?:not|absent|gone)|not (?:present|seen|evident|detected|"
    r"found|identified|apparent|visible)|(?:is|are|was|were|been|be|s)? ?ruled out|excluded|"
    r"(?:has|have|had) (?:resolved|disappeared|been replaced)|replaced by|nicht (?:mehr|nach)\w*|"
    r"ausgeschlossen|(?:has|have) cleared|absent)\b"
)
_DOUBTED_BEFORE = re.compile(
    r"~doubtful~|\b(?:possibl[ey]|probabl[ey]|consider(?:ed)?|suggest(?:s|ed|ing|ive)?|"
    r"suspect(?:ed|s)?|suspicious|suspicion|questionable|borderline|equivocal|likely|presum\w+|"
    r"rule out|r/o|(?:may|might|could) (?:be|mask|represent|indicate|reflect|have|suggest)|"
    r"verdacht|möglich\w*|moeglich\w*|wahrscheinlich\w*|vermutlich\w*|fraglich\w*|"
    r"grenzwertig\w*)\b|\?\s*$"
)
_DOUBTED_AFTER = re.compile(
    r"^[^#]*~doubtful~|^[\s.]*(?:(?:is|are|was|were|remains?) )?(?:possible|suspected|questionable|"
    r"likely|equivocal|doubtful|möglich|moeglich|mögl|vermutet|fraglich|"
    r"(?:should|must|may) be considered|or artifacts?|or artefacts?)\b|^ ?\?"
)


def read_findings(statements: list[str]) -> Translation:
    """Read labels from the statements of a report.

    Longer phrases are matched first and use up their words, so "incomplete right bundle branch
    block" is not also a "right bundle branch block". A denied finding is left out, as is one that
    is no longer present or was replaced. A doubted one ("possible", "cannot rule out") has
    likelihood 50; doubt about an infarct's age ("possibly acute") is no doubt about the infarct.

    Returns
    -------
    Translation
        `unread` holds the statements in which no phrase of the table occurs, or that are too long.
    """
    found = Translation()
    for statement in statements:
        read = sentences(statement) if len(statement) <= _LONGEST else []
        known = [_read_sentence(sentence, found) for sentence in read]
        if not any(known):
            found.unread.append(statement)
    return found


def sentences(statement: str) -> list[str]:
    """Return the sentences of a statement, in the spelling of the table of phrases."""
    text = " ".join(statement.lower().split())
    for old, new in _ABBREVIATIONS:
        text = re.sub(old, new, text)
    return [_canonical(part) for part in _SENTENCE.split(text) if part.strip(" .-*<>")]


def _canonical(text: str) -> str:
    text = text.strip(" .-*<>")
    for old, new in _FORMS:
        text = re.sub(old, new, text)
    return walls_before_infarct(text)


@cache
def _phrases() -> dict[str, list[tuple[str, str]]]:
    """Return all phrases with their meanings, the longest first."""
    meanings = {p: m for name in _MAPS for p, m in label_map(name).items()}
    return {phrase: meanings[phrase] for phrase in sorted(meanings, key=len, reverse=True)}


def _read_sentence(text: str, found: Translation) -> bool:
    """Add what a sentence states, and return whether it holds any known phrase."""
    known = "~" in text
    for phrase, meanings in _phrases().items():
        if phrase not in text:  # a fast test; the pattern below decides
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", text):
            known = True
            before, after = text[: match.start()], text[match.end() :]
            text = before + "#" * len(match[0]) + after
            if any(map(any, meanings)) and not _denied(before, after):
                found.add(meanings, phrase, DOUBTED if _doubted(before, after) else 100.0)
    return known


def _denied(before: str, after: str) -> bool:
    before = _END_OF_DENIAL.split(before)[-1]
    after = _END_AFTER.split(_joined(after))[0]
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.search(after))


def _doubted(before: str, after: str) -> bool:
    before = _END_OF_DOUBT.split(before)[-1]
    return bool(
        _DOUBTED_BEFORE.search(before) or _DOUBTED_AFTER.search(_END_OF_DOUBT.split(after)[0])
    )


def _joined(after: str) -> str:
    """Drop findings that "and" or "or" adds, for what is said of the last holds for all."""
    return re.sub(r"^(\s*(?:and|or|/|,)\s*\w*\s*#+)+", "", after)
