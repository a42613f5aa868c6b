"""Simulated patients in the folder layouts that the paper profile reads.

The functions write MIMIC-IV-ECG, PTB-XL, ECG-QA, LUDB and the 2021 challenge as they look when
unpacked, with the faults of real downloads: two-word reports, files that are listed but missing,
a flat lead, and questions about an ECG that is not there.
"""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
from ecg_folders import ptbxl_row, write_challenge, write_mimic, write_ptbxl, write_wfdb
from scipy.signal import resample

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.knowledge.label_maps import label_map
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.draw import Sizes
from ecg_lib.questions.schema import COLUMNS
from ecg_lib.signal.leads import LEADS

MIMIC, MIMIC_ABSENT, MIMIC_TINY = 80, 3, 5  # ECGs; listed without files; reports under three words
WORDS = "as the zebra cart says"  # in every report of MIMIC-IV-ECG, and nowhere else
ASKED = 100  # PTB-XL patients
ONE = Sizes(
    verify=1,
    broad=6,
    choose=1,
    query=1,
    comparison_verify=1,
    comparison_query=1,
    min_positive=1,
    choose_questions=2,
    query_rows=4,
)
FEW = replace(ONE, verify=2, broad=12, min_positive=4, query_rows=6)
SHARD = 500  # questions per file; the release has 10,000
ZERO_SHOT = 30  # ECGs per zero-shot cohort
AXES = {"normal heart axis": "MID", "left axis deviation": "ALAD", "right axis deviation": "RAD"}
STAGES = {"early": "Stadium I", "middle": "Stadium II", "old": "Stadium III", "unknown": "unknown"}
BEATS = {
    "extrasystoles": "1ES,alles",
    "ventricular extrasystoles": "VES1,alles",
    "supraventricular extrasystoles": "SVES1,alles",
}


def drawn(patients, seed):
    """Return the simulated ECGs of a number of patients."""
    return [ecg for batch in SimulatedCohort(patients, seed=seed).batches() for ecg in batch]


def fine(signal, rate=500):
    """Resample a 100 Hz signal to another rate."""
    return resample(signal, round(signal.shape[-1] * rate / 100), axis=-1)


def write_data_root(root: Path) -> dict:
    """Write all data sets below `root` and return their counts."""
    others = drawn(700, 11)
    return {
        "mimic": mimic(root / "mimic-iv-ecg-diagnostic-electrocardiogram-matched-subset-1.0"),
        "questions": ptbxl_and_ecgqa(root / "ptb-xl", root / "ecg-qa" / "ecgqa"),
        "ludb": ludb(root / "ludb", others),
        "challenge": challenge(root / "challenge-2021", others),
    }


def mimic(root: Path) -> dict:
    """Write MIMIC-IV-ECG, with machine statements that describe what was simulated."""
    said: dict[str, str] = {}
    for phrase, meanings in label_map("mimic_iv_ecg").items():
        for code, _ in meanings:
            said.setdefault(code, phrase.capitalize())
    reports, signals = {}, {}
    for number, ecg in enumerate(drawn(100, 5)[:MIMIC]):
        study = 40000000 + 37 * number
        known = [said[code] for code in ecg.labels if code in said]
        reports[study] = [*(known or ["Sinus rhythm"]), f"Rate {60 + number % 40} bpm, {WORDS}"]
        signals[study] = fine(ecg.signal)
    studies = list(reports)
    for number in range(MIMIC_TINY):
        reports[studies[10 * number]] = [["Abnormal ECG"], []][number % 2]
    write_mimic(root, reports, absent=studies[-MIMIC_ABSENT:], signals=signals)
    return {"kept": MIMIC - MIMIC_ABSENT - MIMIC_TINY, "dropped": MIMIC_TINY}


def ptbxl_and_ecgqa(root: Path, ecgqa: Path) -> dict:
    """Write PTB-XL, a quarter also at 500 Hz, and ECG-QA, partly about an unusable ECG."""
    ecgs = drawn(ASKED, 3)
    ids = {ecg.ecg_id: 3 + 7 * number for number, ecg in enumerate(ecgs)}
    rows = [ptbxl_fields(ids[ecg.ecg_id], ecg) for ecg in ecgs]
    signals = {ids[ecg.ecg_id]: ecg.signal for ecg in ecgs}
    flat = next(i for ecg, i in zip(ecgs, signals, strict=True) if ecg.split == "train")
    signals[flat][7] = 0.0
    write_ptbxl(root, rows, 100, signals)
    write_ptbxl(
        root, rows[::4], 500, {row["ecg_id"]: fine(signals[row["ecg_id"]]) for row in rows[::4]}
    )
    pd.DataFrame(rows).to_csv(root / "ptbxl_database.csv", index=False)
    fields = ["patient_id", "recorded_at", "split", "labels", "attributes"]
    records = pd.DataFrame([{name: getattr(ecg, name) for name in fields} for ecg in ecgs])
    records["ecg_id"] = [f"ptbxl/{i:05d}" for i in ids.values()]
    records["normal"] = ["NORM" in ecg.labels for ecg in ecgs]
    built = build_questions(records, {"train": FEW, "valid": ONE, "test": ONE}, "ecgqa", 7)
    built.pop("dev")  # ECG-QA has no dev split
    kept = {}
    for split, asked in built.items():
        about = asked["ecg_id"].map(lambda pair: f"ptbxl/{flat:05d}" in pair)
        write_shards(ecgqa / "ptbxl", split, asked)
        kept[split] = int((~about).sum())
        listed = [int(i[6:]) for i in records.loc[records["split"] == split, "ecg_id"]]
        table = pd.Series(listed)
        table.to_csv(ecgqa / "ptbxl" / f"{split}_ecgs.tsv", sep="\t", header=False)
    return {
        "ecgs": len(ecgs) - 1,
        "kept": kept,
        "dropped": sum(map(len, built.values())) - sum(kept.values()),
    }


def ptbxl_fields(ecg_id: int, ecg) -> dict:
    """Return the row of ptbxl_database.csv that describes a simulated ECG."""
    known = ecg.attributes
    number = int(ecg.patient_id.rpartition("-")[2])
    noise = {
        kind.replace(" ", "_"): ", ".join(lead.upper() for lead in leads)
        for kind, leads in known["noise"].items()
    }
    return ptbxl_row(
        ecg_id,
        number,
        age=ecg.age,
        sex=int(ecg.sex == "F"),
        recording_date=ecg.recorded_at.replace("T", " "),
        report=ecg.report,
        scp_codes=str(ecg.labels),
        strat_fold=1 + number % 10,
        heart_axis=AXES.get(known["heart_axis"]),
        infarction_stadium1=STAGES.get(known.get("infarction_stage", "").partition(" ")[0]),
        extra_beats=",".join(BEATS[kind] for kind in known["extrasystoles"]) or None,
        **noise,
    )


def write_shards(folder: Path, split: str, rows: pd.DataFrame) -> None:
    """Write ECG-QA's JSON shards, with ids as in the release: one question_id for all leads."""
    rows = rows.reset_index(drop=True).copy()
    asked = [
        [a for a in attribute if not a.startswith("lead ")] or ["any kind of noises"]
        if attribute
        else None
        for attribute in rows["attribute"]
    ]
    rows["attribute"] = asked
    named = zip(asked, rows["question_id"], strict=True)
    key = rows["template_id"].astype(str) + [str(sorted(a)) if a else str(q) for a, q in named]
    rows["question_id"] = 1 + pd.factorize(key, sort=True)[0]
    rows["sample_id"] = range(len(rows))
    rows["answer"] = [answer[::-1] for answer in rows["answer"]]  # their order has no meaning
    rows["ecg_id"] = [[int(i.partition("/")[2]) for i in pair] for pair in rows["ecg_id"]]
    plain = rows.groupby(key)["question"].transform("first")
    for form, questions in (("paraphrased", rows["question"]), ("template", plain)):
        place = folder / form / split
        place.mkdir(parents=True)
        listed = rows.assign(question=questions)[list(COLUMNS)].to_dict("records")
        for start in range(0, len(listed), SHARD):
            text = json.dumps(listed[start : start + SHARD], indent=4)
            (place / f"{start:0{6 if split == 'train' else 5}d}.json").write_text(text)


def having(ecgs, codes, n):
    """Return n simulated ECGs; two thirds have one of the codes, taken in turn."""
    wanted = [[ecg for ecg in ecgs if code in ecg.labels] for code in codes]
    turns = [some[i] for i in range(max(map(len, wanted))) for some in wanted if i < len(some)]
    chosen = turns[: 2 * n // 3]
    return chosen + [ecg for ecg in ecgs if not set(codes) & set(ecg.labels)][: n - len(chosen)]


def ludb(root: Path, ecgs) -> int:
    """Write LUDB, with one diagnosis per line in a cell and lead names in lower case."""
    words = {code: word for word, meanings in label_map("ludb").items() for code, _ in meanings}
    lines = ["ID,Sex,Age,Rhythms,Electric axis of the heart,Conduction abnormalities"]
    for number, ecg in enumerate(having(ecgs, ["SBRAD", "SARRH"], ZERO_SHOT), start=1):
        write_wfdb(root / "data" / str(number), fine(ecg.signal), [n.lower() for n in LEADS])
        cell = "\n".join(words[code].capitalize() for code in ecg.labels if code in words)
        lines.append(f'{number},{ecg.sex},{ecg.age:.0f},"{cell}\n",,')
    (root / "ludb.csv").write_text("\n".join(lines) + "\n")
    return ZERO_SHOT


def challenge(root: Path, ecgs) -> int:
    """Write CPSC, Chapman-Shaoxing and Ningbo of the 2021 challenge; one has no diagnosis."""
    codes: dict[str, str] = {}
    for theirs, meanings in label_map("snomed").items():
        for code, _ in meanings:
            codes.setdefault(code, theirs)
    half = len(ecgs) // 2
    sources = {
        "cpsc_2018/g1/A": having(ecgs, ["AFIB", "CRBBB"], ZERO_SHOT),
        "chapman_shaoxing/g1/JS0": having(ecgs[:half], ["SBRAD", "LVH"], ZERO_SHOT // 2),
        "ningbo/g1/JS1": having(ecgs[half:], ["SBRAD", "LVH"], ZERO_SHOT - ZERO_SHOT // 2),
    }
    records, signals = {}, {}
    for prefix, chosen in sources.items():
        for number, ecg in enumerate(chosen):
            path = f"{prefix}{number:04d}"
            stated = [code for code in ecg.labels if code in codes]
            records[path] = ",".join(codes[code] for code in stated)
            signals[path] = fine(ecg.signal)
    empty = "ningbo/g1/JS19999"
    write_challenge(root, records | {empty: ""}, signals=signals | {empty: signals[path]})
    return ZERO_SHOT
