"""Read PhysioNet/CinC Challenge 2021: CPSC 2018, Georgia, Ningbo, Chapman-Shaoxing and others.

Reyna et al., https://doi.org/10.13026/34va-7q14
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ecg_lib.data.folders import locate, refuse_twice
from ecg_lib.data.record import EcgRecord
from ecg_lib.data.source_files import refuse_odd_names, refuse_outside
from ecg_lib.data.table_cells import is_empty, understood, unread_cell
from ecg_lib.data.wfdb_files import age_of, comment_value, read_wfdb, sex_of
from ecg_lib.data.wfdb_header import files_of
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.knowledge.label_maps import Translation, label_map, maps_version
from ecg_lib.signal.resample import STANDARD_RATE


class Challenge:
    """Source of `training/<source>/[gN/]*.hea` and `.mat`; every ECG is `test`.

    `Dx` holds SNOMED CT codes, or CPSC's class names in early releases; label_maps.csv has both.
    A record whose `Dx` is empty or names no known code is quarantined: it would count as negative
    for every label. What cannot be read beside known codes is listed in `attributes["unread"]`.

    Parameters
    ----------
    root : str or path
        The folder with training/, or one above it.
    sources : sequence of str
        Folders of training/ to read instead of the cohort's own (`FOLDERS`).
    rate : int, Hz
        Sampling rate of the records.
    method : {"fft", "polyphase"}
        Resampler, see `signal.resample`.
    """

    NAME, SIGNATURE = "challenge", "training/*"
    FOLDERS: tuple[str, ...] = ()  # in training/; if empty, all that exist

    def __init__(
        self,
        root: str | os.PathLike,
        sources: Sequence[str] = (),
        rate: int = STANDARD_RATE,
        method: str = "fft",
    ):
        self.name, self.rate, self.method = self.NAME, rate, method
        sources = sources or self.FOLDERS
        first = sources[0] if sources else "*"
        self.root = locate(root, f"training/{first}", f"Challenge 2021 ({self.name})")
        there = sorted(path.name for path in (self.root / "training").iterdir() if path.is_dir())
        self.sources = list(sources or there)
        absent = [source for source in self.sources if source not in there]
        if absent:
            raise DataError(
                f"Challenge 2021: no folder {absent[0]} in {self.root / 'training'}; download it "
                f"or choose from {', '.join(there)}"
            )
        self.version = f"1.0.3; {' '.join(self.sources)}; {method}; maps {maps_version()}"

    def index(self) -> list[str]:
        """Return one item per recording: its path below training/, without suffix."""
        folder = self.root / "training"
        items: set[str] = set()
        for source in self.sources:
            for suffix in ("hea", "mat"):
                for path in (folder / source).rglob(f"*.{suffix}"):
                    items.add(path.relative_to(folder).with_suffix("").as_posix())
        if not items:
            raise DataError(f"Challenge 2021: no .hea or .mat files in {folder}; download them")
        refuse_odd_names(sorted(items), "Challenge 2021")
        refuse_twice(sorted(items), self.item_name, "Challenge 2021")
        return sorted(items)

    def item_name(self, item: str) -> str:
        """Return the `ecg_id` of an item."""
        path = PurePosixPath(item)
        return f"{path.parts[0]}/{path.name}"

    def files(self, item: str) -> list[Path]:
        """Return the files of an item, see `record.Source`."""
        return files_of(self.root / "training" / item, self.root)

    def read(self, item: str) -> EcgRecord:
        """Read one record, see `record.Source`."""
        refuse_outside(self.root, self.files(item))
        recording = read_wfdb(self.root / "training" / item)
        found = read_dx(comment_value(recording.comments, "Dx"))
        age_text, sex_text = (comment_value(recording.comments, name) for name in ("Age", "Sex"))
        age, sex = age_of(age_text), sex_of(sex_text)
        unread = unread_cell("Age", age_text, age) + unread_cell("Sex", sex_text, sex)
        attributes = understood(found, "Dx", unread)
        ecg_id = self.item_name(item)
        return EcgRecord(
            ecg_id=ecg_id,
            patient_id=ecg_id,  # the challenge gives no patient ids: each record is its own patient
            signal=recording.standard(self.rate, self.method),
            age=age,
            sex=sex,
            labels=found.labels,
            split="test",
            attributes=attributes,
            rate=self.rate,
        )


def read_dx(text: str) -> Translation:
    """Read the codes of a `Dx` line, each looked up for itself.

    A code is a SNOMED CT number, also as "164889003.0", or one of CPSC's classes. Codes are
    separated by commas, semicolons or blanks, and may stand in brackets or quotes.

    Raises
    ------
    BadRecord
        The line holds no code.
    """
    codes = [code for code in re.split(r"[,;|\s\[\](){}'\"]+", text) if not is_empty(code)]
    if not codes:
        raise BadRecord("Dx is empty")
    codes = list(dict.fromkeys(re.sub(r"(?<=\d)\.0*$", "", code) for code in codes))
    classes = label_map("cpsc")
    found = Translation()
    for code in codes:
        meanings = label_map("snomed").get(code) or classes.get(code.lower())
        found.add(meanings, code)
        if meanings is None:
            found.unread.append(code)
    if found.unmapped:
        found.attributes["unmapped"] = found.unmapped
    return found


class Cpsc(Challenge):
    """CPSC 2018 as distributed by the challenge; `cpsc2018` reads its own format."""

    NAME, SIGNATURE, FOLDERS = "cpsc", "training/cpsc_2018", ("cpsc_2018",)


class Shaoxing(Challenge):
    """The challenge's Chapman-Shaoxing and Ningbo ECGs, in this order, as one cohort."""

    NAME, SIGNATURE, FOLDERS = "shaoxing", "training/ningbo", ("chapman_shaoxing", "ningbo")


class Georgia(Challenge):
    """The challenge's ECGs from Georgia, USA."""

    NAME, SIGNATURE, FOLDERS = "georgia", "training/georgia", ("georgia",)
