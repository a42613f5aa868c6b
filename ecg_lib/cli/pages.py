"""Write the numbers of README.md and docs/results.md from the result tables.

Each block stands between two markers, such as `<!-- results:demo -->` and
`<!-- /results:demo -->`. None of its numbers is typed by hand.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN, difference
from ecg_lib.baselines.anchors import ANCHORS, ILL
from ecg_lib.blind_test.blind_page import short_table
from ecg_lib.blind_test.verdict import column_of
from ecg_lib.disk import write_file
from ecg_lib.errors import DataError
from ecg_lib.evaluation.random_ecg import ORIGINAL
from ecg_lib.evaluation.transfer import MEAN
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.paths import ROOT
from ecg_lib.report.arm_seeds_table import MEAN as OVER_SEEDS
from ecg_lib.report.reference import MODEL, PAPER_LABEL, paper_table
from ecg_lib.report.speed_table import speed_block
from ecg_lib.report.tables import label_of, read_table, wide_markdown

_HEADINGS = {
    "table1_bias": "Share of normal ECGs by kind of question, % (Table 1; paper: mean)",
    "table3_ecgqa": "ECG-QA exact match, % (Table 3)",
    "table4_zero_shot": "Zero-shot AUC, % (Table 4; mean of the labels that could be computed)",
    "table5_random_ecg": "Random-ECG test, accuracy in % (Table 5)",
    "simulated_to_real": "Trained on simulated ECGs only, tested on recorded ones: AUC, %",
}

# A row of random_ecg_differences (in seeds.csv it ends in ", mean") -> its name on the page.
_SHORT = {DEBIASED: "de-biased", CONTROL: "control", PLAIN: "no stage 1"}
_ARMS = {
    f"{difference(a, b)}, {ORIGINAL}": f"{_SHORT[a]} minus {_SHORT[b]}"
    for a, b in ((DEBIASED, PLAIN), (DEBIASED, CONTROL), (CONTROL, PLAIN))
} | {
    f"{arm.title}, {drop}": f"drop with {ecg} ECG, {short}"
    for drop, ecg in (("drop", "a random"), ("matched drop", "an equally ill patient's"))
    for arm, short in _SHORT.items()
}
_ARMS_SHOWN = {"demo": ("S-Verify", "average"), "ptbxl": ("S-Verify", "average")}
_DEMO, _SEEDS_SHOWN = "demo", "demo-full"
_SEEDS_COLUMNS = ("S-Verify", "average")
_RESULTS = ROOT / "results"
PAGES = {
    "README.md": ("headline",),
    "docs/results.md": ("arms", "verdicts", "demo", "ptbxl"),
    "docs/blind_test.md": ("blind",),
    "docs/speed.md": ("speed",),
}
_LLMS = {_DEMO: "tiny LLM", "smollm": "SmolLM2-135M"}  # profile -> its language model
_JUDGED = (_DEMO, _SEEDS_SHOWN, "smollm", "ptbxl")

# The README's few numbers: their name, and where they stand in the tables of demo.
_DIFFERENCES, _MEAN_AUC = "random_ecg_differences", "mean AUC"
_ZERO_SHOT = f"{MODEL}, Simulated (other patients)"
_FEW = {
    "De-biased minus not de-biased (Table 5, average)": (
        _DIFFERENCES,
        f"{difference(DEBIASED, PLAIN)}, {ORIGINAL}",
        "average",
    ),
    "De-biased minus a control trained on as many unpaired questions": (
        _DIFFERENCES,
        f"{difference(DEBIASED, CONTROL)}, {ORIGINAL}",
        "average",
    ),
    "Accuracy that a random ECG costs the de-biased model": (
        _DIFFERENCES,
        f"{DEBIASED.title}, drop",
        "average",
    ),
    "Accuracy that an equally ill patient's ECG costs it": (
        _DIFFERENCES,
        f"{DEBIASED.title}, matched drop",
        "average",
    ),
    "Exact match, yes/no questions about one ECG (Table 3)": ("table3_ecgqa", MODEL, "S-Verify"),
    "Zero-shot AUC, mean of nine labels (Table 4)": (
        "zero_shot_summary",
        _ZERO_SHOT,
        _MEAN_AUC,
    ),
}
_BY_PAPER = "the paper"  # a column's heading


def profile_block(profile: str, results: Path = _RESULTS, up: str = "") -> str:
    """Return the main numbers of a profile's tables beside the paper's, as Markdown.

    Parameters
    ----------
    up : str
        Path from the page's folder to the project's, "" or "../", for links.

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
        link = f"[full table]({up}results/{profile}/{name}.md)"
        parts += [f"**{heading}**, {link}", wide_markdown(frame, with_n=False)]
    if not parts:
        raise DataError(f"{folder}: no result tables; run the pipeline for profile {profile} first")
    told = f"Ours: {'; '.join(dict.fromkeys(labels))}. Paper: {PAPER_LABEL}."
    return "\n\n".join([f"{told} In brackets: 95 % intervals.", *parts])


def headline_block(results: Path = _RESULTS) -> str:
    """Return the README's few numbers, as Markdown: demo, three seeds of demo-full, the paper.

    Raises
    ------
    DataError
        A table of demo is missing or lacks one of the numbers.
    """
    seeds, trained = _over_seeds(results)
    parts = []
    for name, (table, row, column) in _FEW.items():
        path = results / _DEMO / f"{table}.csv"
        frame = read_table(path)
        frame = frame[(frame["source"] == "ours") & (frame["row"] == row)]
        frame = frame[frame["column"] == column]
        if frame.empty:
            raise DataError(
                f"{path}: no row {row!r} with column {column!r}; rerun the notebook that writes it"
            )
        parts.append(frame.assign(row=name, column=_DEMO))
        if table == _DIFFERENCES:
            again = seeds[(seeds["row"] == row) & (seeds["column"] == column)]
            parts.append(again.assign(row=name, column=f"{_SEEDS_SHOWN}, {trained} seeds"))
    published = _published()
    parts.append(pd.DataFrame({"row": published.keys(), "value": published.values()}))
    frame = pd.concat(parts).fillna({"column": _BY_PAPER})
    order = frame["row"].map({row: i for i, row in enumerate(_FEW)})
    return wide_markdown(frame.iloc[order.argsort(kind="stable")], with_n=False)


def _published() -> dict[str, float]:
    """Return those of the README's numbers that the paper prints or that follow from it."""
    auc = paper_table("table4_zero_shot")
    auc = auc[auc["row"] == f"{MODEL}, PTB-XL"]["value"].mean()
    exact = paper_table("table3_ecgqa").set_index(["row", "column"])["value"]
    right = paper_table("table5_random_ecg").set_index(["row", "column"])["value"]
    de_biased = right[f"{DEBIASED.title}, {ORIGINAL}", "average"]
    found = {
        f"{difference(DEBIASED, PLAIN)}, {ORIGINAL}": de_biased
        - right[f"{PLAIN.title}, {ORIGINAL}", "average"],
        f"{DEBIASED.title}, drop": de_biased - right[f"{DEBIASED.title}, random ECG", "average"],
        MODEL: exact[MODEL, "S-Verify"],
        _ZERO_SHOT: auc,
    }
    return {name: found[row] for name, (_, row, _) in _FEW.items() if row in found}


def _over_seeds(results: Path) -> tuple[pd.DataFrame, int]:
    """Return the means over seeds of demo-full, and how many seeds there are."""
    seeds = read_table(results / _SEEDS_SHOWN / "seeds.csv")
    if seeds.empty:
        raise DataError(f"results/{_SEEDS_SHOWN}/seeds.csv: no seeds; run that profile first")
    trained = seeds["row"].str.extract(rf"^{DEBIASED.title}, {ORIGINAL}, (seed .+)$")[0].nunique()
    return seeds.assign(row=seeds["row"].str.removesuffix(f", {OVER_SEEDS}")), trained


def arms_block(results: Path = _RESULTS) -> str:
    """Return each arm's gain over another and its loss with a random ECG, as Markdown.

    Raises
    ------
    DataError
        One of the tables is missing, or the table of seeds is empty.
    """
    parts = []
    for profile, columns in _ARMS_SHOWN.items():
        frame = read_table(results / profile / "random_ecg_differences.csv")
        frame = frame[frame["column"].isin(columns)]
        parts.append(frame.assign(column=profile + ": " + frame["column"]))
    seeds, trained = _over_seeds(results)
    seeds = seeds[seeds["column"].isin(_SEEDS_COLUMNS)]
    parts.append(seeds.assign(column=f"{_SEEDS_SHOWN}, {trained} seeds: " + seeds["column"]))
    frame = pd.concat(parts)
    frame = frame[frame["row"].isin(_ARMS)]
    order = frame["row"].map({row: i for i, row in enumerate(_ARMS)})
    frame = frame.iloc[order.argsort(kind="stable")]
    return wide_markdown(frame.assign(row=frame["row"].map(_ARMS)), with_n=False)


def blind_block(results: Path = _RESULTS) -> str:
    """Return what the blind test says of our arms, with each language model, as Markdown.

    Raises
    ------
    DataError
        The table of demo is missing.
    """
    paths = {profile: results / profile / "blind_test.csv" for profile in _LLMS}
    tables = {
        llm: read_table(paths[profile])
        for profile, llm in _LLMS.items()
        if profile == _DEMO or paths[profile].is_file()
    }
    column = column_of(next(iter(tables.values())))
    links = ", ".join(
        f"[{llm}](../results/{profile}/blind_test.md)"
        for profile, llm in _LLMS.items()
        if llm in tables
    )
    told = f"Simulated cohort, column *{column}*, %; in brackets: 95 % intervals. In full: {links}."
    return f"{told}\n\n{short_table(tables)}"


def verdicts_block(results: Path = _RESULTS) -> str:
    """Return the verdict on each claim of the paper by profile, as Markdown.

    Raises
    ------
    DataError
        The table of demo is missing.
    """
    paths = {profile: results / profile / "claims.csv" for profile in _JUDGED}
    if not paths[_DEMO].is_file():
        raise DataError(f"{paths[_DEMO]}: missing; run the pipeline for profile {_DEMO} first")
    claims = {
        profile: pd.read_csv(path).drop_duplicates("claim")
        for profile, path in paths.items()
        if path.is_file()
    }
    verdicts = {profile: table.set_index("claim")["verdict"] for profile, table in claims.items()}
    heads = [f"[{profile}](../results/{profile}/claims.md)" for profile in claims]
    lines = [["claim", *heads]]
    for claim, statement in claims[_DEMO].set_index("claim")["statement"].items():
        lines.append([str(statement), *(by.get(claim, "") for by in verdicts.values())])
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|:--|" + ":--|" * len(heads), *body])


_BLOCKS = {
    "arms": arms_block,
    "headline": headline_block,
    "blind": blind_block,
    "verdicts": verdicts_block,
    "speed": speed_block,
}


def update_page(page: Path, blocks: Iterable[str], results: Path = _RESULTS, up: str = "") -> bool:
    """Put each block between its markers and return whether the file changed.

    Parameters
    ----------
    page : Path
        A Markdown file with the markers.
    blocks : iterable of str
        Names of profiles, or of blocks: "arms" compares the arms, "headline" is the README's,
        "blind" is the blind test, "verdicts" judges the paper's claims, "speed" has the ratios of
        `make bench`.
    results : Path, optional
        Folder with the results of all profiles, if it is not the project's own.
    up : str
        Path from the page's folder to the project's, for links.

    Raises
    ------
    DataError
        A block's markers are missing or occur more than once.
    """
    before = text = page.read_text(encoding="utf-8")
    for name in blocks:
        start, end = f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise DataError(
                f"{page}: needs {start} and {end} once each; put them around the results"
            )
        made = _BLOCKS.get(name)
        block = made(results) if made else profile_block(name, results, up)
        text = _put(f"{start}\n{block}\n{end}", text, start, end)
    if text != before:
        write_file(page, text)
    return text != before


def _put(block: str, text: str, start: str, end: str) -> str:
    """Replace all text from one marker to another, markers included, by a block."""
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: block, text)


def _headline(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Select the few rows of a table that the README shows."""
    if name == "table1_bias":
        whole = frame["row"].str.startswith("all ")  # our rows for all questions of a kind
        frame = frame[whole | (frame["source"] == "paper")]
        return _means(frame.assign(row="all questions"), ["source", "row", "column"])
    if name == "table3_ecgqa":
        return frame[(frame["source"] == "ours") | (frame["row"] == MODEL)]
    if name == "table4_zero_shot":
        parts = frame["row"].str.rsplit(", ", n=1, expand=True)
        return _means(frame.assign(row=parts[0], column=parts[1]), ["source", "row", "column"])
    if name == "table5_random_ecg":  # of the anchors, keep only the one that sees severity
        hidden = set(ANCHORS) - {ILL}
        return frame[~frame["row"].str.split(", ").str[0].isin(hidden)]
    if name == "simulated_to_real":
        # simulated ECGs and those that calibrated the simulator are no evidence of transfer;
        # min-max readings are in the full table
        averaged = transfer_findings().query("reported == 'mean'")["finding"]
        blind = ~frame["column"].str.contains("calibrated|^Simulated|lead_minmax")
        return frame[blind & frame["row"].isin([MEAN, *averaged])]
    return frame


def _means(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    means = frame.dropna(subset="value").groupby(keys, sort=False)["value"].mean().reset_index()
    return means.assign(n=float("nan"), ci_low=float("nan"), ci_high=float("nan"))


def main() -> None:
    """`python -m ecg_lib.cli.pages` puts the newest results into README.md and docs/."""
    for name, blocks in PAGES.items():
        changed = update_page(ROOT / name, blocks, up="../" * name.count("/"))
        print(f"{name}: {'updated' if changed else 'unchanged'}")


if __name__ == "__main__":
    main()
