"""Tests of the learning-rate search: equal budgets, scores on the given rows, no repeated runs."""

from dataclasses import replace

import pandas as pd
import pytest

from ecg_lib.arm_table import ARMS, arms_of
from ecg_lib.config import compose
from ecg_lib.evaluation.exact_match import HEADLINE
from ecg_lib.experiments import ablations, arms, learning_rates
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.report import ablation_tables
from ecg_lib.training.cache import version_of

SMOKE = arms_of(compose("smoke").arms, "stage2")


def test_every_arm_tries_as_many_rates_in_demo_full():
    config = compose("demo-full")
    found = learning_rates.tried(config, config.study.rates)
    assert set(found) == set(arms_of(config.arms, "stage2")) == set(ARMS) - {"alignment-only"}
    assert {len(own) for own in found.values()} == {len(config.study.rates)}
    for arm, own in found.items():
        assert arms.of_arm(config.stage2, arm).learning_rate in own


def test_each_seed_has_a_folder_of_its_own_and_differs_in_nothing_else():
    run = LlmExperiment.of(compose("demo-full", ["study.rate_seeds=[1,2]"]))
    places = learning_rates.by_seed(run)
    assert places[0] is run and len(places) == 3
    assert len({place.home for place in places}) == 3
    assert len({place.config.seed for place in places}) == 3
    assert all(replace(place.config, seed=run.config.seed) == run.config for place in places)
    assert {place.encoder_home for place in places[1:]} == {run.home}  # encoder and LLM are shared


@pytest.mark.parametrize(
    ("profile", "table", "settings", "tried"),
    [
        ("demo-full", "learning_rates", lambda config: config, 4),
        ("demo-full", "study_learning_rates", ablations.base_of, 4),
        ("ptbxl", "learning_rates", lambda config: config, 4),
    ],
)
def test_the_rates_in_use_are_those_that_the_committed_search_found_best(
    profile, table, settings, tried, committed_results
):
    stage2 = settings(compose(profile, ["data.root=/a"])).stage2
    found = pd.read_csv(committed_results / profile / f"{table}.csv")
    found = found[(found["column"] == "all types") & (found["source"] == "ours")]
    names = {
        key: arm.title
        for key, arm in ARMS.items()
        if found["row"].str.startswith(f"{arm.title}, ").any()
    }
    assert set(names) >= {"none", "de-biased"}
    for arm, name in names.items():
        own = found[found["row"].str.startswith(f"{name}, rate ")]
        best = own.loc[own["value"].idxmax(), "row"]
        assert best == f"{name}, rate {arms.of_arm(stage2, arm).learning_rate:g}, best, used"
        assert len(own) == tried


@pytest.fixture(scope="module")
def searched(small):
    """The search, its runs and the rows it asks; encoder, LLM and one arm are already trained."""
    config = replace(
        small.config,
        stage2=replace(small.config.stage2, epochs=1),
        study=replace(small.config.study, rates=[1e-3, 4e-3], rate_seeds=[7]),
    )
    rows = built_questions(config, small.store)
    train, asked = rows["train"].head(48), rows["dev"].head(12)
    runs = learning_rates.by_seed(replace(small.run, config=config))

    def search():
        return learning_rates.search_rates(runs, config.study.rates, train, asked)

    return search, runs, asked


def test_the_search_asks_every_arm_at_every_rate_and_trains_nothing_twice(searched, monkeypatch):
    search, _, asked = searched
    first = search()
    assert set(first) == {(arm, rate) for arm in SMOKE for rate in (1e-3, 4e-3)}
    assert all(
        list(scored.index) == list(asked.index) for runs in first.values() for scored in runs
    )
    assert {len(runs) for runs in first.values()} == {2}
    monkeypatch.setattr("ecg_lib.ecg_llm.finetune.fit", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr(
        "ecg_lib.experiments.learning_rates.answer_arm", lambda *_: pytest.fail("asked")
    )
    again = search()
    for key, runs in first.items():
        for scored, same in zip(runs, again[key], strict=True):
            pd.testing.assert_frame_equal(scored, same)


def test_a_rate_is_tried_from_where_the_stage_1_of_its_own_seed_ended(searched):
    search, runs, _ = searched
    search()
    # The rate in use is stored as the arm itself. Any other rate has its own folder and continues
    # from the same stage 1.
    for home in (run.home for run in runs):
        assert {path.name for path in (home / "stage2").iterdir()} >= set(SMOKE)
        assert {path.name for path in (home / "stage1").iterdir()} >= set(SMOKE) - {"none"}
        other = home / "rates" / "0.004"
        assert (other / "stage2" / "control").is_dir() and not (other / "stage1").exists()
    one, two = (version_of(arms.stage_folder(run, "stage2", "control")) for run in runs)
    assert one != two


def scored(right, ecgs=(1, 2, 3, 4)):
    kinds = ["single-verify", "single-choose"] * len(right)
    return pd.DataFrame(
        {HEADLINE: right, "question_type": kinds[: len(right)], "ecg_id": [[ecg] for ecg in ecgs]}
    )


def test_the_table_marks_the_best_rate_over_seeds_and_the_one_in_use():
    patients = pd.Series({1: 10, 2: 20, 3: 30, 4: 40})
    # On the first seed alone, the lower rate would be the best.
    runs = {
        ("none", 1e-3): [scored([True, True, True, False]), scored([False] * 4)],
        ("none", 2e-3): [scored([True, False, True, False]), scored([True, False, True, True])],
    }
    table = ablation_tables.learning_rates(runs, {"none": 1e-3}, patients).set_index(
        ["row", "column"]
    )
    value = table["value"]
    assert value["not de-biased, rate 0.001, used", "all types"] == 37.5
    assert value["not de-biased, rate 0.001, used", "range"] == 75
    assert value["not de-biased, rate 0.002, best", "all types"] == 62.5
    assert value["not de-biased, rate 0.002, best", "S-Choose"] == 25
    assert table.loc[("not de-biased, rate 0.002, best", "S-Choose"), "n"] == 2
    assert ablation_tables.learning_rates({}, {}, patients).empty


def test_a_rate_s_interval_draws_whole_patients():
    right = [True, True, False, False]
    one = ablation_tables.learning_rates(
        {("none", 1e-3): [scored(right)]}, {"none": 1e-3}, pd.Series({1: 10, 2: 20, 3: 10, 4: 20})
    )
    other = ablation_tables.learning_rates(
        {("none", 1e-3): [scored(right)]}, {"none": 1e-3}, pd.Series({1: 10, 2: 10, 3: 20, 4: 20})
    )
    width = [(part["ci_high"] - part["ci_low"])[0] for part in (one, other)]
    assert width[0] == 0 and width[1] == 100  # each patient half right; then all right or all wrong
