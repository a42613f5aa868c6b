"""The README's "results at a glance", generated from the result tables.

Each block stands between two markers, as ``<!-- results:demo -->`` and ``<!-- /results:demo -->``:
nobody types its numbers.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN, difference
from ecg_lib.baselines.anchors import ANCHORS, ILL
from ecg_lib.errors import DataError
from ecg_lib.evaluation.random_ecg import ORIGINAL
from ecg_lib.evaluation.transfer import MEAN
from ecg_lib.files import write_atomically
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.paths import ROOT
from ecg_lib.report.arm_seeds_table import MEAN as OVER_SEEDS
from ecg_lib.report.reference import MODEL, PAPER_LABEL
from ecg_lib.report.tables import label_of, read_table, wide_markdown

_HEADINGS = {
    "table1_bias": "Share of normal ECGs by kind of question, % (Table 1; paper: mean)",
    "table3_ecgqa": "ECG-QA exact match, % (Table 3)",
    "table4_zero_shot": "Zero-shot AUC, % (Table 4; mean of the labels that could be computed)",
    "table5_random_ecg": "Random-ECG test, accuracy in % (Table 5)",
    "simulated_to_real": "Trained on simulated ECGs only, read on recorded ones: AUC, %",
}

# Arms beside each other: a row of random_ecg_differences and, ending in "mean", of seeds; its name.
_SHORT = {DEBIASED: "de-biased", CONTROL: "the control", PLAIN: "no stage 1"}
_ARMS = {
    f"{difference(a, b)}, original ECG": f"{_SHORT[a].removeprefix('the ')} above {_SHORT[b]}"
    for a, b in ((DEBIASED, PLAIN), (DEBIASED, CONTROL), (CONTROL, PLAIN))
} | {
    f"{arm.title}, {drop}": f"a random ECG{ill} costs {short.removeprefix('the ')}"
    for drop, ill in (("drop", ""), ("matched drop", ", as ill,"))
    for arm, short in _SHORT.items()
}
_ARMS_SHOWN = {"demo": ("S-Verify", "average"), "ptbxl": ("S-Verify", "average")}
_SEEDS_SHOWN = "demo-full"
_SEEDS_COLUMNS = ("S-Verify", "average")
_RESULTS = ROOT / "results"


def readme_block(profile: str, results: Path = _RESULTS) -> str:
    """Markdown with the headline numbers of a profile's tables beside the paper's.

    Raises
    ------
    DataError
        The profile has none of the tables.
    """
    folder = results / profile
    parts, labels = [], []
    for name, heading in _HEADINGS.items():
        path = folder / f"{name}.csv"
        if not path.is_file():
            continue
        frame = _headline(name, read_table(path))
        if frame.empty:
            continue
        labels.append(label_of(path.with_suffix(".md")) or profile)
        frame = frame.assign(row=frame["source"].str.capitalize() + ": " + frame["row"])
        link = f"[full table](results/{profile}/{name}.md)"
        parts += [f"**{heading}**, {link}", wide_markdown(frame, with_n=False)]
    if not parts:
        raise DataError(f"{folder}: no result tables; run the pipeline for profile {profile} first")
    told = f"Ours: {'; '.join(dict.fromkeys(labels))}. Paper: {PAPER_LABEL}."
    return "\n\n".join([f"{told} In brackets: 95 % intervals.", *parts])


def arms_block(results: Path = _RESULTS) -> str:
    """Markdown with what an arm gains over another and loses with a random ECG, by profile.

    Raises
    ------
    DataError
        A profile lacks the tables that it is made of.
    """
    parts = []
    for profile, columns in _ARMS_SHOWN.items():
        frame = read_table(results / profile / "random_ecg_differences.csv")
        frame = frame[frame["column"].isin(columns)]
        parts.append(frame.assign(column=profile + ": " + frame["column"]))
    seeds = read_table(results / _SEEDS_SHOWN / "seeds.csv")
    if seeds.empty:
        raise DataError(f"results/{_SEEDS_SHOWN}/seeds.csv: no seeds; run that profile first")
    trained = seeds["row"].str.extract(rf"^{DEBIASED.title}, {ORIGINAL}, (seed .+)$")[0].nunique()
    seeds = seeds.assign(row=seeds["row"].str.removesuffix(f", {OVER_SEEDS}"))
    seeds = seeds[seeds["column"].isin(_SEEDS_COLUMNS)]
    parts.append(seeds.assign(column=f"{_SEEDS_SHOWN}, {trained} seeds: " + seeds["column"]))
    frame = pd.concat(parts)
    frame = frame[frame["row"].isin(_ARMS)]
    order = frame["row"].map({row: i for i, row in enumerate(_ARMS)})
    frame = frame.iloc[order.argsort(kind="stable")]
    return wide_markdown(frame.assign(row=frame["row"].map(_ARMS)), with_n=False)


def update_readme(readme: Path, blocks: Iterable[str], results: Path = _RESULTS) -> bool:
    """Put each block between its markers; tells whether the file changed.

    Parameters
    ----------
    blocks : iterable of str
        Names of profiles; ``arms`` for the block that sets the arms beside each other.
    results : Path, optional
        Folder of all profiles' results, when it is not the project's.

    Raises
    ------
    DataError
        A block's markers are missing.
    """
    before = text = readme.read_text(encoding="utf-8")
    for name in blocks:
        start, end = f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise DataError(f"{readme}: put {start} and {end} once each where the results go")
        block = arms_block(results) if name == "arms" else readme_block(name, results)
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        text = pattern.sub(lambda _, b=f"{start}\n{block}\n{end}": b, text)
    if text != before:
        write_atomically(readme, text)
    return text != before


def _headline(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The few rows of a table that a README shows."""
    if name == "table1_bias":
        whole = frame["row"].str.startswith("all ")  # ours: all questions of a kind together
        frame = frame[whole | (frame["source"] == "paper")]
        return _means(frame.assign(row="all questions"), ["source", "row", "column"])
    if name == "table3_ecgqa":
        return frame[(frame["source"] == "ours") | (frame["row"] == MODEL)]
    if name == "table4_zero_shot":
        parts = frame["row"].str.rsplit(", ", n=1, expand=True)
        return _means(frame.assign(row=parts[0], column=parts[1]), ["source", "row", "column"])
    if name == "table5_random_ecg":  # of the readers of nothing or one bit, the one who sees "ill"
        hidden = set(ANCHORS) - {ILL}
        return frame[~frame["row"].str.split(", ").str[0].isin(hidden)]
    if name == "simulated_to_real":
        # what was looked at or simulated itself is no evidence; min-max is in the full table
        averaged = transfer_findings().query("reported == 'mean'")["finding"]
        blind = ~frame["column"].str.contains("calibrated|^Simulated|lead_minmax")
        return frame[blind & frame["row"].isin([MEAN, *averaged])]
    return frame


def _means(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    means = frame.dropna(subset="value").groupby(keys, sort=False)["value"].mean().reset_index()
    return means.assign(n=float("nan"), ci_low=float("nan"), ci_high=float("nan"))


def main(arguments: list[str] | None = None) -> None:
    """`python -m ecg_lib.report.readme arms demo ptbxl` rewrites these blocks of README.md."""
    blocks = sys.argv[1:] if arguments is None else arguments
    changed = update_readme(ROOT / "README.md", blocks)
    print(f"README.md: {', '.join(blocks)} {'updated' if changed else 'unchanged'}")


if __name__ == "__main__":
    main()
