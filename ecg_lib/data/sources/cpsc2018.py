"""Read CPSC 2018 in its own format: TrainingSet*/A0001.mat and a REFERENCE table.

Liu et al., J Med Imaging Health Inform 2018, 8:1368. `challenge` reads the same records in WFDB.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from ecg_lib.data.folders import locate, refuse_twice
from ecg_lib.data.record import EcgRecord, Rows
from ecg_lib.data.source_files import (
    read_source_table,
    refuse_denied,
    refuse_odd_names,
    refuse_outside,
)
from ecg_lib.data.table_cells import (
    identifier,
    is_empty,
    once,
    refuse_contradiction,
    understood,
    unread_cell,
)
from ecg_lib.data.wfdb_files import age_of, sex_of
from ecg_lib.data.wfdb_header import is_there
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.knowledge.label_maps import maps_version, translate
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.quality import standardise
from ecg_lib.signal.resample import STANDARD_RATE

_MOST_BYTES = 50_000_000  # of a .mat file, unpacked; the longest record has 7,000,000
_HEAD, _TAG, _PACKED = 128, 8, 15  # MAT 5: bytes of header and tag, type of a compressed element
FS = 500  # Hz; all records have this rate
TABLE = "REFERENCE*.csv"
_LABELS = ["First_label", "Second_label", "Third_label"]


class Cpsc2018:
    """Source of CPSC 2018's native files; every ECG is `test`.

    The files do not name their leads. The order I, II, III, aVR, aVL, aVF, V1-V6 is the one on the
    challenge's web page.

    Parameters
    ----------
    root : str or path
        The folder with REFERENCE*.csv and TrainingSet*/, or one above it.
    rate : int, Hz
        Sampling rate of the records.
    method : {"fft", "polyphase"}
        Resampler, see `signal.resample`.
    """

    NAME, SIGNATURE = "cpsc2018", TABLE
    name = "cpsc2018"

    def __init__(self, root: str | os.PathLike, rate: int = STANDARD_RATE, method: str = "fft"):
        self.root = locate(root, TABLE, "CPSC 2018")
        self.rate, self.method = rate, method
        self.version = f"2018; {method}; maps {maps_version()}"
        self.not_at_hand = 0

    def index(self) -> Rows:
        """Return one item per file on disk; the table may list many more."""
        path, *others = sorted(self.root.glob(TABLE))
        if others:
            raise DataError(f"CPSC 2018: {path} and {others[0]} are both tables; keep one of them")
        table = read_source_table(path, self.root, "CPSC 2018", ("Recording", *_LABELS))
        found = sorted(self.root.rglob("A*.mat"))
        refuse_twice([str(p) for p in found], lambda name: Path(name).stem, "CPSC 2018")
        refuse_odd_names(map(str, found), "CPSC 2018")
        files = {p.stem: p.relative_to(self.root).as_posix() for p in found}
        if not files:
            raise DataError(f"CPSC 2018: no A*.mat below {self.root}; unpack TrainingSet there")
        table = once(table[["Recording", *_LABELS]].dropna(subset="Recording"), "Recording")
        self.not_at_hand = int((~table["Recording"].isin(list(files))).sum())
        items = table.set_index("Recording").reindex(sorted(files)).reset_index()
        items["file"] = [files[name] for name in items["Recording"]]
        return Rows(items)

    def item_name(self, item: dict[str, Any]) -> str:
        """Return the `ecg_id` of an item."""
        return f"cpsc2018/{item['Recording']}"

    def files(self, item: dict[str, Any]) -> list[Path]:
        """Return the file of an item, see `record.Source`."""
        return [self.root / item["file"]]

    def read(self, item: dict[str, Any]) -> EcgRecord:
        """Read one record, see `record.Source`."""
        refuse_contradiction(item, TABLE)
        classes = [identifier(item[column]) for column in _LABELS if not is_empty(item[column])]
        if not classes:
            raise BadRecord("no label in REFERENCE")
        file = self.root / item["file"]
        refuse_outside(self.root, [file])
        _check_size(file)
        try:
            ecg = loadmat(file, squeeze_me=True, struct_as_record=False)["ECG"]
            signal, sex, age = np.asarray(ecg.data), ecg.sex, ecg.age
        except Exception as error:  # SciPy raises many types on a damaged file
            raise BadRecord(".mat file truncated or without the struct ECG") from error
        if signal.dtype.kind != "f":  # the data set is in mV
            raise BadRecord("samples are whole numbers: amplitude not calibrated")
        unread = unread_cell("age", age, age_of(age)) + unread_cell("sex", sex, sex_of(sex))
        found = translate("cpsc", classes)
        attributes = understood(found, "REFERENCE", unread)
        ecg_id = self.item_name(item)
        return EcgRecord(
            ecg_id=ecg_id,
            patient_id=ecg_id,
            signal=standardise(signal.astype(float), LEADS, FS, self.rate, method=self.method),
            age=age_of(age),
            sex=sex_of(sex),
            labels=found.labels,
            split="test",
            attributes=attributes,
            rate=self.rate,
        )


def _check_size(path: Path) -> None:
    """Raise `BadRecord` unless a .mat file is a file of the size of an ECG, also when unpacked."""
    if not is_there(path):
        raise BadRecord(f"{path.name} is no file")
    refuse_denied(path)
    if path.stat().st_size > _MOST_BYTES:
        raise BadRecord(f".mat file is longer than {_MOST_BYTES:,} bytes")
    raw, at = path.read_bytes(), _HEAD
    while at + _TAG <= len(raw):
        kind, size = struct.unpack_from("<II", raw, at)
        at += _TAG
        if kind == _PACKED:
            try:
                unpacked = zlib.decompressobj().decompress(raw[at : at + size], _MOST_BYTES)
            except zlib.error:
                return  # SciPy says what is wrong
            if len(unpacked) == _MOST_BYTES:
                raise BadRecord(f".mat file unpacks to more than {_MOST_BYTES:,} bytes")
        at += size
