"""The courses of the tiny LLM: their order, when they go on, what is saved."""

import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer

from ecg_lib.config import compose
from ecg_lib.ecg_llm.processor import QUESTION
from ecg_lib.knowledge.advice import spans, talks
from ecg_lib.tiny_llm import curriculum
from ecg_lib.tiny_llm.curriculum import grouped_by_length, grouped_in_order
from ecg_lib.tiny_llm.lookup_tasks import FEW, SEVERAL, lookup_tasks

LOOKED_UP = ["look_ups_1", "look_ups_2", "look_ups_3"]


def reading_rows():
    return pd.DataFrame(
        {
            "question": ["Is a there?", "Is b there?", "Is c there?", "Is d there?"],
            "answer": [["yes"], ["no"], ["sinus rhythm", "atrial fibrillation"], ["no"]],
            "ecg_id": [["x"], ["x"], ["x"], ["y", "x"]],
        }
    )


def small(*settings):
    return compose(
        "smoke",
        [
            "llm.rows=4",
            "llm.made_up=4",
            "llm.talks=4",
            "llm.passages=4",
            "llm.batch_size=8",
            *settings,
        ],
    )


def taught(folder, config, draw=lambda k: reading_rows(), reads=None):
    """Both courses, the second from what the first has saved."""
    drawn_from = draw, lambda ecg, rng: f"report {ecg}", ["Plain words."], ["sinus rhythm"]
    for name in ("look_ups", "reading"):
        (folder / name).mkdir()
    curriculum.learn_look_ups(*drawn_from, config, folder / "look_ups")
    curriculum.learn_reading(folder / "look_ups", *drawn_from, config, folder / "reading", reads)
    return folder / "reading"


def rows_of(lengths):
    return [{"input_ids": [number] * n} for number, n in enumerate(lengths)]


def test_batches_of_like_length_hold_every_row_once_and_little_padding():
    lengths = np.random.default_rng(0).integers(5, 300, size=203)
    ordered = [row["input_ids"] for row in grouped_by_length(rows_of(lengths), 8, seed=0)]
    assert sorted(ids[0] for ids in ordered) == list(range(203))
    batches = [ordered[k : k + 8] for k in range(0, 203, 8)]
    padding = sum(max(map(len, b)) * len(b) - sum(map(len, b)) for b in batches[:-1])
    assert padding < 0.1 * lengths.sum()
    means = [np.mean([len(ids) for ids in b]) for b in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.6  # not from short to long
    assert ordered == [r["input_ids"] for r in grouped_by_length(rows_of(lengths), 8, seed=0)]


def test_batches_of_a_course_have_little_padding_and_keep_its_order():
    lengths = np.random.default_rng(0).integers(5, 300, size=203)
    rows = rows_of(lengths)
    ordered = [row["input_ids"] for row in grouped_in_order(rows, 8, seed=0, among=5)]
    assert sorted(ids[0] for ids in ordered) == list(range(203))
    assert all(abs(place - ids[0]) < 5 * 8 for place, ids in enumerate(ordered))
    batches = [ordered[k : k + 8] for k in range(0, 200, 8)]
    padding = sum(max(map(len, b)) * len(b) - sum(map(len, b)) for b in batches)
    assert padding < 0.25 * lengths.sum()  # as they come: 0.67
    assert [ids[0] for ids in ordered] != sorted(ids[0] for ids in ordered)


@pytest.mark.parametrize(
    "learned, share, said",
    [
        (100.0, 0.9, [*LOOKED_UP, "reading_1"]),
        (0.0, 0.9, [*LOOKED_UP, "look_ups_4", "look_ups_5", "look_ups_6", "reading_1"]),
        (100.0, 0.8, [*LOOKED_UP, "reading_1", "reading_2", "reading_3"]),
    ],
)
def test_practice_goes_on_until_it_is_learned(monkeypatch, tmp_path, learned, share, said):
    drawn, passes, practised = [], [], []
    config = small("llm.look_ups=24", "llm.reading_gate=0.9")
    monkeypatch.setattr(curriculum, "_LEARNED", learned)
    monkeypatch.setattr(
        curriculum,
        "look_ups",
        lambda n, seed, **how: (
            drawn.append((n, seed, how.get("start"))) or lookup_tasks(n, seed, **how)
        ),
    )
    monkeypatch.setattr(
        curriculum,
        "dialogues",
        lambda talk, *how, own=curriculum.dialogues, **more: (
            practised.extend(talk) or own(talk, *how, **more)
        ),
    )
    folder = taught(
        tmp_path,
        config,
        lambda k: passes.append(k) or reading_rows(),
        lambda model, tokenizer: share,
    )
    assert pd.read_csv(folder / "curve.csv")["course"].drop_duplicates().tolist() == said
    more = [(12, config.seed + k, FEW) for k in (3, 4, 5)] if learned == 0 else []
    assert drawn == [(24, config.seed, None), *more, (1, config.seed + 100, None)]  # fresh ones
    assert {"model.safetensors", "tokenizer.json", "curve.csv"} <= {
        f.name for f in folder.iterdir()
    }
    assert not [f for f in folder.iterdir() if f.is_dir()]
    frame = QUESTION.format(question="").replace(":", "").split()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert all(len(tokenizer(word)["input_ids"]) == 1 for word in frame)  # of the paper's prompt
    more = said.count("reading_2") + said.count("reading_3")
    assert passes == [0, 0, 100, 200][: 2 + more]  # other questions in each course
    assert practised == talks(4, config.seed) + spans(16, config.seed) + [
        turn
        for k in range(1, 1 + more)
        for turn in talks(2, config.seed + 100_000 * k) + spans(8, config.seed + 100_000 * k)
    ]


def test_each_harder_kind_of_look_up_begins_at_the_full_rate(monkeypatch, tmp_path):
    monkeypatch.setattr(curriculum, "_LEARNED", 100.0)
    given = []
    monkeypatch.setattr(
        curriculum,
        "practice",
        lambda texts, *how, own=curriculum.practice: given.append(list(texts)) or own(texts, *how),
    )
    config = small("llm.look_ups=400")
    curve = pd.read_csv(taught(tmp_path, config) / "curve.csv")
    assert [len(texts) for texts in given[:3]] == np.diff(
        [int(share * 400) for share in (0, FEW, SEVERAL, 1)]
    ).tolist()
    assert [text for texts in given[:3] for text in texts] == lookup_tasks(400, config.seed)
    for name in LOOKED_UP:
        rate = curve.loc[curve["course"] == name, "learning_rate"]
        assert rate.iloc[-1] < 0.2 * config.llm.look_up_rate < rate.max()


def test_fresh_look_ups_of_all_kinds_come_with_the_reading(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(curriculum, "_LEARNED", 100.0)
    monkeypatch.setattr(
        curriculum,
        "practice",
        lambda texts, *how, own=curriculum.practice: given.append(list(texts)) or own(texts, *how),
    )
    config = small("llm.look_ups=48")
    taught(tmp_path, config)
    first, more = lookup_tasks(48, config.seed), given[-1]
    assert more == lookup_tasks(3, config.seed + 100) and not [
        text for text in more if text in first
    ]
    assert len({len(text.reports) for text in more}) == 2
