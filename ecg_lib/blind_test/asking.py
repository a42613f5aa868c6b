"""Ask a model everything that a plan lists, and keep each reply as soon as it is there.

Replies are appended to a file of JSON lines, one per request, under a key made of the model's name,
the question and the samples of the ECGs. A run that was interrupted goes on where it stopped. A
request on which the model failed is asked again in the next run.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecg_lib.blind_test.blind_plan import Plan
from ecg_lib.blind_test.conditions import shown
from ecg_lib.blind_test.question_set import QuestionSet
from ecg_lib.blind_test.replies import FAILED, Reply
from ecg_lib.errors import DataError
from ecg_lib.signal.resample import to_rate

BATCH = 64


class Model(Protocol):
    """A model under test.

    It may have these attributes: `name` (text that changes when the model does; replies are kept
    under it), `rate` (sampling rate in Hz at which it wants its ECGs) and `batch_size`.
    """

    def __call__(
        self, ecgs: Sequence[Sequence[np.ndarray]], questions: Sequence[str]
    ) -> Sequence[str | Reply]:
        """Answer questions.

        Parameters
        ----------
        ecgs : sequence of one or two (12, T) float32 arrays each, mV
            For each question its ECG, or the earlier and the later one. Leads are in the order
            I, II, III, aVR, aVL, aVF, V1 to V6.
        questions : sequence of str

        Returns
        -------
        sequence of str or Reply
            As many as there are questions.
        """


def ask_all(
    model: Model,
    questions: QuestionSet,
    plan: Plan,
    file: Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Ask a model all requests of a plan.

    Parameters
    ----------
    file : Path, optional
        JSON lines in which replies are kept and looked up.

    Returns
    -------
    DataFrame
        `text`, `p_yes` (NaN if the model has none) and `error` ("" if it answered), in the order
        of `plan.requests`.
    """
    name = str(getattr(model, "name", "") or getattr(model, "__name__", type(model).__name__))
    rate = int(getattr(model, "rate", questions.rate))
    size = int(getattr(model, "batch_size", BATCH))
    known = _kept(file) if file else {}
    # requests about the same ECG stand together, so that a model may encode it once
    order = (
        plan.requests["ecg_id"].map("|".join).add(plan.requests["signal"]).argsort(kind="stable")
    )
    found: dict[int, dict] = {}
    with _Log(file) as log:
        bar = tqdm(total=len(order), desc=f"blind test, {name}", disable=not progress)
        for start in range(0, len(order), size):
            places = order.iloc[start : start + size].tolist()
            some = plan.requests.iloc[places]
            ecgs = _signals(questions, some, rate, plan.seed)
            keys = [_key(name, text, own) for text, own in zip(some["question"], ecgs, strict=True)]
            first = {key: k for k, key in reversed([*enumerate(keys)])}
            todo = sorted(k for key, k in first.items() if key not in known)
            texts = some["question"].tolist()
            replies = _asked(model, [ecgs[k] for k in todo], [texts[k] for k in todo])
            for k, reply in zip(todo, replies, strict=True):
                known[keys[k]] = reply
                log.write({"key": keys[k], **reply})
            log.flush()
            found |= {place: known[key] for place, key in zip(places, keys, strict=True)}
            bar.update(len(places))
        bar.close()
    table = pd.DataFrame([found[place] for place in range(len(order))])
    return table.reindex(columns=["text", "p_yes", "error"]).astype({"p_yes": float})


def _signals(
    questions: QuestionSet, some: pd.DataFrame, rate: int, seed: int
) -> list[list[np.ndarray]]:
    """Return the signals that each request shows; each ECG is read once per batch."""
    ids = sorted({ecg for own in some["ecg_id"] for ecg in own})
    signals = questions.signals(ids)
    if rate != questions.rate:
        signals = np.stack([to_rate(own, questions.rate, rate) for own in signals])
    at = dict(zip(ids, signals.astype(np.float32), strict=True))
    return [
        shown(np.stack([at[ecg] for ecg in row.ecg_id]), row.signal, row.ecg_id, seed)
        for row in some.itertuples()
    ]


def _key(name: str, question: str, ecgs: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps([name, question]).encode())
    for own in ecgs:
        digest.update(np.ascontiguousarray(own).tobytes())
    return digest.hexdigest()[:32]


def _asked(model: Model, ecgs: list[list[np.ndarray]], texts: list[str]) -> list[dict]:
    """Ask some questions; if the model fails on them together, ask them one by one."""
    if not texts:
        return []
    try:
        return [_entry(reply) for reply in _checked(model(ecgs, texts), len(texts))]
    except Exception as error:  # a model under test may raise anything
        if len(texts) == 1:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            return [{"text": "", "p_yes": None, "error": reason or FAILED}]
    return [_asked(model, [own], [text])[0] for own, text in zip(ecgs, texts, strict=True)]


def _checked(replies: Sequence[str | Reply], n: int) -> list[str | Reply]:
    if isinstance(replies, str) or len(replies) != n:
        raise DataError(f"the model returned {len(replies)} replies to {n} questions")
    return list(replies)


def _entry(reply: str | Reply) -> dict:
    own = reply if isinstance(reply, Reply) else Reply("" if reply is None else str(reply))
    p_yes = own.p_yes
    if p_yes is not None and not (math.isfinite(p_yes) and 0 <= p_yes <= 1):
        raise DataError(f"P(yes) is {p_yes}; give a number from 0 to 1")
    return {"text": str(own.text), "p_yes": p_yes, "error": ""}


def _kept(file: Path) -> dict[str, dict]:
    """Read the replies of earlier runs; leave out failures and a last line that was cut off."""
    known: dict[str, dict] = {}
    if not file.is_file():
        return known
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            key = entry.pop("key")
        except (ValueError, KeyError, AttributeError):
            continue
        if not entry.get("error"):
            known[key] = entry
    return known


class _Log:
    """Appends JSON lines to a file, each written out at once; without a file it does nothing."""

    def __init__(self, file: Path | None):
        self._file = file

    def __enter__(self) -> _Log:
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._out = self._file.open("a", encoding="utf-8")
            if self._file.stat().st_size:
                self._out.write("\n")  # an interrupted run may have left half a line
        return self

    def write(self, entry: dict) -> None:
        if self._file:
            self._out.write(json.dumps(entry) + "\n")

    def flush(self) -> None:
        if self._file:
            self._out.flush()
            os.fsync(self._out.fileno())

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._out.close()
