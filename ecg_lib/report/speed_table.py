"""The table of speed: ratios that `make bench` has measured, as Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ecg_lib.errors import DataError

COLUMNS = ("what", "reference", "ratio", "at_least", "n")  # the least that ratios.csv has
_HEAD = ("", "reference", "ratio", "at least", "here, per s", "reference, per s", "n")


def read_ratios(path: Path) -> pd.DataFrame:
    """Read ratios.csv.

    Raises
    ------
    DataError
        The file is missing, or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; run `make bench`")
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise DataError(f"{path}: no column {missing[0]!r}; run `make bench`")
    return frame


def short_of_aim(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose ratio is below its aim."""
    return frame[frame["ratio"] < frame["at_least"]]


def markdown(frame: pd.DataFrame, machine: dict) -> str:
    """Lay out ratios as a Markdown table, with the machine that they were measured on.

    Parameters
    ----------
    frame : DataFrame
        As `read_ratios` returns it.
    machine : dict
        What `make bench` writes to machine.json.
    """
    lines = [_HEAD, (":--", ":--", *["--:"] * 5)]
    for row in frame.to_dict("records"):
        unit = "" if row["unit"] == "times" else f" {row['unit']}"
        if pd.isna(row["ratio"]):
            ratio = row["note"]
        else:
            ratio = f"{_number(row['ratio'])} ({_number(row['low'])}-{_number(row['high'])})"
            if row["ratio"] < row["at_least"]:
                ratio = f"**{ratio}**"
        speeds = (_number(row["fast_per_s"]), _number(row["plain_per_s"]))
        n = f"{row['n']:,} x {row['repeats']}" if row["repeats"] else ""
        aim = f"{_number(row['at_least'])}{unit}"
        lines.append((row["what"], row["reference"], ratio, aim, *speeds, n))
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    load = " and ".join(f"{one:.1f}" for one in machine["load"])
    told = (
        f"Ratio of medians, in brackets the smallest and largest of single repeats; bold: below "
        f"its aim. n: ECGs or questions per repeat, times repeats. Models of profile "
        f"`{machine['profile']}` with random weights; {machine['questions_per_ecg']:.0f} questions "
        f"per ECG and {machine['share_about_pairs']:.0%} about pairs. One thread, CPU time. "
        "Measured in "
        f"{machine['minutes']:.0f} minutes on {machine['cores']} cores ({machine['cpu']}), torch "
        f"{machine['torch']}. Load average before and after: {load}; this run is 1 of it."
    )
    return f"{table}\n\n{told}"


def speed_block(results: Path) -> str:
    """Return the table of results/benchmarks as Markdown.

    Raises
    ------
    DataError
        It was not measured.
    """
    folder = results / "benchmarks"
    frame = read_ratios(folder / "ratios.csv")
    return markdown(frame, json.loads((folder / "machine.json").read_text(encoding="utf-8")))


def _number(value: float) -> str:
    """Return three digits, or none after the point of a large number."""
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
