"""Tests of the tiny LLM's courses: their order, when they continue, and what is saved."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer

from ecg_lib.config import compose
from ecg_lib.ecg_llm.processor import QUESTION
from ecg_lib.tiny_llm import curriculum, look_up_course, pretrain
from ecg_lib.tiny_llm.dialogue_turns import age_turns, dialogue_turns
from ecg_lib.tiny_llm.lookup_tasks import FEW, SEVERAL, lookup_tasks

LOOKED_UP = ["look_ups_1", "look_ups_2", "look_ups_3"]
SEED = 42


def reading_rows():
    return pd.DataFrame(
        {
            "question": ["Is a there?", "Is b there?", "Is c there?", "Is d there?"],
            "answer": [["yes"], ["no"], ["sinus rhythm", "atrial fibrillation"], ["no"]],
            "ecg_id": [["x"], ["x"], ["x"], ["y", "x"]],
        }
    )


def small(**settings):
    sizes = {"rows": 4, "made_up": 4, "talks": 4, "passages": 4, "batch_size": 8, "general": 0}
    return replace(compose("smoke").llm, **sizes, **settings)


def taught(folder, settings, questions=lambda number: reading_rows(), reads=None):
    """Train both courses in a single call."""
    return pretrain.pretrain(
        lambda ecg, rng: f"report {ecg}", questions, settings, folder, SEED, reads
    )


def spy(monkeypatch, name, note, *rooms):
    """Record the arguments of a function in several modules, and still call it."""
    own = getattr(rooms[0], name)
    for room in rooms:
        monkeypatch.setattr(room, name, lambda *a, **how: note(*a, **how) or own(*a, **how))


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
    monkeypatch.setattr(look_up_course, "_LEARNED", learned)
    spy(
        monkeypatch,
        "lookup_tasks",
        lambda n, seed, start=None: drawn.append((n, seed, start)),
        look_up_course,
        pretrain,
    )
    spy(monkeypatch, "dialogue_rows", lambda turns, *_: practised.extend(turns), curriculum)
    folder = taught(
        tmp_path,
        small(look_ups=24, reading_gate=0.9),
        lambda k: passes.append(k) or reading_rows(),
        lambda model, tokenizer: share,
    )
    assert pd.read_csv(folder / "curve.csv")["course"].drop_duplicates().tolist() == said
    more = [(12, SEED + k, FEW) for k in (3, 4, 5)] if learned == 0 else []
    assert drawn == [(24, SEED, None), *more, (1, SEED + 100, None)]  # new tasks each time
    assert {"model.safetensors", "tokenizer.json", "curve.csv"} <= {
        f.name for f in folder.iterdir()
    }
    assert [f.name for f in folder.iterdir() if f.is_dir()] == ["look_ups"]  # the first course
    frame = QUESTION.format(question="").replace(":", "").split()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert all(len(tokenizer(word)["input_ids"]) == 1 for word in frame)  # the paper's prompt
    more = said.count("reading_2") + said.count("reading_3")
    assert passes == [0, 0, 100, 200][: 2 + more]  # new questions in each course
    assert practised == dialogue_turns(4, SEED) + age_turns(16, SEED) + [
        turn
        for k in range(1, 1 + more)
        for turn in dialogue_turns(2, SEED + 100_000 * k) + age_turns(8, SEED + 100_000 * k)
    ]


def test_each_harder_kind_of_look_up_begins_at_the_full_rate(monkeypatch, tmp_path):
    monkeypatch.setattr(look_up_course, "_LEARNED", 100.0)
    given = []
    spy(monkeypatch, "exercise_rows", lambda tasks, _: given.append(list(tasks)), look_up_course)
    settings = small(look_ups=400)
    curve = pd.read_csv(taught(tmp_path, settings) / "curve.csv")
    assert [len(texts) for texts in given[:3]] == np.diff(
        [int(share * 400) for share in (0, FEW, SEVERAL, 1)]
    ).tolist()
    assert [text for texts in given[:3] for text in texts] == lookup_tasks(400, SEED)
    for name in LOOKED_UP:
        rate = curve.loc[curve["course"] == name, "learning_rate"]
        assert rate.iloc[-1] < 0.2 * settings.look_up_rate < rate.max()


def test_fresh_look_ups_of_all_kinds_come_with_the_reading(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(look_up_course, "_LEARNED", 100.0)
    spy(monkeypatch, "exercise_rows", lambda tasks, _: given.append(list(tasks)), pretrain)
    taught(tmp_path, small(look_ups=48))
    first, more = lookup_tasks(48, SEED), given[-1]
    assert more == lookup_tasks(3, SEED + 100) and not [text for text in more if text in first]
    assert len({len(text.reports) for text in more}) == 2
