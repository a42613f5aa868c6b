"""Read PTB-XL, 21,799 clinical ECGs, in its PhysioNet layout.

Wagner et al., Sci Data 2020, 7:154; https://doi.org/10.13026/kfzx-aw45
"""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_lib.data.folders import locate
from ecg_lib.data.ptbxl_text import extrasystoles_in, leads_in
from ecg_lib.data.record import SPLITS, EcgRecord, Rows
from ecg_lib.data.source_files import read_source_table, refuse_link_outward, refuse_outside
from ecg_lib.data.table_cells import (
    identifier,
    once,
    refuse_contradiction,
    understood,
    unread_cell,
    whole_numbers,
)
from ecg_lib.data.wfdb_files import Recording, age_of, read_wfdb, sex_of
from ecg_lib.data.wfdb_header import files_of
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.knowledge.label_maps import Translation, label_map, maps_version, translate
from ecg_lib.knowledge.value_limits import number, possible
from ecg_lib.signal.delineate import measure_intervals
from ecg_lib.signal.leads import LEADS, by_name
from ecg_lib.signal.resample import STANDARD_RATE, first_seconds

TABLE = "ptbxl_database.csv"
NOISE = {
    "baseline drift": "baseline_drift",
    "static noise": "static_noise",
    "burst noise": "burst_noise",
    "electrodes problems": "electrodes_problems",
}
_TEXTS = ["recording_date", "report", "scp_codes", "heart_axis", "extra_beats", *NOISE.values()]
_TEXTS += ["infarction_stadium1", "infarction_stadium2"]
_NEEDED = ["ecg_id", "patient_id", "age", "sex", "strat_fold", "filename_lr", "filename_hr"]
COARSE, FINE = 100, 500  # Hz; recorded at 500, from which the 100 Hz files were made
_FILES = {COARSE: ("records100", "_lr"), FINE: ("records500", "_hr")}  # folder, end of file names
_Stems = tuple[dict[int, str], dict[int, str]]  # complete file pairs, lone files
_SEXES = {"0": "M", "1": "F"}
_LONGEST = 10_000  # characters of scp_codes
_NO_LITERAL = (ValueError, SyntaxError, RecursionError, MemoryError)  # of ast.literal_eval
OVER_89 = 300  # PTB-XL 1.0.3's age for patients over 89


class PtbXl:
    """Source of PTB-XL, completely or partly downloaded.

    Rows without a waveform are counted in `not_at_hand`; waveforms without a row are quarantined.
    With `ecgqa_root`, the splits are those of ECG-QA: a patient's unlisted ECGs follow the listed
    ones, and patients that ECG-QA does not list are in train. Without it, they are the recommended
    folds 1-8, 9 and 10.

    Parameters
    ----------
    root : str or path
        The folder with ptbxl_database.csv and records100/ or records500/, or one above it.
    ecgqa_root : str or path, optional
        The folder with ECG-QA's train_ecgs.tsv, valid_ecgs.tsv and test_ecgs.tsv, or one above it.
    rate : int, Hz
        Sampling rate of the records, at most 500. Up to 100 Hz, the 100 Hz files are preferred and
        the 500 Hz files are used where they are missing. Above 100 Hz, a record without a 500 Hz
        file is quarantined.
    method : {"fft", "polyphase"}
        Resampler, see `signal.resample`.
    intervals : bool
        Measure `attributes["intervals"]` as ECG-QA did, which takes about 20 ms per record. Lead II
        of the 500 Hz file is measured if it is on disk, else lead II of the record's own file. An
        ECG whose lead II is noted to be noisy or to have extrasystoles is not measured. The limits
        of value_limits.csv do not apply: ECG-QA measures QT from the Q peak and asks about values
        beyond them, so that without these its released answers could not be reproduced.
    """

    NAME, SIGNATURE = "ptbxl", TABLE
    name = "ptbxl"

    def __init__(
        self,
        root: str | os.PathLike,
        ecgqa_root: str | os.PathLike | None = None,
        rate: int = STANDARD_RATE,
        method: str = "fft",
        intervals: bool = True,
    ):
        if rate > FINE:
            raise DataError(
                f"rate is {rate} Hz, but PTB-XL was recorded at {FINE} Hz; give {FINE} Hz or less"
            )
        self.root = locate(root, TABLE, "PTB-XL")
        self.ecgqa_root = ecgqa_root
        self.rate, self.method = rate, method
        splits = "ECG-QA splits" if ecgqa_root else "folds"
        first = COARSE if rate <= COARSE else FINE
        self.version = f"1.0.3 layout; {first} Hz first; {method}; {splits}; maps {maps_version()}"
        self.intervals = intervals
        if intervals:
            self.version += f"; intervals by NeuroKit2 {_neurokit_version()}"
        self.not_at_hand = 0

    def index(self) -> Rows:
        """Return one item per waveform on disk, from the table and folder listings alone."""
        table = self._table()
        table["split"] = self._splits(table)
        coarse, fine = self._stems_at(COARSE), self._stems_at(FINE)
        stems = self._stems(coarse, fine)
        if not stems:
            raise DataError(
                f"PTB-XL: {self.root / TABLE} lists {len(table):,} ECGs but none of their files is "
                "in records100/ or records500/; download at least one of these folders"
            )
        self.not_at_hand = int((~table["ecg_id"].isin(list(stems))).sum())
        listed = table[table["ecg_id"].isin(list(stems))].assign(listed=True)
        extra = sorted(set(stems) - set(listed["ecg_id"]))
        unlisted = pd.DataFrame({"ecg_id": np.array(extra, dtype=int), "listed": False})
        items = pd.concat([listed, unlisted]) if extra else listed
        items = items.sort_values("ecg_id", ignore_index=True)
        items["stem"] = [stems[ecg_id] for ecg_id in items["ecg_id"]]
        items["stem_500"] = [fine[0].get(ecg_id, "") for ecg_id in items["ecg_id"]]
        return Rows(items)

    def item_name(self, item: dict[str, Any]) -> str:
        """Return the `ecg_id` of an item."""
        return f"ptbxl/{item['ecg_id']:05d}"

    def files(self, item: dict[str, Any]) -> list[Path]:
        """Return the files of an item, see `record.Source`."""
        stems = sorted({item["stem"], item["stem_500"]} - {""})
        return [path for stem in stems for path in files_of(self.root / stem, self.root)]

    def read(self, item: dict[str, Any]) -> EcgRecord:
        """Read one record, see `record.Source`."""
        if item["listed"] is not True:
            raise BadRecord(f"no row in {TABLE}")
        if self.rate > COARSE and item["stem"].startswith(_FILES[COARSE][0]):
            raise BadRecord(f"on disk at {COARSE} Hz only; download its file in {_FILES[FINE][0]}/")
        refuse_contradiction(item, TABLE)
        for column in ("patient_id", *([] if self.ecgqa_root else ["strat_fold"])):
            if pd.isna(item[column]):
                raise BadRecord(f"{column} is missing in {TABLE} or is no number")
        refuse_outside(self.root, self.files(item))
        recording = read_wfdb(self.root / item["stem"])
        found = _labels(item["scp_codes"])
        attributes, unread = _attributes(item)
        age, sex = _age(item["age"]), _SEXES.get(identifier(item["sex"]), sex_of(item["sex"]))
        unread += unread_cell("age", item["age"], age) + unread_cell("sex", item["sex"], sex)
        attributes |= understood(found, "scp_codes", unread)
        signal = recording.standard(self.rate, self.method)
        if self.intervals and "II" not in _noted_leads(item):
            attributes |= self._measure(item, recording)
        return EcgRecord(
            ecg_id=self.item_name(item),
            patient_id=f"{int(item['patient_id'])}",
            signal=signal,
            recorded_at=item["recording_date"].replace(" ", "T"),
            age=age,
            sex=sex,
            labels=found.labels,
            report=" ".join(item["report"].split()),
            split=item["split"],
            attributes=attributes,
            rate=self.rate,
        )

    def _table(self) -> pd.DataFrame:
        table = read_source_table(
            *(self.root / TABLE, self.root, "PTB-XL", [*_NEEDED, *_TEXTS]),
            dtype=str,
            keep_default_na=False,
        )
        for column in ("ecg_id", "patient_id"):
            table[column] = [_whole(cell) for cell in table[column]]
        table["strat_fold"] = [possible("fold", _whole(cell)) for cell in table["strat_fold"]]
        return once(table.dropna(subset="ecg_id").astype({"ecg_id": int}), "ecg_id")

    def _measure(self, item: dict[str, Any], recording: Recording) -> dict[str, Any]:
        """Return lead II's `intervals` (s) and the rate they were measured at; {} if none."""
        if item["stem_500"] and item["stem_500"] != item["stem"]:
            with contextlib.suppress(BadRecord):  # damaged: use the record's own file
                recording = read_wfdb(self.root / item["stem_500"])
        lead = by_name(recording.signal, recording.names)[LEADS.index("II")]
        found = measure_intervals(first_seconds(lead, recording.fs), recording.fs, "ecgqa")
        if not found:
            return {}
        seconds = {feature: round(value, 4) for feature, value in found.items()}
        return {"intervals": seconds, "intervals_hz": int(recording.fs)}

    def _stems(self, coarse: _Stems, fine: _Stems) -> dict[int, str]:
        """Map ecg_id to a path without suffix, preferring a complete file pair to a lone file."""
        if self.rate > COARSE:  # even a lone 500 Hz file gives the better reason
            return coarse[1] | coarse[0] | fine[1] | fine[0]
        return fine[1] | coarse[1] | fine[0] | coarse[0]

    def _stems_at(self, rate: int) -> _Stems:
        """Return the stems of complete file pairs at one rate, and those of lone files."""
        folder, suffix = _FILES[rate]
        present = {
            path.relative_to(self.root).as_posix()
            for ending in ("hea", "dat")
            for path in (self.root / folder).glob(f"*/*{suffix}.{ending}")
        }
        pairs: dict[int, str] = {}
        lone: dict[int, str] = {}
        for stem in sorted({path.rpartition(".")[0] for path in present}):
            number = stem.rpartition("/")[2].removesuffix(suffix)
            if number.isdigit() and number.isascii():
                whole = {f"{stem}.hea", f"{stem}.dat"} <= present
                first = (pairs if whole else lone).setdefault(int(number), stem)
                if whole and first != stem:
                    raise DataError(
                        f"PTB-XL: {self.root / first} and {self.root / stem} are both ECG "
                        f"{int(number)}; keep one of them"
                    )
        return pairs, lone

    def _splits(self, table: pd.DataFrame) -> pd.Series:
        if self.ecgqa_root is None:
            return table["strat_fold"].map({9: "valid", 10: "test"}).fillna("train")
        listed = ecgqa_splits(self.ecgqa_root)
        own = table["ecg_id"].map(listed)
        of_patient = own.groupby(table["patient_id"]).agg(lambda splits: set(splits.dropna()))
        torn = of_patient[of_patient.map(len) > 1]
        if len(torn):
            raise DataError(
                f"ECG-QA lists patient {int(torn.index[0])} in two splits; download version 1.0.2"
            )
        first = of_patient.map(lambda splits: next(iter(splits), "train"))
        return table["patient_id"].map(first)


def ecgqa_splits(root: str | os.PathLike) -> dict[int, str]:
    """Read ECG-QA's splits of PTB-XL from its {train,valid,test}_ecgs.tsv.

    Returns
    -------
    dict of int to str
        ecg_id -> split.

    Raises
    ------
    DataError
        A file is missing or holds a line without an id, or an ECG is in two splits.
    """
    signature = "train_ecgs.tsv"
    ptbxl = Path(root) / "ptbxl"  # the release has a mimic-iv-ecg/ folder beside it
    folder = locate(ptbxl if ptbxl.is_dir() else root, signature, "ECG-QA")
    splits: dict[int, str] = {}
    for split in SPLITS:
        path = folder / f"{split}_ecgs.tsv"
        if not path.is_file():
            raise DataError(f"ECG-QA: no {path.name} in {folder}; download it again")
        refuse_link_outward(folder, path, "ECG-QA")
        ids = whole_numbers(path)
        if torn := sorted(splits.keys() & set(ids)):
            raise DataError(
                f"{path} lists ECG {torn[0]}, which {splits[torn[0]]}_ecgs.tsv lists too; "
                "download version 1.0.2"
            )
        splits |= dict.fromkeys(ids, split)
    return splits


def _neurokit_version() -> str:
    try:
        return importlib.metadata.version("neurokit2")
    except importlib.metadata.PackageNotFoundError:
        raise DataError(
            "PTB-XL: intervals need NeuroKit2; run `pip install neurokit2` or set intervals=False"
        ) from None


def _noted_leads(row: dict[str, Any]) -> set[str]:
    """Return leads noted for noise or extrasystoles; if II is one, ECG-QA has no intervals."""
    return {lead for column in (*NOISE.values(), "extra_beats") for lead in leads_in(row[column])}


def _labels(scp_codes: str) -> Translation:
    if len(scp_codes) > _LONGEST:
        raise BadRecord("scp_codes cannot be read")
    try:
        stated = ast.literal_eval(scp_codes)
        codes = {str(code): possible("likelihood", p) for code, p in stated.items()}
    except (*_NO_LITERAL, AttributeError, TypeError) as error:
        raise BadRecord("scp_codes cannot be read") from error
    if not codes:
        raise BadRecord("scp_codes is empty")
    found = Translation()
    for code, likelihood in codes.items():
        if code not in FINDINGS.index:
            found.unmapped.append(code)
        elif np.isnan(likelihood):
            found.unread.append(f"{code} {stated[code]}")
        else:
            found.labels[code] = likelihood
    if not found.labels:
        raise BadRecord(f"scp_codes: no known code ({', '.join(codes)[:60]})")
    if found.unmapped:
        found.attributes["unmapped"] = found.unmapped
    return found


def _age(cell: str) -> float:
    return 90.0 if number(cell) == OVER_89 else age_of(cell)


def _whole(cell: str) -> float:
    """Return a number without a fraction, NaN for anything else."""
    value = number(cell)
    return value if value == value and value == int(value) else np.nan


def _attributes(row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what ECG-QA asks about besides the labels, and cells that could not be read.

    Noise without a named lead ("leicht") is left out, as in ECG-QA. A second infarction stage takes
    precedence over the first. label_maps.csv compares PTB-XL's words for the axis with ECG-QA's
    ranges in degrees; where the two disagree too often, there is no `heart_axis`.
    """
    attributes: dict[str, Any] = {}
    if not pd.isna(row["strat_fold"]):
        attributes["strat_fold"] = int(row["strat_fold"])
    human = str(row.get("validated_by_human", "")).strip().lower()
    attributes["validated_by_human"] = human in ("true", "1", "1.0")
    unread: list[str] = []
    stage = row["infarction_stadium2"] or row["infarction_stadium1"]
    if stage:
        found = translate("ptbxl_stage", [stage])
        attributes |= {k: v for k, v in found.attributes.items() if k != "unmapped"}
        unread += [f"infarction stage: {word}" for word in found.unread]
    if row["heart_axis"]:
        attributes["heart_axis_code"] = row["heart_axis"]
        axes = label_map("ptbxl_axis")
        if row["heart_axis"].lower() not in axes:
            unread.append(f"heart_axis: {row['heart_axis']}")
        for _, meaning in axes.get(row["heart_axis"].lower(), []):
            if meaning:
                attributes["heart_axis"] = meaning.partition(": ")[2]
    noise = {kind: leads_in(row[column]) for kind, column in NOISE.items()}
    attributes["noise"] = {kind: leads for kind, leads in noise.items() if leads}
    attributes["extrasystoles"] = extrasystoles_in(row["extra_beats"])
    return attributes, unread
