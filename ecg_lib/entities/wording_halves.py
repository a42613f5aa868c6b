"""Test a lexicon on wordings that it does not know.

A lexicon made of the simulator's wordings would read the simulator's reports without a fault. Each
code's wordings are therefore split in two: the lexicon knows one half, and reports are written in
either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ecg_lib.data.simulated.cohort import draw_patient
from ecg_lib.data.simulated.simulator_tables import phrases
from ecg_lib.data.simulated.told_report import ToldReport, tell
from ecg_lib.entities.entity_labels import lexicon_entities
from ecg_lib.entities.entity_set import EntitySet
from ecg_lib.entities.lexicon import Lexicon, shipped_lexicon
from ecg_lib.entities.mention import Mention, Miner
from ecg_lib.entities.mining_scores import as_row, told_scores
from ecg_lib.entities.polarity import polarity_rules
from ecg_lib.knowledge.findings import name_of

Wordings = Mapping[str, Sequence[str]]  # code -> wordings
_SLOT = re.compile(r",? in \{leads\}|\{stage\} ")


class Substring:
    """A miner that takes every wording found anywhere in a report as asserted."""

    def __init__(self, wordings: Mapping[str, Sequence[str]]):
        self._wordings = wordings

    def mine(self, reports: Sequence[str]) -> list[list[Mention]]:
        """Return the mentions in each report."""
        return [
            [Mention(name, w) for w, names in self._wordings.items() if w in low for name in names]
            for low in map(str.lower, reports)
        ]


def halves(seed: int = 0) -> tuple[Wordings, Wordings]:
    """Split the simulator's wordings of each code at random; of three the first half gets two."""
    rng, table = np.random.default_rng(seed), phrases()["findings"]
    first, second = {}, {}
    for code, wordings in table.items():
        mixed = [wordings[k] for k in rng.permutation(len(wordings))]
        cut = (len(mixed) + 1) // 2
        first[code], second[code] = mixed[:cut], mixed[cut:] or mixed[:cut]
    return first, second


def as_lexicon(wordings: Wordings) -> dict[str, tuple[str, ...]]:
    """Turn wordings by code into those of a lexicon, without the leads and an infarct's stage."""
    return {
        _SLOT.sub("", wording): (name_of(code),)
        for code, own in wordings.items()
        for wording in own
    }


def told_reports(patients: int, seed: int, findings: Wordings | None = None) -> list[ToldReport]:
    """Write one report for each of some simulated patients and tell what it says."""
    told = []
    for number in range(patients):
        rng = np.random.default_rng([seed, number])
        draft = draw_patient(rng, 1)[0]
        told.append(tell(rng, draft.labels, draft.attributes, findings))
    return told


def mining_table(
    patients: int = 2000, seed: int = 0, others: Mapping[str, tuple[Miner, EntitySet]] | None = None
) -> pd.DataFrame:
    """Score miners on simulated reports by the half of the wordings.

    Parameters
    ----------
    patients : int
        Reports per half.
    seed : int
        Of the halves and the patients.
    others : mapping, optional
        More miners with their entities, such as a language model's.

    Returns
    -------
    DataFrame
        Columns `miner`, `wordings` and those of `MiningScores`. Wordings are "known" or "unknown"
        to lexicons of one half, averaged over which half it is, and "all" for miners that know the
        tables of the library or no table.
    """
    parts, codes, rules = halves(seed), list(phrases()["findings"]), polarity_rules()
    entities = EntitySet.of(map(name_of, codes))
    build: dict[str, Callable[[Mapping], Miner]] = {
        "lexicon of one half": partial(Lexicon, rules=rules),
        "without negation": partial(Lexicon, rules=None),
        "substring": Substring,
    }
    rows = []
    reports = [told_reports(patients, seed, part) for part in parts]
    for name, builder in build.items():
        for knows in (0, 1):
            miner = builder(as_lexicon(parts[knows]))
            for told in (0, 1):
                row = as_row(told_scores(miner, entities, reports[told], codes))
                words = "known" if knows == told else "unknown"
                rows.append({"miner": name, "wordings": words, **row})
    table = pd.DataFrame(rows).groupby(["miner", "wordings"], sort=False).mean().reset_index()
    whole = told_reports(patients, seed)
    shipped = lexicon_entities()
    miners: dict[str, tuple[Miner, EntitySet]] = {
        "shipped lexicon": (shipped_lexicon(), shipped),
        "shipped, without negation": (shipped_lexicon(rules=False), shipped),
        **(others or {}),
    }
    for name, (miner, own) in miners.items():
        row = as_row(told_scores(miner, own, whole, codes))
        table = pd.concat([table, pd.DataFrame([{"miner": name, "wordings": "all", **row}])])
    return table.reset_index(drop=True)
