"""A profile's outcome in fifteen numbers, all of them read from its result tables."""

from pathlib import Path

import pandas as pd

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN, WITHIN, difference
from ecg_lib.report.tables import format_cell, read_table

TABLE1, WORLDS, ARMS = "table1_predicted", "worlds", "random_ecg_differences"
_BROAD = "Is there anything unusual in this ECG?"
_ABOVE = ", original ECG"  # suffix of the row with the first arm's accuracy minus the second's
_LINES = (  # wording, then the table, row and column of its number
    ("normal among those asked 'anything unusual?', by the quota", TABLE1, _BROAD, "by the quota"),
    ("the same, counted in our rows", TABLE1, _BROAD, "counted here"),
    ("the same, printed in the paper", TABLE1, _BROAD, "the paper"),
    (
        "accuracy of always answering 'no' to questions about a finding",
        WORLDS,
        "ecgqa: as drawn",
        "constant",
    ),
    ("accuracy of each question's commonest answer", WORLDS, "ecgqa: as drawn", "question"),
    ("accuracy of 'yes if the ECG is not normal'", WORLDS, "ecgqa: as drawn", "ill"),
    ("the same in pairs", WORLDS, "ecgqa: pairs", "ill"),
    ("the same in pairs within severity", WORLDS, "ecgqa: pairs within severity", "ill"),
    ("de-biased minus no stage 1", ARMS, difference(DEBIASED, PLAIN) + _ABOVE, "average"),
    ("de-biased minus control", ARMS, difference(DEBIASED, CONTROL) + _ABOVE, "average"),
    ("within severity minus de-biased", ARMS, difference(WITHIN, DEBIASED) + _ABOVE, "average"),
    ("drop with a random ECG, de-biased", ARMS, f"{DEBIASED.title}, drop", "average"),
    (
        "drop with an equally ill patient's ECG, de-biased",
        ARMS,
        f"{DEBIASED.title}, matched drop",
        "average",
    ),
    ("drop with a random ECG, no stage 1", ARMS, f"{PLAIN.title}, drop", "average"),
    (
        "drop with an equally ill patient's ECG, no stage 1",
        ARMS,
        f"{PLAIN.title}, matched drop",
        "average",
    ),
)


def outcome(folder: Path) -> pd.DataFrame:
    """Collect the numbers of the main argument from a profile's tables.

    Parameters
    ----------
    folder : Path
        `results/<profile>`.

    Returns
    -------
    DataFrame
        Columns `told`, `found`, `table`. Values are in percent, differences between arms or ECGs
        in points, with a 95 % interval where the table has one. Numbers that no table has are
        left out, so the frame may be empty.
    """
    tables, lines = {}, []
    for told, table, row, column in _LINES:
        path = folder / f"{table}.csv"
        if table not in tables:
            tables[table] = read_table(path) if path.is_file() else pd.DataFrame()
        if tables[table].empty:
            continue
        cells = tables[table].set_index(["row", "column"])
        if (row, column) in cells.index:
            value, low, high = cells.loc[(row, column), ["value", "ci_low", "ci_high"]]
            lines.append((told, format_cell(value, float("nan"), low, high), table))
    return pd.DataFrame(lines, columns=["told", "found", "table"])
