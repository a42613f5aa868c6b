"""The published numbers of K-MERL (arXiv 2502.17900) and of MERL (ICML 2024) as tidy rows.

Each number stands in results/published as it is printed. The files of K-MERL are its tables 1 to 6
and what its text and figures state; that of MERL says in a column where each number is from.
"""

from pathlib import Path

import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.paths import PAPER_RESULTS

_COLUMNS = ["table", "row", "column", "value"]


def kmerl_names(folder: Path = PAPER_RESULTS) -> list[str]:
    """Return the names that `kmerl_rows` knows, such as "table1_linear_probing"."""
    return sorted(path.stem.removeprefix("kmerl_") for path in folder.glob("kmerl_*.csv"))


def kmerl_rows(name: str, folder: Path = PAPER_RESULTS) -> pd.DataFrame:
    """Return the cells of one of K-MERL's tables.

    Parameters
    ----------
    name : str
        One of `kmerl_names`, or its beginning, such as "table1".
    folder : Path
        Folder of the published numbers.

    Returns
    -------
    DataFrame
        `table`, `row`, `column` and `value` as printed, and `number`, the value as float; NaN if it
        is text.

    Raises
    ------
    DataError
        No table or several have that name, or its columns are others.
    """
    found = [known for known in kmerl_names(folder) if known == name or known.startswith(name)]
    if len(found) != 1:
        raise DataError(
            f"K-MERL: {name!r} names {len(found)} tables; give one of "
            f"{', '.join(kmerl_names(folder))}"
        )
    return _rows(folder / f"kmerl_{found[0]}.csv", _COLUMNS)


def merl_rows(folder: Path = PAPER_RESULTS) -> pd.DataFrame:
    """Return what is known of MERL's numbers, as `kmerl_rows` with a column `source`."""
    return _rows(folder / "merl_published.csv", [*_COLUMNS, "source"])


def linear_probing(folder: Path = PAPER_RESULTS) -> pd.DataFrame:
    """Return K-MERL's Table 1: mean AUC of linear probes.

    Returns
    -------
    DataFrame
        `method`, `set` (the title of an evaluation set), `share` (of the training data, 0 to 1) and
        `value` (percent).
    """
    table = kmerl_rows("table1", folder)
    parts = table["column"].str.rpartition(" ")
    return pd.DataFrame(
        {
            "method": table["row"],
            "set": parts[0],
            "share": parts[2].str.rstrip("%").astype(float) / 100,
            "value": table["number"],
        }
    )


def _rows(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: no such file; restore it from the repository")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != columns:
        raise DataError(f"{path}: columns must be {', '.join(columns)}; restore the file")
    return table.assign(number=pd.to_numeric(table["value"], errors="coerce"))
