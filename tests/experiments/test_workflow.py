"""The steps behind the notebooks: question sets joined, samples drawn, reports written."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from questions_cohort import synthetic_records

from ecg_lib.arm_table import ARMS
from ecg_lib.config import compose
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import write_store
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.experiments import arms, question_sets, reading
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.schema import SHORT_NAMES, sample_rows, template_key
from ecg_lib.tiny_llm.llama import train_byte_pairs
from ecg_lib.tiny_llm.synthetic_reports import PLACES, stated


@pytest.fixture(scope="module")
def config():
    return compose("smoke")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cohort = SimulatedCohort(patients=150, seed=3)
    return write_store(tmp_path_factory.mktemp("store") / "s", cohort)


@pytest.fixture(scope="module")
def rows():
    return build_questions(synthetic_records(400, 0), seed=1)["train"]


def test_two_question_sets_joined_share_no_id_and_lose_no_row(rows):
    joined = question_sets._join(rows, rows)
    assert len(joined) == 2 * len(rows) and joined["sample_id"].is_unique
    keys = template_key(joined)
    assert not set(keys.iloc[: len(rows)]) & set(keys.iloc[len(rows) :])
    assert joined["question"].iloc[len(rows) :].tolist() == rows["question"].tolist()


def test_a_sample_of_rows_keeps_every_question_type_in_proportion(rows):
    sample = sample_rows(rows, len(rows) // 5, seed=0)
    before, after = (r["question_type"].value_counts(normalize=True) for r in (rows, sample))
    assert set(after.index) == set(SHORT_NAMES)
    assert (after - before).abs().max() < 0.01
    assert sample_rows(rows, None, 0) is rows


def test_reading_practice_on_labels_says_yes_and_no_where_it_is_true(config, store):
    practice = reading.label_rows(config, store, "train", n=6, seed=0)
    af = practice[practice["question"].str.contains("atrial fibrillation")]
    assert set(af["answer"].str[0]) == {"yes", "no"}
    for row in af.itertuples():
        assert ("AFIB" in store.record(row.ecg_id[0]).labels) == (row.answer == ["yes"])


def test_a_written_report_states_labels_in_a_new_order_each_time(config, store):
    report, rng = reading.written_reports(config, store), np.random.default_rng(0)
    records = store.records
    block = records[[("CLBBB" in labels) for labels in records["labels"]]]["ecg_id"].iloc[0]
    texts = {report(block, rng) for _ in range(20)}
    assert len(texts) > 1
    assert len({frozenset(text.split(". ")) for text in texts}) == 1
    said = texts.pop().split(". ")
    assert "complete left bundle branch block" in said and "left bundle branch block" in said
    for ecg in records["ecg_id"]:
        told = report(ecg, rng).split(". ")
        sure = {s for s in told if not s.startswith("possible ")}
        assert not {f"possible {s}" for s in sure} & set(told)


def test_reading_questions_are_not_confounded(config, store):
    practice = reading.reading_rows(config, store)
    normal = store.records.set_index("ecg_id")["normal"]
    broad = practice[practice["template_id"] == 12]
    assert abs(normal[broad["ecg_id"].str[0]].mean() - normal.mean()) < 0.2
    asked = set(reading.reading_rows(config, store, "test")["question"])
    assert not set(practice["question"]) & asked


def test_a_question_about_one_ecg_of_two_has_the_answer_of_that_ecg(config, store):
    one = pd.DataFrame(
        {
            "template_id": 1,
            "question_id": [0, 0, 1, 1],
            "question_type": "single-verify",
            "question": ["Does this ECG show sinus rhythm?"] * 2 + ["Do you see pacing here?"] * 2,
            "answer": [["yes"], ["no"], ["no"], ["yes"]],
            "ecg_id": [["a"], ["b"], ["a"], ["b"]],
        }
    )
    two = one.iloc[:1].assign(question_type="comparison_irrelevant-verify", ecg_id=[["b", "a"]])
    placed = reading.placed_rows(pd.concat([one, two]), n=40, seed=0)
    assert len(placed) == 80 and set(map(tuple, placed["ecg_id"])) == {("b", "a")}
    truth = {
        ("sinus rhythm", 0): "no",
        ("sinus rhythm", 1): "yes",
        ("pacing", 0): "yes",
        ("pacing", 1): "no",
    }
    seen = set()
    for question, answer in zip(placed["question"], placed["answer"], strict=True):
        what = "pacing" if "pacing" in question else "sinus rhythm"
        place = next(k for names in PLACES for k, name in enumerate(names) if name in question)
        assert answer == [truth[what, place]] and "this ECG" not in question
        seen.add((what, place))
    assert seen == set(truth)
    practice = reading.practice_rows(config, store, 0)
    assert practice["question"].str.startswith("In the ").any()
    asked = reading.reading_rows(config, store, "dev")["question"]
    assert not asked.str.startswith("In the ").any()


def test_every_pass_of_practice_has_other_questions_and_other_pairs(config, store):
    first, again, other = (reading.practice_rows(config, store, k) for k in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    compared = [{tuple(e) for e in rows["ecg_id"] if len(e) == 2} for rows in (first, other)]
    assert len(compared[0] & compared[1]) < len(compared[0]) / 2
    trained = set(store.records.loc[store.records["split"] == "train", "ecg_id"])
    assert {e for rows in (first, other) for ecgs in rows["ecg_id"] for e in ecgs} <= trained


def test_a_share_of_practice_is_asked_anew_and_never_as_it_is_tested(config, store):
    plain, half, all_ = (
        set(
            reading.practice_rows(replace(config, llm=replace(config.llm, anew=share)), store, 0)[
                "question"
            ]
        )
        for share in (0.0, 0.5, 1.0)
    )
    known = set(reading.reading_rows(config, store)["question"])
    known = {q for q in known if "reveal any signs" not in q}  # Table 4's, practised as it is
    assert len(known & plain) > len(known) / 3  # half of the rows are practised
    assert not known & all_ and known & half and half - plain
    held_out = {
        q
        for split in ("dev", "test")
        for q in reading.reading_rows(config, store, split)["question"]
    }
    assert not (plain | half | all_) & held_out


def test_the_tiny_llm_is_trained_anew_when_a_sentence_of_its_practice_changes(
    config, store, monkeypatch
):
    keys = []
    monkeypatch.setattr(reading, "train_or_load", lambda folder, key, train: keys.append(key))

    def model(**changes):
        run = Experiment.of(replace(config, llm=replace(config.llm, **changes)))
        run.__dict__["store"] = store
        reading.language_model(run)

    model()
    ways, everyday = reading.load_practice(), reading.load_everyday()
    with monkeypatch.context() as m:
        m.setattr(reading, "load_practice", lambda: replace(ways, where=(*ways.where, "Where?")))
        model()
    with monkeypatch.context() as m:
        m.setattr(reading, "load_everyday", lambda: {**everyday, "things": ["bread"]})
        model()
    model(rows=1)
    model(reading_gate=1.0)
    changed = [{part for part in key if key[part] != keys[0][part]} for key in keys[1:]]
    assert changed == [{"data"}, {"data"}, {"params"}, {"params"}]  # below the gate, more is read


def test_the_practice_curve_runs_on_through_all_courses(tmp_path):
    (tmp_path / "curve.csv").write_text(
        "step,loss,course\n5,3,look_ups\n10,2,look_ups\n"
        "4,1.5,look_ups_2\n5,2.5,reading\n7,1,reading\n"
    )
    curve = reading.practice_curve(tmp_path)
    assert curve["step"].tolist() == [5, 10, 14, 19, 21]
    assert curve["loss of look-ups"].dropna().tolist() == [3, 2, 1.5]
    assert curve["loss of reading"].dropna().tolist() == [2.5, 1]
    assert reading.practice_curve("some/llm").empty


def test_a_possible_finding_is_a_word_of_its_own():
    tokenizer = train_byte_pairs(["sinus rhythm"], 300, reading.phrases())
    for name in stated():
        assert len(tokenizer(f"possible {name}")["input_ids"]) == 1
    assert len(tokenizer("not sure")["input_ids"]) == 1


def test_a_run_stops_at_a_tiny_llm_that_cannot_read(config):
    asked = replace(config, llm=replace(config.llm, reading_gate=0.95))
    assert "passed" in reading.gate(95.0, asked)
    with pytest.raises(DataError, match=r"94\.9% .* llm.reading_gate asks for 95%.*llm.look_ups"):
        reading.gate(94.9, asked)
    named = replace(asked, llm=replace(asked.llm, name_or_path="some/llm"))
    assert "no gate" in reading.gate(10.0, named)


def test_the_stamp_of_a_result_does_not_know_where_the_data_lie(store):
    def stamp(*overrides):
        return Experiment.of(compose("smoke", list(overrides))).provenance([store])

    assert stamp("data.root=/a") == stamp("data.root=/b") != stamp("stage2.epochs=7")


def test_the_paper_s_rates_hold_for_every_arm_unless_a_profile_says_otherwise():
    paper, demo = compose("paper", ["data.root=/a"]), compose("demo")
    assert (paper.stage1.learning_rate, paper.stage2.learning_rate) == (1e-4, 2e-5)
    assert {arms.of_arm(paper.stage2, arm).learning_rate for arm in ARMS} == {2e-5}
    varied = replace(demo.stage2, learning_rates={"none": 0.5})
    assert arms.of_arm(varied, "none").learning_rate == 0.5
    assert arms.of_arm(varied, "control").learning_rate == demo.stage2.learning_rate


def test_another_arm_s_rate_is_no_reason_to_train_this_one_again():
    before = compose("demo")
    after = compose("demo", ["+stage2.learning_rates.control=0.1"])
    of = arms.of_arm
    assert of(before.stage2, "de-biased") == of(after.stage2, "de-biased")
    assert of(before.stage2, "control") != of(after.stage2, "control")


@pytest.mark.parametrize(
    "override",
    [
        "+stage2.learning_rates.sceptic=0.1",
        "+stage1.learning_rates.control=0",
        "study.rates=[-1]",
        "study.short_rates=[0]",
    ],
)
def test_a_rate_of_no_arm_or_no_rate_is_refused(override):
    with pytest.raises(ConfigError, match=r"rates"):
        compose("demo", [override])
