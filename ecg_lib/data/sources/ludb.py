"""Read LUDB, 200 ECGs with cardiologists' diagnoses, in its PhysioNet layout.

Kalyakulina et al., IEEE Access 2020, 8:186181; https://doi.org/10.13026/eegm-h675
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_lib.data.folders import locate
from ecg_lib.data.record import EcgRecord, Rows
from ecg_lib.data.source_files import read_source_table, refuse_odd_names, refuse_outside
from ecg_lib.data.table_cells import once, refuse_contradiction, understood, unread_cell
from ecg_lib.data.wfdb_files import age_of, read_wfdb, sex_of
from ecg_lib.data.wfdb_header import files_of
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.knowledge.label_maps import maps_version, translate
from ecg_lib.signal.resample import STANDARD_RATE

TABLE = "ludb.csv"
_NO_DIAGNOSIS = ("ID", "Sex", "Age", "listed", "contradicted")


class Ludb:
    """Source of LUDB; every ECG is `test`, for zero-shot classification.

    A cell of ludb.csv may hold several diagnoses, one per line. Each line is looked up as a whole
    in label_maps.csv, because "complete ... block" is also a part of "Incomplete ... block".

    Parameters
    ----------
    root : str or path
        The folder with ludb.csv and data/, or one above it.
    rate : int, Hz
        Sampling rate of the records.
    method : {"fft", "polyphase"}
        Resampler, see `signal.resample`.
    """

    NAME, SIGNATURE = "ludb", TABLE
    name = "ludb"

    def __init__(self, root: str | os.PathLike, rate: int = STANDARD_RATE, method: str = "fft"):
        self.root = locate(root, TABLE, "LUDB")
        self.rate, self.method = rate, method
        self.version = f"1.0.1; {method}; maps {maps_version()}"
        self.not_at_hand = 0

    def index(self) -> Rows:
        """Return one item per recording in data/."""
        needed = ("ID", "Sex", "Age", "Rhythms")
        table = read_source_table(
            self.root / TABLE, self.root, "LUDB", needed, dtype=str, keep_default_na=False
        )
        table = once(table.map(str.strip), "ID")
        stems = {p.stem for p in (self.root / "data").glob("*") if p.suffix in (".hea", ".dat")}
        if not stems:
            raise DataError(f"LUDB: no recordings in {self.root / 'data'}; download data/ as well")
        refuse_odd_names(sorted(stems), "LUDB")
        self.not_at_hand = int((~table["ID"].isin(stems)).sum())
        unlisted = pd.DataFrame({"ID": sorted(stems - set(table["ID"])), "listed": False})
        items = table[table["ID"].isin(stems)].assign(listed=True)
        items = pd.concat([items, unlisted]) if len(unlisted) else items
        return Rows(items.reset_index(drop=True))

    def item_name(self, item: dict[str, Any]) -> str:
        """Return the `ecg_id` of an item."""
        return f"ludb/{item['ID']}"

    def files(self, item: dict[str, Any]) -> list[Path]:
        """Return the files of an item, see `record.Source`."""
        return files_of(self.root / "data" / item["ID"], self.root)

    def read(self, item: dict[str, Any]) -> EcgRecord:
        """Read one record, see `record.Source`."""
        if item["listed"] is not True:
            raise BadRecord(f"no row in {TABLE}")
        refuse_contradiction(item, TABLE)
        refuse_outside(self.root, self.files(item))
        recording = read_wfdb(self.root / "data" / item["ID"])
        cells = [v for k, v in item.items() if k not in _NO_DIAGNOSIS]
        lines = [line.strip() for cell in cells for line in cell.splitlines() if line.strip()]
        if not lines:
            raise BadRecord(f"no diagnosis in {TABLE}")
        found = translate("ludb", lines)
        age, sex = age_of(item["Age"]), sex_of(item["Sex"])
        unread = unread_cell("Age", item["Age"], age) + unread_cell("Sex", item["Sex"], sex)
        attributes = understood(found, TABLE, unread)
        return EcgRecord(
            ecg_id=self.item_name(item),
            patient_id=item["ID"],
            signal=recording.standard(self.rate, self.method),
            age=age,
            sex=sex,
            labels=found.labels,
            report=". ".join(lines) + ".",
            split="test",
            attributes=attributes,
            rate=self.rate,
        )
