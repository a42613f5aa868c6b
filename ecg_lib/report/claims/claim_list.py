"""The paper's claims, the cells of our tables that test each, and the rule that judges it.

To add a claim, add a `Claim` below: a sentence, its place in the paper, a function that finds our
numbers, a rule from `verdicts.py`, and the published numbers if there are any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from ecg_lib.arm_table import ARMS
from ecg_lib.config import Config
from ecg_lib.paths import PAPER_RESULTS
from ecg_lib.report.claims import verdicts
from ecg_lib.report.claims.verdicts import Number, Rule, minus
from ecg_lib.report.reference import MODEL, QUESTION_TYPES, arm, paper_table
from ecg_lib.report.tables import read_table

# Row names in Table 3 (besides the ECG-LLM) and in the tables of differences.
FUSION, TAGGER, BLIND = "fusion classifier", "tags + LLM", "ECG-LLM, ECG tokens zeroed"
MAJORITY, WORDS = "majority answer", "question words"
DEBIASED, CONTROL, PLAIN = (ARMS[key].title for key in ("de-biased", "control", "none"))
_TAGGED_PAPER = "SE-WRN + gpt4"


@dataclass(frozen=True)
class Setting:
    """Properties of a profile that decide whether a claim can be tested at all."""

    built: bool = False  # questions are built from labels, with the bias that a parameter sets
    llama: bool = True  # the language model is the paper's
    unseen: bool = True  # some zero-shot data set was not used in training
    seen: tuple[str, ...] = ()  # titles of the zero-shot data sets that were used in training

    @classmethod
    def of(cls, config: Config) -> Setting:
        """Derive the setting from a profile's configuration."""
        trained = {config.data.pretraining.source, config.data.questions.source}
        titles = {c.title: c.source in trained for c in config.data.zero_shot}
        return cls(
            config.questions.built,
            "llama-2-7b" in (config.llm.name_or_path or "").lower(),
            not all(titles.values()),
            tuple(t for t, known in titles.items() if known),
        )


class Tables:
    """Our numbers for one profile, and the published ones."""

    def __init__(self, folder: Path, published: Path = PAPER_RESULTS, seen: Sequence[str] = ()):
        self.folder, self.published, self.seen = Path(folder), published, seen
        self._read: dict[str, pd.DataFrame] = {}

    def frame(self, table: str) -> pd.DataFrame:
        """Return our tidy rows of a table, or an empty frame if the profile has no such table."""
        if table not in self._read:
            path = self.folder / f"{table}.csv"
            frame = read_table(path) if path.is_file() else pd.DataFrame()
            self._read[table] = frame[frame["source"] == "ours"] if len(frame) else frame
        return self._read[table]

    def ours(self, table: str, row: str, *columns: str) -> list[Number]:
        """Return our cells of a row; those that do not exist are left out."""
        return _numbers(self.frame(table), row, columns)

    def paper(self, table: str, row: str, *columns: str) -> list[Number]:
        """Return the published cells of a row."""
        return _numbers(paper_table(table, self.published), row, columns)


def _numbers(frame: pd.DataFrame, row: str, columns: Sequence[str]) -> list[Number]:
    if frame.empty:
        return []
    cells = frame[frame["row"] == row].set_index("column")
    found = []
    for column in columns:
        if column in cells.index:
            numbers = cells.loc[column, ["value", "ci_low", "ci_high", "n"]]
            value, low, high, n = numbers.astype(float)
            table = cells.loc[column, "table"]
            found.append(Number(column, value, low, high, n, table, row, column))
    return found


Find = Callable[[Tables], list[Number]]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper or, if `place` is "ours", one that the paper's claims depend on."""

    key: str
    statement: str
    place: str
    ours: Find
    rule: Rule | None  # None: compare with the published numbers (`verdicts.contains`)
    paper: Find = lambda tables: []
    needs: str = ""  # field of Setting that must equal `wanted`
    wanted: bool = True
    otherwise: str = ""  # why the claim cannot be tested if `needs` or `provided` is not met
    provided: Find | None = None  # numbers that must be above zero for the claim to mean anything


def _row(table: str, row: str, *columns: str) -> Find:
    return lambda tables: tables.ours(table, row, *columns)


def _apart(table: str, first: tuple[str, str], second: tuple[str, str], name: str) -> Find:
    """Make a function that finds the difference of two cells (row, column) as one number."""

    def find(tables: Tables) -> list[Number]:
        a, b = tables.ours(table, *first), tables.ours(table, *second)
        return [minus(a[0], b[0], name)] if a and b else []

    return find


def _paper_difference(table: str, first: str, second: str, *columns: str) -> Find:
    def find(tables: Tables) -> list[Number]:
        other = {n.column: n for n in tables.paper(table, second, *columns)}
        return [
            _point(n, n.value - other[n.column].value, f"{first} - {second}")
            for n in tables.paper(table, first, *columns)
            if n.column in other
        ]

    return find


def _point(number: Number, value: float, row: str) -> Number:
    return replace(number, value=round(value, 6), low=math.nan, high=math.nan, row=row)


def _drop(name: str) -> Find:
    debiased = name == DEBIASED
    return _paper_difference("table5", arm(debiased, False), arm(debiased, True), "average")


def _paper_drops_apart(tables: Tables) -> list[Number]:
    first, second = _drop(DEBIASED)(tables)[0], _drop(PLAIN)(tables)[0]
    return [_point(first, first.value - second.value, "drop of drops")]


def _paper_shares(tables: Tables) -> list[Number]:
    """Average Table 1's shares of normal ECGs over its broad and over its specific questions."""
    means = paper_table("table1", tables.published).groupby("column")["value"].mean()
    return [
        Number(f"{kind} (mean)", round(value, 1), table="table1_bias", row="mean", column=kind)
        for kind, value in means.items()
    ]


def _zero_shot(tables: Tables) -> dict[tuple[str, str, str], Number]:
    """Return the cells of Table 4 by method, data set and label."""
    cells = {}
    for row in tables.frame("table4_zero_shot").itertuples():
        method, _, title = row.row.partition(", ")
        cells[method, title, row.column] = Number(
            f"{title}: {row.column}",
            row.value,
            row.ci_low,
            row.ci_high,
            row.n,
            row.table,
            row.row,
            row.column,
            least=1,
        )  # n counts ECGs with the label; with too few, the cell has no value
    return cells


def _llm_minus_clip(tables: Tables) -> list[Number]:
    cells = _zero_shot(tables)
    return [
        minus(cell, cells["CLIP", title, label], cell.name)
        for (method, title, label), cell in cells.items()
        if method == MODEL and ("CLIP", title, label) in cells
    ]


def _paper_llm_minus_clip(tables: Tables) -> list[Number]:
    frame = paper_table("table4", tables.published)
    titles = [r.partition(", ")[2] for r in dict.fromkeys(frame["row"]) if r.startswith(MODEL)]
    return [
        number
        for title in titles
        for number in _paper_difference(
            "table4", f"{MODEL}, {title}", f"CLIP, {title}", *dict.fromkeys(frame["column"])
        )(tables)
    ]


def _above_chance(tables: Tables) -> list[Number]:
    chance = 50.0
    return [
        replace(n, value=n.value - chance, low=n.low - chance, high=n.high - chance)
        for (method, title, _), n in _zero_shot(tables).items()
        if method == MODEL and title not in tables.seen
    ]


_QA, _RET = "ecgqa_differences", "random_ecg_differences"
_AS_BUILT = "the questions were built with this dependence (questions.world)"

CLAIMS = (
    Claim(
        "confounding",
        "Broad questions are asked about normal ECGs, specific ones about abnormal ones",
        "Table 1",
        _apart(
            "table1_bias",
            ("all broad questions", "broad"),
            ("all specific questions", "specific"),
            "normal ECGs, broad - specific",
        ),
        verdicts.above_zero,
        _paper_shares,
        "built",
        False,
        _AS_BUILT,
    ),
    Claim(
        "wording",
        "A reader of the question alone fails when test wordings differ",
        "Introduction",
        _apart(
            "question_only",
            ("words, valid", "S-Verify"),
            ("words, dev", "S-Verify"),
            "known - new wordings, S-Verify",
        ),
        verdicts.above_zero,
    ),
    Claim(
        "severity removed",
        "Pairing yes with no removes the influence of severity",
        "Method",
        _apart(
            "debias_audit",
            ("broad, pairs", "normal"),
            ("specific, pairs", "normal"),
            "normal ECGs among pairs, broad - specific",
        ),
        verdicts.near_zero,
    ),
    Claim(
        "classifiers",
        "The ECG-LLM beats a classifier that knows all answers, for most question types",
        "Table 3",
        _row(_QA, f"{MODEL} - {FUSION}", *QUESTION_TYPES),
        verdicts.most_above_zero,
        _paper_difference("table3", MODEL, "Fusion Transf.", *QUESTION_TYPES),
    ),
    Claim(
        "tags",
        "ECG embeddings tell the LLM more than tags in words, for most question types",
        "Figure 1, Table 3",
        _row(_QA, f"{MODEL} - {TAGGER}", *QUESTION_TYPES),
        verdicts.most_above_zero,
        _paper_difference("table3", MODEL, _TAGGED_PAPER, *QUESTION_TYPES),
    ),
    Claim(
        "two ECGs",
        "The ECG-LLM compares two ECGs (better than the majority answer)",
        "Table 3",
        _row(_QA, f"{MODEL} - {MAJORITY}", "CC-Verify", "CI-Verify"),
        verdicts.above_zero,
    ),
    Claim(
        "sees",
        "The ECG-LLM does better with the ECG than without (tokens zeroed)",
        "ours",
        _row(_QA, f"{MODEL} - {BLIND}", "all"),
        verdicts.above_zero,
    ),
    Claim(
        "published level",
        "The published accuracies of Table 3 are reproduced",
        "Table 3",
        _row("table3_ecgqa", MODEL, *QUESTION_TYPES),
        None,
        lambda tables: tables.paper("table3", MODEL, *QUESTION_TYPES),
        "llama",
        True,
        "another language model than the paper's",
    ),
    Claim(
        "ablation",
        "De-biased pre-training improves accuracy",
        "Table 5",
        _row(_RET, f"{DEBIASED} - {PLAIN}, original ECG", "average"),
        verdicts.above_zero,
        _paper_difference("table5", arm(True, False), arm(False, False), "average"),
    ),
    Claim(
        "pairs, not budget",
        "The gain comes from the pairs, not from longer training",
        "ours",
        _row(_RET, f"{DEBIASED} - {CONTROL}, original ECG", "average"),
        verdicts.above_zero,
    ),
    Claim(
        "random ECG",
        "The de-biased model loses accuracy with a random ECG",
        "Table 5",
        _row(_RET, f"{DEBIASED}, drop", "average"),
        verdicts.above_zero,
        _drop(DEBIASED),
    ),
    Claim(
        "more than severity",
        "It also does so when the random ECG comes from an equally ill patient",
        "ours",
        _row(_RET, f"{DEBIASED}, matched drop", "average"),
        verdicts.above_zero,
    ),
    Claim(
        "blind without",
        "The model that is not de-biased loses almost none",
        "Table 5",
        _row(_RET, f"{PLAIN}, drop", "average"),
        verdicts.near_zero,
        _drop(PLAIN),
        otherwise="no arm reads the ECG here, so one that does not proves nothing",
        provided=_row(_RET, f"{DEBIASED}, drop", "average"),
    ),
    Claim(
        "larger drop",
        "De-biasing makes the drop larger",
        "Table 5",
        _row(_RET, f"{DEBIASED} - {PLAIN}, drop", "average"),
        verdicts.above_zero,
        _paper_drops_apart,
    ),
    Claim(
        "misled",
        "With a random ECG the de-biased model does worse than the other",
        "Table 5",
        _row(_RET, f"{DEBIASED} - {PLAIN}, random ECG", "average"),
        verdicts.below_zero,
        _paper_difference("table5", arm(True, True), arm(False, True), "average"),
    ),
    Claim(
        "zero-shot",
        "On data from other hospitals the ECG-LLM's AUC is above chance for most labels",
        "Table 4",
        _above_chance,
        verdicts.most_above_zero,
        needs="unseen",
        otherwise="every data set here was used in training",
    ),
    Claim(
        "zero-shot, CLIP",
        "The ECG-LLM's AUC is above CLIP's for most labels",
        "Table 4",
        _llm_minus_clip,
        verdicts.most_above_zero,
        _paper_llm_minus_clip,
    ),
)


def rule_of(claim: Claim, published: Sequence[Number]) -> Rule:
    """Return the claim's rule; a claim without one is compared with the published numbers."""
    return claim.rule or partial(verdicts.contains, published=published)
