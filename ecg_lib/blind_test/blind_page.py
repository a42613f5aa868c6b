"""The short table of docs/blind_test.md: one row per model and language model."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ecg_lib.baselines.anchors import ANCHORS
from ecg_lib.blind_test.blind_models import KNOWN
from ecg_lib.blind_test.verdict import column_of, judged
from ecg_lib.evaluation.severity_drops import MATCHED, OWN, RANDOM, drop_row
from ecg_lib.report.tables import format_cell

_HEAD = ("model", "language model", "accuracy", "random ECG costs", "equally ill patient's costs")
_EVERY = tuple(name.replace("-", " ") for name in KNOWN)  # as notebook 08 calls them


def short_table(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return accuracies, drops and verdicts of several blind tests, as Markdown.

    Parameters
    ----------
    tables : mapping from str to DataFrame
        Name of the language model -> its `blind_test` table. Anchors and models of known
        behaviour are taken from the first one, since they have no language model.
    """
    lines = [[*_HEAD, "verdict"]]
    for llm, table in tables.items():
        cells = table[table["column"] == column_of(table)].set_index("row")
        own = [name.removesuffix(f", {OWN}") for name in cells.index if name.endswith(f", {OWN}")]
        for name in own:
            without = name in ANCHORS or name in _EVERY
            if without and table is not next(iter(tables.values())):
                continue
            rows = (f"{name}, {OWN}", drop_row(name, RANDOM), drop_row(name, MATCHED))
            told = [_cell(cells.loc[row]) if row in cells.index else "" for row in rows]
            verdict = "" if name in ANCHORS else judged(table, name).rule
            lines.append([name, "" if without else llm, *told, verdict])
    lines[1:] = sorted(lines[1:], key=lambda line: (line[0] in ANCHORS, line[0] in _EVERY))
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|:--|:--|--:|--:|--:|:--|", *body])


def _cell(cell: pd.Series) -> str:
    return format_cell(cell["value"], float("nan"), cell["ci_low"], cell["ci_high"], 1)
