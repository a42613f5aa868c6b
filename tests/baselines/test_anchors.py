"""Test the anchor baselines: their answers and what another patient's ECG costs them."""

import pandas as pd
import pytest
from questions_cohort import synthetic_records

from ecg_lib.baselines.anchors import ANCHORS, BOTH, CONSTANT, ILL, PERFECT, QUESTION, Anchors
from ecg_lib.evaluation.exact_match import HEADLINE, score
from ecg_lib.evaluation.no_patient import FLAT, without_patient
from ecg_lib.evaluation.random_ecg import donors
from ecg_lib.evaluation.severity_drops import MATCHED, OWN, RANDOM, severity_drops
from ecg_lib.questions.build import paired_test
from ecg_lib.questions.templates import load_templates

TEMPLATES = [1, 2, 12, 20, 43, 57]


@pytest.fixture(scope="module")
def records():
    return synthetic_records(1500)


@pytest.fixture(scope="module")
def train(records):
    return paired_test(records, 12, 0, TEMPLATES, split="train", wording="train")


@pytest.fixture(scope="module")
def test(records):
    return paired_test(records, 12, 0, TEMPLATES)


@pytest.fixture(scope="module")
def drops(records, train, test):
    """Accuracy drops of every anchor, indexed by row and column."""
    readers = Anchors.learn(train, records)
    asked = {
        OWN: test,
        RANDOM: donors(test, records, 0),
        MATCHED: donors(test, records, 0, match="normal"),
        FLAT: without_patient(test, [FLAT]),
    }
    right = {name: {} for name in ANCHORS}
    for donor, rows in asked.items():
        for name, said in readers.answer(rows).items():
            right[name][donor] = score(said, test)[HEADLINE]
    patients = records.set_index("ecg_id")["patient_id"]
    return severity_drops(right, test, patients, resamples=100).set_index(["row", "column"])


def rows_of(*asked):
    """Return rows for triples (question number in template 1, ECG, answer)."""
    questions = load_templates()[1].questions()
    sentence = load_templates()[1].wordings.sentence
    return pd.DataFrame(
        {
            "template_id": 1,
            "question_id": [questions[k].id for k, _, _ in asked],
            "sample_id": range(len(asked)),
            "question_type": "single-verify",
            "attribute_type": "scp_code",
            "question": [questions[k].text(sentence) for k, *_ in asked],
            "answer": [[answer] for *_, answer in asked],
            "ecg_id": [[ecg] for _, ecg, _ in asked],
            "attribute": [questions[k].attribute() for k, *_ in asked],
        }
    )  # fmt: skip


def test_each_reader_answers_by_what_it_sees_and_no_more():
    ill, well = {"labels": {"LVH": 100}}, {"labels": {"NORM": 100}}
    ecgs = [{"ecg_id": "i", "normal": False, **ill}, {"ecg_id": "n", "normal": True, **well}]
    known = pd.DataFrame(ecgs).assign(attributes=[{}, {}])
    names = [question.values.get("finding") for question in load_templates()[1].questions()]
    lvh, other = names.index("left ventricular hypertrophy"), 0
    assert names[other] != names[lvh]
    train = rows_of(  # `lvh` is mostly yes for the ill and no for the normal; `other` is always no
        *[(lvh, "i", "yes")] * 4, *[(lvh, "n", "no")] * 3,
        *[(other, "i", "no")] * 2, *[(other, "n", "no")] * 2,
    )  # fmt: skip
    asked = rows_of((lvh, "i", "yes"), (lvh, "n", "no"), (other, "i", "no"), (other, "n", "no"))
    said = {name: own.tolist() for name, own in Anchors.learn(train, known).answer(asked).items()}
    assert said == {
        CONSTANT: ["no", "no", "no", "no"],
        QUESTION: ["yes", "yes", "no", "no"],
        ILL: ["yes", "no", "yes", "no"],
        BOTH: ["yes", "no", "no", "no"],
        PERFECT: ["yes", "no", "no", "no"],
    }
    swapped = asked.assign(ecg_id=[["n"], ["i"], ["n"], ["i"]])  # donors of opposite severity
    said = {name: own.tolist() for name, own in Anchors.learn(train, known).answer(swapped).items()}
    assert said[ILL] == ["no", "yes", "no", "yes"]
    assert said[PERFECT] == ["no", "yes", "no", "no"]
    assert said[QUESTION] == ["yes", "yes", "no", "no"]


def test_the_direction_of_illness_is_learned(records):
    """The answer to "is it normal?" is yes for normal ECGs."""
    rows = paired_test(records, 20, 0, [2], split="train", wording="train")
    ill = Anchors.learn(rows, records).answer(rows)[ILL]
    normal = rows["ecg_id"].str[0].map(records.set_index("ecg_id")["normal"])
    assert (ill == normal.map({True: "yes", False: "no"})).all()


def test_with_a_flat_ecg_anchors_fall_back_to_the_question(records, train, test):
    readers = Anchors.learn(train, records)
    said = readers.answer(without_patient(test, [FLAT]))
    assert said[ILL].equals(said[CONSTANT])
    assert said[BOTH].equals(said[QUESTION]) and said[PERFECT].equals(said[QUESTION])


def test_true_labels_answer_every_built_question(records, train, test):
    perfect = Anchors.learn(train, records).answer(test)[PERFECT]
    assert (perfect == test["answer"].str[0]).all()


def test_a_reader_of_illness_alone_loses_by_random_donors_and_nothing_by_matched(drops):
    lost = drops.loc[f"{ILL}, {RANDOM} drop"].loc["S-Verify"]
    assert lost["ci_low"] > 5
    for name in (ILL, BOTH):
        matched = drops.loc[f"{name}, {MATCHED} drop"]
        kept = matched.dropna(subset="value")
        assert (kept[["value", "ci_low", "ci_high"]] == 0).all(axis=None) and len(kept) == 5
    gap = drops.loc[f"{ILL}, random - matched drop"].loc["S-Verify"]
    assert gap["value"] == pytest.approx(lost["value"])


def test_readers_of_no_ecg_lose_nothing_and_perfect_ones_most(drops):
    for name in (CONSTANT, QUESTION):
        for donor in (RANDOM, MATCHED, FLAT):
            assert (drops.loc[f"{name}, {donor} drop"]["value"].dropna() == 0).all()
    assert drops.loc[(f"{PERFECT}, {OWN}", "all"), "value"] == 100
    both = [drops.loc[(f"{PERFECT}, {d} drop", "S-Verify"), "value"] for d in (RANDOM, MATCHED)]
    assert both[0] > both[1] > 20  # a donor of equal severity has the finding more often
    assert both[0] > drops.loc[(f"{ILL}, {RANDOM} drop", "S-Verify"), "value"]


def test_anchors_without_the_ecg_score_50_on_paired_questions(drops):
    for name in (CONSTANT, QUESTION):
        assert drops.loc[(f"{name}, {OWN}", "S-Verify"), "value"] == pytest.approx(50)
