"""Write a simulated report and tell what it says: which findings it asserts, doubts and denies.

`tell` draws as `reports.write_report` does and, from the same random numbers, writes the same text
byte for byte; a test holds the two together. It stands beside it because stores and models are kept
under the code of `write_report`, and because it can be given other wordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from ecg_lib.data.simulated.simulator_tables import phrases
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, is_certain

T = TypeVar("T")
DENIALS = "denials.yaml"


@dataclass(frozen=True)
class ToldReport:
    """A report and what it says.

    Attributes
    ----------
    text : str
    asserted, doubted : dict of str to str
        Code -> the wording in phrases.yaml that was chosen.
    denied : tuple of str
        Codes.
    """

    text: str
    asserted: Mapping[str, str]
    doubted: Mapping[str, str]
    denied: tuple[str, ...]


def tell(
    rng: np.random.Generator,
    labels: Mapping[str, float],
    attributes: Mapping[str, Any],
    findings: Mapping[str, Sequence[str]] | None = None,
) -> ToldReport:
    """Write a report and tell what it says.

    Parameters
    ----------
    rng, labels, attributes
        As for `write_report`, which returns the same text.
    findings : mapping of str to sequence of str, optional
        Wordings by code in place of those in phrases.yaml.
    """
    table = phrases()
    odds, wordings = table["say"], findings or table["findings"]
    u = iter(rng.random(3 * len(labels) + 24).tolist())

    def pick(choices: Sequence[T]) -> T:
        return choices[int(next(u) * len(choices))]

    stage = attributes.get("infarction_stage", "unknown").split()[0]
    first: list[str] = []
    others: list[str] = []
    asserted: dict[str, str] = {}
    doubted: dict[str, str] = {}
    for code, likelihood in labels.items():
        if next(u) > odds["finding"] and len(labels) > 2:
            continue
        wording = text = pick(wordings[code])
        if "{leads}" in text:
            text = text.format(leads=_leads(attributes.get("form_leads", {}).get(code, [])))
        elif "{stage}" in text:
            text = text.format(stage=pick(table["stage"][stage]))
        sure = is_certain(likelihood) or code == "NORM"
        text = text if sure else pick(table["uncertain"]).format(text)
        (asserted if sure else doubted)[code] = wording
        (first if code in table["rhythm_first"] else others).append(text)
    axis = attributes["heart_axis"]
    if next(u) < odds["normal_axis" if axis.startswith("normal") else "axis"]:
        first.append(pick(table["axis"][axis]))
    sentences = first + others
    negation = pick(table["negations"])
    denied: tuple[str, ...] = ()
    if next(u) < odds["negation"] and not set(negation["none_of"]) & set(labels):
        sentences.append(pick(negation["say"]))
        denied = denials()[sentences[-1]]
    for kind, leads in attributes.get("noise", {}).items():
        if next(u) < odds["noise"]:
            sentences.append(pick(table["noise"][kind]).format(leads=_leads(leads)))
    style = pick(table["styles"])
    return ToldReport(style["separator"].join(sentences) + style["end"], asserted, doubted, denied)


@cache
def denials() -> dict[str, tuple[str, ...]]:
    """Read which findings each negative sentence denies.

    Raises
    ------
    DataError
        A sentence of phrases.yaml is missing, or a code is not in findings.csv.
    """
    text = (Path(__file__).parent / DENIALS).read_text(encoding="utf-8")
    table = {sentence: tuple(codes) for sentence, codes in yaml.safe_load(text).items()}
    said = {sentence for negation in phrases()["negations"] for sentence in negation["say"]}
    if said != set(table):
        odd = min(said ^ set(table))
        raise DataError(
            f"{DENIALS}: {odd!r} must stand there and in phrases.yaml; add or remove it"
        )
    for sentence, codes in table.items():
        if unknown := set(codes) - set(FINDINGS.index):
            raise DataError(
                f"{DENIALS}: {sentence}: code {min(unknown)!r} is not in findings.csv; "
                "use one that is"
            )
    return table


def _leads(leads: Sequence[str]) -> str:
    return "all leads" if len(leads) == 12 else ", ".join(lead.lower() for lead in leads)
