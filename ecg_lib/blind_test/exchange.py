"""Judge a model that cannot be called from here: write out what to ask it, read its answers.

`export` writes a folder with

questions.jsonl   one line per request: `id`, `question`, `ecgs` (files in this folder)
ecgs/             each ECG as .npy (12, T) float32 in mV, or also as a picture
key/              the plan, with the true answers; the model must not see it

The answers come back as JSON lines, one per request: `id`, `answer` and, if the model has it,
`p_yes`. Their order does not matter. A request without an answer counts as missing.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecg_lib.blind_test.blind_plan import Plan
from ecg_lib.blind_test.conditions import ZEROED, shown
from ecg_lib.blind_test.question_set import QuestionSet
from ecg_lib.blind_test.replies import MISSING
from ecg_lib.blind_test.run import BlindTest, judged
from ecg_lib.data.source_files import read_text
from ecg_lib.disk import write_file
from ecg_lib.errors import DataError

KEY, QUESTIONS = "key", "questions.jsonl"


def export(questions: QuestionSet, plan: Plan, folder: str | Path, pictures: bool = False) -> Path:
    """Write the requests of a plan, and the signals that they show.

    The file names tell nothing about the patient or the condition.

    Parameters
    ----------
    pictures : bool
        Also write each ECG as a PNG on paper, for models that read images.

    Returns
    -------
    Path
        questions.jsonl
    """
    folder = Path(folder)
    lines, written = [], set()
    for place, row in enumerate(tqdm(plan.requests.itertuples(), "export", len(plan.requests))):
        files = []
        for at, ecg in enumerate(row.ecg_id):
            file = _file(plan, ecg, row.signal)
            files.append(f"ecgs/{file}.npy")
            if file not in written:
                own = questions.signals(row.ecg_id)
                _write_ecg(
                    shown(own, row.signal, row.ecg_id, plan.seed)[at],
                    folder / "ecgs" / file,
                    questions.rate,
                    pictures,
                )
                written.add(file)
        lines.append({"id": place, "question": row.question, "ecgs": files})
    order = np.random.default_rng(plan.seed).permutation(len(lines))  # conditions are not in runs
    text = "".join(json.dumps(lines[k]) + "\n" for k in order)
    about = {"rate_hz": questions.rate, "unit": "mV", "leads": "I II III aVR aVL aVF V1-V6"}
    write_file(folder / "ecgs.json", json.dumps(about, indent=1) + "\n")
    plan.save(folder / KEY)
    write_file(folder / QUESTIONS, text)
    return folder / QUESTIONS


def score(folder: str | Path, answers: str | Path, name: str, resamples: int = 1000) -> BlindTest:
    """Judge answers to exported questions.

    Parameters
    ----------
    folder : path
        The folder that `export` wrote.
    answers : path
        JSON lines with `id`, `answer` and perhaps `p_yes`.
    name : str
        The model's name in the table.

    Raises
    ------
    DataError
        The folder holds no export, a line is not such an answer, or an id is unknown or answered
        twice.
    """
    plan = Plan.load(Path(folder) / KEY)
    found: dict[int, tuple[str, float]] = {}
    text = read_text(answers, "JSON lines")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{answers}, line {number}"
        try:
            entry = json.loads(line)
            place, said = entry["id"], entry["answer"]
            p_yes = float("nan") if entry.get("p_yes") is None else float(entry["p_yes"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            raise DataError(
                f'{where}: write {{"id": 0, "answer": "yes", "p_yes": 0.9}}; p_yes may be left out'
            ) from None
        if type(place) is not int or not 0 <= place < len(plan.requests):
            raise DataError(
                f"{where}: id {repr(place)[:40]} is not in {QUESTIONS}; copy the ids from there"
            )
        if place in found:
            raise DataError(f"{where}: id {place} is answered twice; keep one line")
        if not np.isnan(p_yes) and not 0 <= p_yes <= 1:
            raise DataError(f"{where}: p_yes is {p_yes}; give a number from 0 to 1")
        found[place] = ("" if said is None else str(said), p_yes)
    if not found:
        raise DataError(f"{answers}: no answers; write one JSON line per question")
    lines = [
        (*found[place], "") if place in found else ("", float("nan"), MISSING)
        for place in range(len(plan.requests))
    ]
    replies = pd.DataFrame(lines, columns=["text", "p_yes", "error"])
    return judged(plan, replies, name, resamples)


def _file(plan: Plan, ecg: str, signal: str) -> str:
    """Return a file name that does not tell what it holds; all zeroed ECGs are the same file."""
    text = f"{plan.name} {plan.seed} {ecg if signal != ZEROED else ''} {signal}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write_ecg(signal_mv: np.ndarray, path: Path, rate: int, picture: bool) -> None:
    write_file(path.with_suffix(".npy"), partial(np.save, arr=signal_mv.astype(np.float32)))
    if picture:
        from ecg_lib.report.ecg_plot import plot_ecg

        figure = plot_ecg(signal_mv, rate)
        write_file(path.with_suffix(".png"), partial(figure.savefig, dpi=100))
