"""Small good inputs, one builder per reader, which the tests then harm."""

import json

from ecg_folders import beats, ptbxl_row, write_challenge, write_mimic, write_ptbxl, write_wfdb
from scipy.io import savemat

SR = "426783006"
SHARD = "ptbxl/paraphrased/test/00000.json"
CSV = "record,question,answer,patient_id\n"


def ptbxl(root):
    """Write two ECGs of PTB-XL."""
    return write_ptbxl(root, [ptbxl_row(1, 11), ptbxl_row(2, 12)])


def georgia(root):
    """Write two ECGs of the challenge."""
    records = {f"georgia/E{k}": SR for k in (1, 2)}
    signals = dict.fromkeys(records, beats(100))
    write_challenge(root, records, signals=signals)
    for header in root.rglob("*.hea"):  # written as if at 500 Hz
        header.write_text(header.read_text().replace(" 12 500 ", " 12 100 "))
    return root


def mimic(root):
    """Write two ECGs of MIMIC-IV-ECG."""
    return write_mimic(root, {k: ["Sinus rhythm", "Normal ECG"] for k in (41, 42)})


def ludb(root):
    """Write two ECGs of LUDB."""
    for k in (1, 2):
        write_wfdb(root / f"data/{k}", beats(100), fs=100)
    rows = "".join(f"{k},F,60,Sinus rhythm\n" for k in (1, 2))
    (root / "ludb.csv").write_text("ID,Sex,Age,Rhythms\n" + rows)
    return root


def cpsc2018(root):
    """Write two ECGs of CPSC 2018."""
    (root / "TrainingSet1").mkdir(parents=True)
    for k in (1, 2):
        ecg = {"sex": "Male", "age": 50.0, "data": beats(500)}
        savemat(root / f"TrainingSet1/A000{k}.mat", {"ECG": ecg})
    head = "Recording,First_label,Second_label,Third_label\n"
    (root / "REFERENCE.csv").write_text(head + "A0001,1,,\nA0002,2,,\n")
    return root


def question(sample=0, **fields):
    """Return a row of ECG-QA."""
    return {
        "template_id": 1,
        "question_id": 1,
        "sample_id": sample,
        "question_type": "single-verify",
        "attribute_type": "scp_code",
        "question": "Does this ECG show atrial fibrillation?",
        "answer": ["no"],
        "ecg_id": [1 + sample % 2],
        "attribute": ["atrial fibrillation"],
    } | fields


def ecgqa(root):
    """Write ECG-QA's splits and one shard of questions."""
    (root / SHARD).parent.mkdir(parents=True)
    (root / SHARD).write_text(json.dumps([question(k) for k in range(4)]))
    for split, ids in {"train": "0\t1\n", "valid": "0\t2\n", "test": ""}.items():
        (root / f"ptbxl/{split}_ecgs.tsv").write_text(ids or "0\t3\n")
    return root


def dialogue(ecg=1, **fields):
    """Return a dialogue of ECG-Reasoning-Benchmark."""
    ask = {"question": "Is it AF?", "answer": "No", "options": ["Yes", "No"]}
    first = {"question_type": "initial_diagnostic_question"} | ask
    return {
        "metadata": {"ecg_id": ecg},
        "data": {"initial_diagnostic_question": first, "reasoning": []},
    } | fields


def benchmark(root):
    """Write two dialogues of ECG-Reasoning-Benchmark."""
    root.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(dialogue(k)) + "\n" for k in (1, 2))
    (root / "ptbxl.jsonl").write_text(text)
    return root


def own_csv(root):
    """Write a CSV of one's own about three records."""
    rows = ""
    for k in "abc":
        write_wfdb(root / k, beats(100, seed=ord(k)), fs=100)
        rows += f"{k},Is it AF?,{'yes' if k == 'a' else 'no'},{k}\n"
    (root / "questions.csv").write_text(CSV + rows)
    return root
