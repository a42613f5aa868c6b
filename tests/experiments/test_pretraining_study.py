"""Tests of the pretraining study: plain-English reports, label draws, probes, tables, resuming."""

import dataclasses

import numpy as np
import objective_cases as cases
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score as auc

from ecg_lib import paths
from ecg_lib.config import compose
from ecg_lib.data.prepare import prepare
from ecg_lib.data.report_text import phrases, plain_text, states_labels
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.evaluation.probe import drawn_rows, linear
from ecg_lib.evaluation.study_answers import PROBE, ZERO_SHOT, Split, column
from ecg_lib.evaluation.task import load_task
from ecg_lib.experiments import controls, encoder_pretraining, pretraining_study
from ecg_lib.experiments import pretraining_tables as ps
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.intervals import auc_over_seeds, macro_auc
from ecg_lib.objectives import loading
from ecg_lib.objectives.clip_snippets import a_run
from ecg_lib.objectives.loading import load_clip
from ecg_lib.objectives.parts.gather import true_of
from ecg_lib.report.figures import pretraining_plots


@pytest.fixture(scope="module")
def config():
    """The smoke profile's sizes, with one encoder per start."""
    smoke = compose("smoke")
    return dataclasses.replace(
        smoke,
        pretraining_study=dataclasses.replace(
            smoke.pretraining_study,
            fractions=[0.2, 1.0],
            draws=2,
            ecgs=60,
            starts=["scratch", "simulated only", "simulated"],
        ),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare("simulated", None, tmp_path_factory.mktemp("s") / "store", patients=260, seed=1)


@pytest.fixture(scope="module")
def done(config, store, tmp_path_factory):
    """The results of a finished study, whose checkpoints stay in a temporary folder."""
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("checkpoints")
    patch.setattr(paths, "checkpoints_dir", lambda profile: folder)
    encoder_pretraining.train_readers(Experiment.of(config))
    yield pretraining_study.compare_starts(config, store)
    patch.undo()


def labelled(n, seed=0, labels=("A", "B"), share=(0.4, 0.03)):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({k: rng.random(n) < p for k, p in zip(labels, share, strict=True)})


@pytest.mark.parametrize(
    "said, plain",
    [
        (
            "sinusrhythmus lagetyp normal normales ekg 4.46 unbestÄtigter bericht",
            "sinus rhythm normal axis normal ecg",
        ),
        ("Sinusrytm eljest normalt ekg", "sinus rhythm otherwise normal ecg"),
        ("sinus rhythm. normal ecg. edit: norm 100, schlechte", "sinus rhythm normal ecg"),
        (
            "sinusrytm hög lateral infarkt bör övervägasconsensus label derived from: "
            "{'ndt': 100.0}",
            "sinus rhythm high lateral myocardial infarction should be considered",
        ),
        ("trace only requested.", ""),
        (
            "sinusrhythmus unvollständiger rechtsschenkelblock",
            "sinus rhythm incomplete right bundle branch block",
        ),
        (
            "atrial fibrillation, t waves are inverted in v5,6.",
            "atrial fibrillation t waves are inverted in v5,6",
        ),
    ],
)
def test_reports_become_plain_english_without_their_labels(said, plain):
    assert plain_text(said) == plain
    assert plain_text(plain) == plain, "what is plain stays"


def test_labels_behind_a_report_are_noticed_and_the_longest_phrase_wins():
    assert states_labels("normal ecg. Edit: NORM 100") and not states_labels("edited normal ecg")
    assert plain_text("überdrehter linkstyp") == "extreme left axis deviation"
    assert plain_text("ischämietest") == "ischämietest", "a part of a word is no phrase"
    assert all(words == words.lower() for words in phrases())


def test_a_text_is_a_run_of_words_of_its_report():
    report, generator = "a b c d e f g h", torch.Generator().manual_seed(0)
    runs = {a_run(report, 0.0, 3, generator) for _ in range(300)}
    assert {len(run.split()) for run in runs} == {1, 2, 3}
    assert all(f" {run} " in f" {report} " for run in runs) and {"a", "h", "f g h"} <= runs
    assert a_run(report, 1.0, 3, generator) == report


def test_an_ecg_is_a_positive_of_every_run_its_report_contains_by_whole_words(store):
    learner = cases.built("clip_snippets", store)
    learner.reports = ["abnormal ecg", "normal ecg"] * (len(store) // 2)
    batch = learner.collate([{"row": row} for row in range(8)])
    positives = true_of(batch["texts"], batch["reports"])
    for i in range(8):
        for j, text in enumerate(batch["texts"]):
            assert positives[i, j] == (f" {text.strip()} " in f" {learner.reports[i]} ")
    assert not positives.all() and positives.diagonal().all()
    learner.reports[:2] = ["ecg", "normal ecg"]
    assert learner.usable([0, 1]) == [1]


def test_draws_are_nested_keep_rare_labels_and_depend_on_the_seed():
    targets, patients = labelled(1000), np.arange(1000) // 2
    small, large = (set(drawn_rows(targets, patients, f, 0)) for f in (0.1, 0.5))
    assert small < large and len(small) == 100
    assert {patients[row] for row in small}.isdisjoint(patients[r] for r in large - small)
    assert set(drawn_rows(targets, patients, 0.1, 1)) != small
    assert len(drawn_rows(targets, patients, 1.0, 0)) == 1000
    for seed in range(20):
        rows = drawn_rows(targets, patients, 0.1, seed)
        shares = targets.iloc[rows].mean() / targets.mean()
        assert 0.6 < shares["A"] < 1.4 and 0.6 < shares["B"] < 1.7


def test_a_probe_learns_from_its_rows_only_and_text_helps_where_labels_are_few():
    rng, targets = np.random.default_rng(0), labelled(600, share=(0.4, 0.2))
    truth = targets.to_numpy(float)
    features = rng.normal(size=(600, 30)) + 0.25 * truth @ rng.normal(size=(2, 30))
    train, test, few_rows = features[:400], features[400:], np.arange(12)
    known = targets.iloc[:400].reset_index(drop=True)
    blind = known.copy()
    blind.iloc[12:] = False
    one, two = (linear(train, test, t, few_rows) for t in (known, blind))
    pd.testing.assert_frame_equal(one, two)
    text = tuple(
        pd.DataFrame(2 * truth[part] + rng.normal(size=(200 * k, 2)), columns=["A", "B"])
        for part, k in ((slice(400), 2), (slice(400, 600), 1))
    )
    helped = linear(train, test, known, few_rows, text)
    for label in known:
        own = targets[label].iloc[400:]
        assert auc(own, helped[label]) > auc(own, one[label])
    empty = linear(train, test, known.assign(A=False), few_rows, text)
    assert np.allclose(np.corrcoef(empty["A"], text[1]["A"])[0, 1], 1)


def test_macro_auc_is_the_mean_of_labels_and_seeds_and_its_difference_antisymmetric():
    rng = np.random.default_rng(0)
    y = rng.random((300, 3)) < [0.5, 0.2, 0.01]
    a, b = (rng.normal(size=(2, 300, 3)) + strength * y for strength in (1.5, 0.8))
    patients = np.arange(300) // 2
    found = macro_auc(y, a, resamples=200, groups=patients)
    assert found.value == pytest.approx(np.mean([auc(y[:, k], s[:, k]) for s in a for k in (0, 1)]))
    single = macro_auc(y[:, :1], a[:, :, :1], resamples=300, groups=patients)
    same = auc_over_seeds(y[:, 0], a[:, :, 0], resamples=300, groups=patients)
    assert (single.ci_low, single.ci_high) == pytest.approx((same.ci_low, same.ci_high), abs=0.01)
    more, less = (macro_auc(y, *pair, resamples=200, groups=patients) for pair in ((a, b), (b, a)))
    assert more.value == pytest.approx(-less.value) and more.value > 0
    assert (more.ci_low, more.ci_high) == pytest.approx((-less.ci_high, -less.ci_low))
    assert macro_auc(y, a, a[::-1], resamples=50).ci_high == pytest.approx(0)
    assert np.isnan(macro_auc(y[:, 2:], a[:, :, 2:]).value)
    with pytest.raises(DataError, match="AUC"):
        macro_auc(y, a[0])


def test_the_study_tests_on_other_patients_and_tells_all_it_was_asked(config, done):
    models, boosting, split = done
    assert not set(split.patients[split.train]) & set(split.patients[split.test])
    assert len(split.train) == 60
    starts = [*config.pretraining_study.starts, controls.RANDOM, controls.LABELS_ONLY]
    assert set(models) == {(start, "mv") for start in starts}
    cells = ps.study_cells(models, boosting, split, config.evaluation, 0).set_index(
        ["row", "column"]
    )["value"]
    wanted = {ZERO_SHOT, column(PROBE, 0.2), column(PROBE, 1.0)}
    for start in config.pretraining_study.starts:
        assert wanted <= set(cells[f"{start}, mv"].index)
    for start in (controls.RANDOM, controls.LABELS_ONLY):
        assert set(cells[f"{start}, mv"].index) == wanted - {ZERO_SHOT}
        assert f"simulated minus {start}, mv" in cells
    more, less = cells["simulated, mv"], cells["scratch, mv"]
    assert cells["simulated minus scratch, mv"].to_numpy() == pytest.approx(
        (more - less)[cells["simulated minus scratch, mv"].index].to_numpy()
    )
    assert column(PROBE, 1.0) in cells[ps.BOOSTING] and ZERO_SHOT not in cells[ps.BOOSTING]
    rows = set(ps.finding_cells(models, boosting, split, config.evaluation, 0)["row"])
    assert {f"superclass {name}" for name in load_task("superclasses.yaml").labels} | {
        "AF",
        "LVH",
    } <= rows


def test_models_together_rank_as_they_do_alone_where_they_agree_and_not_by_scale():
    one = {("superclasses", ZERO_SHOT): np.array([[[0.1], [0.3], [0.2]]])}
    large = {cell: 1000 * answers for cell, answers in one.items()}
    other = {cell: -answers for cell, answers in one.items()}
    order = next(iter(ps.together([one, large]).values())).argsort(axis=1)
    assert (order == next(iter(one.values())).argsort(axis=1)).all()
    assert np.ptp(next(iter(ps.together([large, other]).values()))) == 0


def test_answers_do_not_change_with_the_labels_of_test_ecgs(config, store, done):
    models, _, split = done
    flipped = {k: t.copy() for k, t in split.targets.items()}
    for table in flipped.values():
        table.iloc[split.test] = ~table.iloc[split.test]
    other = Split(split.train, split.test, flipped, split.patients)
    study = pretraining_study.Study(config, store, other)
    clip, tokenizer = study.pretrain("scratch", "mv", 0)
    again = study.frozen(clip.ecg_encoder, clip, tokenizer, folder=paths.ROOT)
    for cell, answers in models["scratch", "mv"][0].items():
        np.testing.assert_allclose(again[cell], answers, atol=1e-4)


def test_a_study_run_again_trains_nothing_and_a_new_fraction_trains_no_encoder(
    config, store, done, monkeypatch
):
    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("ecg_lib.objectives.objective.fit", fail)
    for answers in ("frozen", "boosting", "scratch"):
        monkeypatch.setattr(pretraining_study.Study, answers, fail)
    monkeypatch.setattr(controls, "fit", fail)
    models, _, _ = pretraining_study.compare_starts(config, store)
    first = done[0]["simulated", "mv"][0]
    assert all(np.array_equal(models["simulated", "mv"][0][cell], first[cell]) for cell in first)
    study = config.pretraining_study
    study = dataclasses.replace(study, objective={**study.objective, "learning_rate": 9.0})
    faster = dataclasses.replace(config, pretraining_study=study)  # `further` has its own rate
    again = pretraining_study.Study(faster, store, done[2])
    again.pretrain("simulated", "mv", 0)
    with pytest.raises(AssertionError, match="trained again"):
        again.pretrain("scratch", "mv", 0)


def test_the_figure_has_one_panel_per_normalisation(tmp_path):
    rows = [
        {
            "row": f"{start}, {scaled}",
            "column": name,
            "value": value,
            "n": 9,
            "ci_low": value - 2,
            "ci_high": value + 2,
        }
        for start in ("scratch", "simulated")
        for scaled in ("mv", "lead_minmax")
        for name, value in ((ZERO_SHOT, 80), ("probe, 1 %", 75), ("probe, 100 %", 88))
    ]
    fig = pretraining_plots.study_lines(pd.DataFrame(rows))
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes] == [
        "mV kept",
        "per-lead min-max",
    ]
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["1 %", "100 %"]


def starting(config, start, rate):
    """Return the config with pretraining in mV, from a given start at a given learning rate."""
    return dataclasses.replace(
        config,
        signal=dataclasses.replace(config.signal, normalisation="mv"),
        start=start,
        objective={
            **config.pretraining_study.objective,
            "learning_rate": rate,
            "temperature": None,
        },
    )


def test_the_profiles_own_encoder_goes_on_from_that_of_simulated_ecgs(config, store, done):
    reader = loading.load_clip(paths.checkpoints_dir("") / "simulated" / "mv-0")[0]
    kept = dict(reader.named_parameters())
    still = starting(config, "simulated", 1e-12)
    encoder_pretraining.pretrain_encoder(Experiment.of(still), store)
    clip, tokenizer = load_clip(Experiment.of(still).checkpoints("encoder", "clip"))
    words = tokenizer(["sinus rhythm"], return_tensors="pt")
    assert clip.embed_text(words["input_ids"], words["attention_mask"]).isfinite().all()
    for name, weight in clip.named_parameters():
        torch.testing.assert_close(weight, kept[name], rtol=0, atol=1e-6)
    encoder_pretraining.pretrain_encoder(Experiment.of(starting(config, "simulated", 1e-3)), store)
    moved = load_clip(Experiment.of(still).checkpoints("encoder", "clip"))[0].named_parameters()
    assert any(not torch.allclose(weight, kept[name], atol=1e-4) for name, weight in moved)


def test_a_profile_that_trains_no_such_encoder_cannot_start_from_it():
    with pytest.raises(ConfigError, match="simulated.normalisations"):
        compose("smoke", ["start=simulated"])  # smoke uses lead_minmax, simulated only mv
    with pytest.raises(ConfigError, match="start is 'random'"):
        compose("smoke", ["start=random"])
    narrow = ["start=simulated", "signal.normalisation=mv", "objective.width=16"]
    with pytest.raises(
        ConfigError, match="objective.width is 16, but .* simulated.objective.width 32"
    ):
        compose("smoke", narrow)


def test_a_study_that_has_no_encoder_to_start_from_is_refused():
    with pytest.raises(ConfigError, match=r"pretraining_study\.seeds has 7.*simulated\.seeds"):
        compose("smoke", ["pretraining_study.seeds=[7]"])
    with pytest.raises(ConfigError, match=r"pretraining_study\.starts has 'nowhere'"):
        compose("smoke", ["pretraining_study.starts=[nowhere]"])
    compose("smoke", ["pretraining_study.seeds=[7]", "pretraining_study.starts=[scratch]"])
