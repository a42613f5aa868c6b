"""Tests of worlds: every row is true of its ECGs, and the drawn rows obey each world's law."""

import numpy as np
import pandas as pd
import pytest
from questions_cohort import synthetic_records
from simulated_labels import simulated_records

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.questions.bias import kind_of, normal_ratio
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.draw import Pool, Sizes, verify_masks
from ecg_lib.questions.facets import CHANGES, answer
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.worlds import find_world, names
from ecg_lib.questions.worlds.nature import IN_PASSING, NORMAL, ON_SUSPICION, in_passing

TEMPLATES = [1, 2, 7, 8, 12, 17, 23, 27, 43, 44, 45, 46, 57, 59, 60]
QUESTIONS = {q.id: q for t in load_templates().values() for q in t.questions()}
CAP = 20


@pytest.fixture(scope="module")
def records():
    return synthetic_records(2000)


def drawn(records, world, cap=CAP, templates=TEMPLATES):
    sizes = dict.fromkeys(("train", "valid", "test"), world.sizes(cap))
    return build_questions(records, sizes, world, seed=2, templates=templates)["train"]


@pytest.fixture(scope="module")
def by_world(records):
    return {name: drawn(records, find_world(name)) for name in names()}


def counts(rows):
    """Count the rows per verify question and answer."""
    verify = rows[rows.question_type.str.endswith("verify")]
    table = pd.crosstab(verify.question_id, verify.answer.str[0])
    return table.reindex(columns=["yes", "not sure", "no"], fill_value=0)


@pytest.mark.parametrize("name", names())
def test_every_row_is_true_of_its_ecgs(records, by_world, name):
    known = {r.ecg_id: (r.labels, r.attributes) for r in records.itertuples()}
    rows = by_world[name]
    assert set(rows.template_id) == set(TEMPLATES)
    for row in rows.itertuples():
        assert row.answer == answer(QUESTIONS[row.question_id], [known[i] for i in row.ecg_id])


def test_an_unknown_world_and_an_impossible_strength_are_named():
    assert set(names()) >= {"do", "ecgqa", "nature"}
    with pytest.raises(DataError, match="'heaven': unknown; use one of do, ecgqa, nature"):
        find_world("heaven")
    with pytest.raises(DataError, match="between 0 and 1"):
        find_world("nature", 2)


# -- ecgqa -----------------------------------------------------------------------------------


def test_single_questions_of_ecgqa_hold_its_caps(records, by_world):
    pool = Pool(records[records.split == "train"])
    found = counts(by_world["ecgqa"])
    found = found[[QUESTIONS[i].template.question_type == "single-verify" for i in found.index]]
    for row in found.itertuples():
        question = QUESTIONS[row.Index]
        told = [
            answer(question, [(labels, attributes)])
            for labels, attributes in pool.records[["labels", "attributes"]].itertuples(index=False)
        ]
        y, u, n = (sum(t == [a] for t in told) for a in ("yes", "not sure", "no"))
        yes = min(y, CAP)
        assert row[1:] == (yes, min(u, CAP), min(n, 2 * CAP, 5 * yes))
    assert len(found) > 60 and (found["no"] == 2 * found["yes"]).any()


def test_comparisons_of_ecgqa_hold_its_caps_both_ways(by_world):
    found = counts(by_world["ecgqa"])
    found = found[[QUESTIONS[i].template.two_ecgs for i in found.index]]
    half = CAP // 2
    assert (found["yes"] <= half).all() and (found["no"] <= 2 * half).all()
    assert (found["yes"] <= 5 * found["no"]).all() and (found["no"] <= 5 * found["yes"]).all()
    assert (found["yes"] == half).any() and (found["no"] == 2 * half).any()


@pytest.mark.parametrize("template_id", [43, 44, 45, 46, 57, 59, 60])
def test_yes_and_no_of_a_comparison_differ_in_the_later_ecg_alone(records, by_world, template_id):
    labels = records.set_index("ecg_id").labels
    rows = by_world["ecgqa"].query("template_id == @template_id")
    before, after = CHANGES[load_templates()[template_id].ask]
    by_name = {name: c for c, name in FINDINGS["name"].items()}
    for row in rows.itertuples():
        name = QUESTIONS[row.question_id].values["finding"]
        first, second = (by_name[name] in labels[i] for i in row.ecg_id)
        assert first == before and second == (after if row.answer == ["yes"] else not after)
    assert len(rows) > 50


def test_a_choose_of_ecgqa_has_as_many_rows_of_every_answer():
    rows = drawn(simulated_records(), find_world("ecgqa"), 40, [7])
    per_answer = rows.groupby(["question_id", rows.answer.str.join("+")]).size()
    assert per_answer.max() == 40 // 10


def test_consecutive_pairs_are_all_earlier_later_pairs_of_a_patient():
    records = pd.DataFrame(
        {
            "ecg_id": list("abcd"),
            "patient_id": ["p", "p", "p", "q"],
            "recorded_at": ["2001", "2003", "2002", "2001"],
            "normal": True,
            "labels": [{}] * 4,
            "attributes": [{}] * 4,
        }
    )
    found = Pool(records).pairs("comparison_consecutive-verify", [0])
    ids = {tuple(records.ecg_id.to_numpy()[list(pair)]) for pair in found}
    assert ids == {("a", "c"), ("a", "b"), ("c", "b")}


# -- nature ----------------------------------------------------------------------------------

DOSES = (0.0, 1 / 3, 2 / 3, 1.0)


@pytest.fixture(scope="module")
def doses():
    """Rows about simulated patients at four strengths, and which ECGs are normal."""
    records = simulated_records()
    rows = {s: drawn(records, find_world("nature", s), 60, [1, 12, 23]) for s in DOSES}
    return rows, records.set_index("ecg_id").normal


def specific(rows):
    return rows[kind_of(rows) == "specific"]


def test_the_question_alone_is_worth_more_the_stronger_severity_asks(doses):
    rows, _ = doses
    right = []
    for strength in DOSES:
        found = counts(specific(rows[strength]))[["yes", "no"]]
        right.append(found.max(axis=1).sum() / found.to_numpy().sum())
    assert right[0] == pytest.approx(0.5, abs=0.02) and (np.diff(right) > 0.05).all()
    assert 0.75 <= right[-1] <= 0.85


def test_the_share_of_normal_ecgs_moves_from_one_value_to_two(doses):
    rows, normal = doses
    for strength in DOSES:
        asked = specific(rows[strength])
        ratio = asked.ecg_id.str[0].map(normal).groupby(asked.question_id).agg(["mean", "size"])
        for question, (share, n) in ratio.iterrows():
            end = IN_PASSING if in_passing(QUESTIONS[question]) else ON_SUSPICION
            assert share == pytest.approx(NORMAL + strength * (end - NORMAL), abs=2 / n)


def test_only_who_is_asked_changes_with_the_strength(doses):
    """P(yes | question, severity) stays the same, as do the questions and their numbers of rows."""
    rows, normal = doses
    sizes = [specific(r).groupby("question_id").size() for r in rows.values()]
    assert all((size - sizes[0]).abs().max() <= 3 for size in sizes)
    given_ill = []
    for part in rows.values():
        asked = specific(part)
        ill = ~asked.ecg_id.str[0].map(normal).astype(bool)
        given_ill.append(asked.answer.str[0].eq("yes")[ill].mean())
    assert np.ptp(given_ill) < 0.03


def test_noise_and_comparisons_do_not_know_the_strength(records):
    few = [drawn(records, find_world("nature", s), templates=[27, 44, 57]) for s in (0.0, 1.0)]
    assert few[0].equals(few[1])


# -- do --------------------------------------------------------------------------------------


def test_do_asks_all_questions_equally_of_all_patients(records, by_world):
    rows = by_world["do"]
    single = rows[rows.question_type == "single-verify"]
    assert set(single.groupby("question_id").size()) == {2 * CAP}
    base = records.normal[records.split == "train"].mean()
    ratio = normal_ratio(single, records.set_index("ecg_id").normal, by="template_key")
    inside = ((ratio.ci_low <= base) & (base <= ratio.ci_high)).mean()
    assert inside > 0.9
    pool = Pool(records[records.split == "train"])
    yes = single.answer.str[0].eq("yes").groupby(single.question_id).mean()
    whole = {q: verify_masks(QUESTIONS[q], pool, None) for q in yes.index}
    truth = {
        q: masks["yes"].sum() / sum(m.sum() for m in masks.values()) for q, masks in whole.items()
    }
    assert (yes - pd.Series(truth)).abs().mean() < 0.07


def test_sizes_of_ecgqa_are_those_of_the_release_at_one_hundred():
    full = find_world("ecgqa").sizes(100)
    assert (full.verify, full.comparison_verify, full.choose, full.query) == (100, 50, 10, 50)
    test = find_world("ecgqa").sizes(20)
    assert (test.verify, test.comparison_verify, test.choose) == (20, 10, 2)
    assert isinstance(full, Sizes)
