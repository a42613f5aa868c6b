"""The learning-rate search: same budget for every arm, judged on rows it was given, run once."""

from dataclasses import replace

import pandas as pd
import pytest

from ecg_lib import arms, paths, rates
from ecg_lib import workflow as w
from ecg_lib.config import compose
from ecg_lib.evaluation.exact_match import HEADLINE
from ecg_lib.report.study_tables import learning_rates


def test_every_arm_tries_as_many_rates_in_demo_full():
    config = compose("demo-full")
    found = rates.tried(config)
    assert set(found) == set(arms.ARMS)
    assert {len(own) for own in found.values()} == {len(config.study.rates)}
    for arm, own in found.items():
        assert arms.of_arm(config.stage2, arm).learning_rate in own
    assert rates.tried(compose("demo")) == {}


@pytest.fixture(scope="module")
def searched(small):
    """A search on a checkout with an encoder, an LLM and one trained arm; its questions."""
    config = replace(small.config, stage2=replace(small.config.stage2, epochs=1),
                     study=replace(small.config.study, rates=[1e-3, 4e-3]))
    rows = w.built_questions(config, small.store)
    train, asked = rows["train"].head(48), rows["dev"].head(12)
    clip, _ = w.load_clip(config)
    tokens = w.encode_cohort(config, config.data.questions, clip)
    llm = small.root / "llm"
    normal = small.store.records.set_index("ecg_id")["normal"]
    for arm, shown in arms.stage1_rows(train, normal, config.seed).items():
        arms.run_stage(config, "stage1", arm, shown, tokens, clip, llm, say=lambda _: None)
    return lambda: rates.search_rates(config, train, asked, tokens, clip, llm), config, asked


def test_the_search_asks_every_arm_at_every_rate_and_trains_nothing_twice(searched, monkeypatch):
    search, config, asked = searched
    first = search()
    assert set(first) == {(arm, rate) for arm in arms.ARMS for rate in (1e-3, 4e-3)}
    assert all(list(scored.index) == list(asked.index) for scored in first.values())
    monkeypatch.setattr("ecg_lib.training.finetune.train_stage", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("ecg_lib.rates.answer_arm", lambda *_: pytest.fail("asked"))
    again = search()
    for key, scored in first.items():
        pd.testing.assert_frame_equal(scored, again[key])
    # the rate in use is the arm itself; another lies apart and goes on from the same stage 1
    assert arms.stage_folder(config, "stage2", "control").is_dir()
    other = paths.checkpoints_dir(config.profile) / "rates" / "0.004" / "stage2" / "control"
    assert other.is_dir() and not (other.parent.parent / "stage1").exists()


def scored(right):
    kinds = ["single-verify", "single-choose"] * len(right)
    return pd.DataFrame({HEADLINE: right, "question_type": kinds[: len(right)]})


def test_the_table_marks_the_best_rate_and_the_one_in_use():
    runs = {("none", 1e-3): scored([True, False, False, False]),
            ("none", 2e-3): scored([True, False, True, True])}
    table = learning_rates(runs, {"none": 1e-3}).set_index(["row", "column"])["value"]
    assert table["not de-biased, rate 0.001, used", "all types"] == 25
    assert table["not de-biased, rate 0.002, best", "all types"] == 75
    assert table["not de-biased, rate 0.002, best", "S-Choose"] == 50
    assert learning_rates({}, {}).empty
