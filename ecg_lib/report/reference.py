"""The paper's published numbers as tidy rows, in the units and names of our own tables.

Ratios, accuracies and AUCs are in percent. The row that the paper calls "Ours" is called
"ECG-LLM" here, because "ours" means this project's own numbers.
"""

from pathlib import Path

import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.evaluation.random_ecg import VERIFY
from ecg_lib.paths import PAPER_RESULTS
from ecg_lib.questions.schema import SHORT_NAMES

MODEL = "ECG-LLM"  # row of the model, in the paper's tables and in ours
PAPER_LABEL = "LLaMA-2-7B"  # language model behind the paper's numbers
QUESTION_TYPES = tuple(SHORT_NAMES.values())  # columns of Table 3
LABELS = ("AF", "LBBB", "RBBB", "LVH", "RVH", "SA", "SB", "SR", "ST")  # columns of Table 4
NUMBERS = ["value", "n", "ci_low", "ci_high"]
STAMPS = ["seeds", "profile", "params_hash", "data_hash", "code_hash"]
COLUMNS = ["table", "row", "column", "source", *NUMBERS, *STAMPS]  # the same in every result table
_FILES = {  # our name of a table -> file of its published numbers
    "table1_bias": "table1_bias.csv",
    "table2_training": "table2_training.csv",
    "table3_ecgqa": "table3_ecgqa_exact_match.csv",
    "table4_zero_shot": "table4_zero_shot_auc.csv",
    "table5_random_ecg": "table5_random_ecg_test.csv",
}


def arm(debiased: bool, random_ecg: bool) -> str:
    """Return the row name in Table 5 of a training arm and the ECG it is shown."""
    return f"{'' if debiased else 'not '}de-biased, {'random' if random_ecg else 'original'} ECG"


def paper_table(name: str, folder: Path = PAPER_RESULTS) -> pd.DataFrame:
    """Return the published numbers of one table as tidy rows (source "paper").

    Parameters
    ----------
    name : str
        Short or full name, such as "table3" or "table3_ecgqa"; there are tables 1 to 5.
    folder : Path
        Folder of the published numbers.

    Returns
    -------
    DataFrame
        Rows and columns are named as follows.
        table1: row = question, column = "broad" or "specific";
        table2: row = "stage 1: de-biased verify", column = "learning rate" or "epochs";
        table3: row = method, column = question type;
        table4: row = "CLIP, LUDB", column = label;
        table5: row = as in :func:`arm`, column = question type or "average".

    Raises
    ------
    DataError
        There is no such table, or its file is missing.
    """
    table = name if name in _FILES else next((t for t in _FILES if t.split("_")[0] == name), None)
    if table is None:
        raise DataError(f"{name}: the paper has no such table; use one of {', '.join(_FILES)}")
    path = folder / _FILES[table]
    if not path.is_file():
        raise DataError(f"{path}: published numbers are missing; restore it from the repository")
    wide = pd.read_csv(path)
    wide = wide.replace({column: {"Ours": MODEL} for column in wide.columns[:1]})
    cells = _LONG[table](wide)
    tidy = cells.assign(table=table, source="paper").reindex(columns=COLUMNS)
    tidy[STAMPS] = ""
    return tidy.dropna(subset="value").reset_index(drop=True)


def _table1(wide: pd.DataFrame) -> pd.DataFrame:
    percent = (100 * wide["normal_ecg_ratio"]).round(1)
    return pd.DataFrame({"row": wide["question"], "column": wide["kind"], "value": percent})


def _table2(wide: pd.DataFrame) -> pd.DataFrame:
    row = "stage " + wide["stage"].astype(str) + ": " + wide["task"]
    wide = wide.rename(columns={"learning_rate": "learning rate"}).assign(row=row)
    return _melt(wide, ["learning rate", "epochs"])


def _table3(wide: pd.DataFrame) -> pd.DataFrame:
    return _melt(wide.rename(columns={"method": "row"}), QUESTION_TYPES)


def _table4(wide: pd.DataFrame) -> pd.DataFrame:
    return _melt(wide.assign(row=wide["method"] + ", " + wide["dataset"]), LABELS)


def _table5(wide: pd.DataFrame) -> pd.DataFrame:
    flags = (wide[["debias", "random_ecg"]] == "yes").to_numpy()
    wide = wide.assign(row=[arm(*pair) for pair in flags])
    return _melt(wide, [*VERIFY, "average"])


def _melt(wide: pd.DataFrame, columns: list[str] | tuple[str, ...]) -> pd.DataFrame:
    """Reshape to long form, row by row, in the order of the printed table."""
    long = wide.set_index("row")[list(columns)].stack(future_stack=True)
    return long.rename_axis(["row", "column"]).rename("value").astype(float).reset_index()


_LONG = {
    "table1_bias": _table1,
    "table2_training": _table2,
    "table3_ecgqa": _table3,
    "table4_zero_shot": _table4,
    "table5_random_ecg": _table5,
}
