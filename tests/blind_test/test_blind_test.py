"""Test that the blind test tells blind models from seeing ones, and counts what goes wrong."""

import json

import numpy as np
import pandas as pd
import pytest
from blind_cohort import FINDINGS, question_set

from ecg_lib.blind_test import Reply, blind_test
from ecg_lib.blind_test import verdict as verdicts
from ecg_lib.blind_test.blind_models import KNOWN
from ecg_lib.blind_test.conditions import CONDITIONS, PANEL
from ecg_lib.blind_test.weighing import ALL, DO, WITHIN
from ecg_lib.errors import DataError

EXPECTED = {
    "always-no": verdicts.BLIND,
    "question-only": verdicts.BLIND,
    "ill-only": verdicts.ILLNESS,
    "true-labels": verdicts.FINDINGS,
}


def run(model, questions=None, **more):
    questions = questions or question_set()
    return blind_test(model, questions, resamples=100, progress=False, **more)


def cell(result, row, column=ALL):
    table = result.table
    found = table[(table["row"] == row) & (table["column"] == column)]
    assert len(found) == 1, f"{row}, {column}: {len(found)} cells"
    return found.iloc[0]


@pytest.mark.parametrize("quota", [None, (20, 40)])
@pytest.mark.parametrize("name", KNOWN)
def test_the_known_models_get_their_verdict(name, quota):
    questions = question_set(quota=quota)
    result = run(KNOWN[name](questions), questions)
    assert result.verdict.rule == EXPECTED[name], str(result.verdict)


def test_a_model_without_a_look_at_the_ecg_has_no_drop_at_all():
    result = run(KNOWN["always-no"](question_set()))
    drops = result.table[result.table["row"].str.match("always no, .* drop")]
    assert len(drops) and (drops[["value", "ci_low", "ci_high"]] == 0).all(axis=None)


def test_the_columns_take_away_what_the_question_and_illness_are_worth():
    questions = question_set(quota=(15, 45))
    result = run(KNOWN["ill-only"](questions), questions)
    assert cell(result, "constant, own ECG").value == 75
    assert cell(result, "constant, own ECG", DO).value == pytest.approx(50)
    assert cell(result, "question, own ECG", DO).value == pytest.approx(50, abs=5)
    assert cell(result, "ill only, own ECG", DO).value > 60
    assert cell(result, "ill only, own ECG", WITHIN).value == pytest.approx(50)
    assert cell(result, "ill only, matched drop", DO).value == 0


def test_a_question_that_gives_its_answer_away_is_told_by_its_reader_on_other_patients():
    questions = question_set(quota=(40, 10))
    rows = questions.rows
    often = rows[(rows["key"] == FINDINGS[0]) | (rows["answer"].str[0] == "no")]
    biased = type(questions)(
        "biased", often.reset_index(drop=True), questions.ecgs, questions.signals, 100
    )
    result = run(KNOWN["always-no"](biased), biased)
    majority = often["answer"].str[0].eq("no").mean()
    by_key = often.groupby("key")["answer"].agg(lambda a: a.str[0].value_counts().max()).sum()
    assert cell(result, "question, own ECG").value == pytest.approx(
        100 * by_key / len(often), abs=4
    )
    assert cell(result, "constant, own ECG").value == pytest.approx(100 * majority, abs=1)
    assert cell(result, "question, own ECG").value > cell(result, "constant, own ECG").value + 5


def test_an_outsiders_function_is_enough_and_its_probabilities_are_used():
    questions = question_set()
    truth = KNOWN["true-labels"](questions)

    def mine(ecgs, asked):
        assert all(own[0].shape == (12, 200) and own[0].dtype == np.float32 for own in ecgs)
        return [Reply(f"{a.capitalize()}.", 0.9 if a == "yes" else 0.1) for a in truth(ecgs, asked)]

    result = run(mine, questions)
    assert result.model == "mine"
    assert cell(result, "mine, own ECG").value == 100
    assert cell(result, "mine, AUC of P(yes)").value == 100
    assert cell(result, "mine, Brier score").value == pytest.approx(0.01)
    assert cell(result, "mine, calibration error, own ECG").value == pytest.approx(10)
    assert cell(result, "mine, calibration error, random").value > 20
    assert cell(result, "mine, same answer to another wording").value == 100
    assert cell(result, "mine, rank correlation of findings").value < 0.6


def test_one_score_for_all_findings_shows_in_the_rank_correlation():
    questions = question_set()
    ill = KNOWN["ill-only"](questions)
    assert cell(run(ill, questions), "ill only, rank correlation of findings").value == 1


def test_sentences_are_read_and_refusals_and_crashes_cost_their_row_alone():
    questions = question_set()

    def odd(ecgs, asked):
        kinds = {"AF": "Yes, there is.", "LVH": "I cannot tell from this.", "LBBB": "sinus"}
        if len(asked) == 1 and "old" in asked[0]:
            raise RuntimeError("out of memory")
        if any("old" in text for text in asked):
            raise ValueError("the batch failed")
        return [next(kinds[k] for k in kinds if k in text) for text in asked]

    result = run(odd, questions)
    own = result.replies[result.replies["condition"] == "own ECG"]
    finding = own["question"].str.extract(r"(AF|LVH|LBBB|old)")[0]
    states = own.groupby(finding)["state"].unique().map(list).to_dict()
    assert states == {
        "AF": ["read from a sentence"],
        "LVH": ["refused"],
        "LBBB": ["unreadable"],
        "old": ["failed"],
    }
    assert cell(result, "odd, replies failed").value == pytest.approx(25, abs=2)
    assert result.verdict.rule == verdicts.UNJUDGED


def test_without_severity_the_verdict_says_what_was_not_tested():
    questions = question_set(severity=False)
    result = run(KNOWN["true-labels"](questions), questions)
    assert result.verdict.rule == verdicts.LOOKS and "not tested" in str(result.verdict)
    assert not result.table["row"].str.contains("matched").any() and result.figure() is None
    assert WITHIN not in set(result.table["column"])


def test_few_questions_are_not_called_blindness():
    questions = question_set(patients=14)
    flip = np.random.default_rng(0)

    def coin(ecgs, asked):
        return ["yes" if flip.random() < 0.5 else "no" for _ in asked]

    result = run(coin, questions)
    assert result.verdict.rule == verdicts.TOO_FEW


def test_the_same_seed_gives_the_same_table_and_another_draws_other_donors():
    questions = question_set()
    tables = [run(KNOWN["true-labels"](questions), questions, seed=s).table for s in (0, 0, 1)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])


def test_an_interrupted_test_goes_on_and_equals_an_uninterrupted_one(tmp_path):
    questions = question_set()
    truth, calls = KNOWN["true-labels"](questions), []

    def stops(ecgs, asked):
        calls.append(len(asked))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return truth(ecgs, asked)

    stops.name = "true labels"
    with pytest.raises(KeyboardInterrupt):
        run(stops, questions, folder=tmp_path)
    with (tmp_path / "replies.jsonl").open("a") as file:
        file.write('{"key": "half a li')
    done = len(calls) - 1
    calls.clear()
    calls += [0] * 10  # does not stop again
    result = run(stops, questions, folder=tmp_path)
    whole = run(truth, questions)
    pd.testing.assert_frame_equal(result.table, whole.table)
    first = sum(calls)
    assert (
        first == len(whole.replies.drop_duplicates(["question", "signal"]))
        or first < len(whole.replies) - (done - 1) * 32
    )
    again = len(calls)
    pd.testing.assert_frame_equal(run(stops, questions, folder=tmp_path).table, whole.table)
    assert len(calls) == again, "a finished test asks nothing again"


def test_a_failed_request_is_asked_again_in_the_next_run(tmp_path):
    questions = question_set(patients=20)

    def answer(ecgs, asked):
        if answer.broken:
            raise RuntimeError("server down")
        return ["no"] * len(asked)

    answer.broken = True
    assert run(answer, questions, folder=tmp_path).verdict.rule == verdicts.UNJUDGED
    answer.broken = False
    assert (run(answer, questions, folder=tmp_path).replies["state"] == "read").all()


def test_the_result_is_written_as_csv_markdown_latex_and_picture(tmp_path):
    questions = question_set()
    result = run(KNOWN["true-labels"](questions), questions, folder=tmp_path)
    table = pd.read_csv(tmp_path / "blind_test.csv")
    assert list(table["row"]) == list(result.table["row"])
    text = (tmp_path / "blind_test.md").read_text()
    assert str(result.verdict) in text and "| true labels, random drop" in text
    tex = (tmp_path / "blind_test.tex").read_text()
    assert "\\toprule" in tex and "true labels, own ECG" in tex
    assert (tmp_path / "blind_test.png").stat().st_size > 10_000
    assert (tmp_path / "verdict.txt").read_text().splitlines()[0] == verdicts.FINDINGS


def test_conditions_may_be_left_out_but_not_the_own_ecg():
    questions = question_set(patients=20)
    model = KNOWN["always-no"](questions)
    result = run(model, questions, conditions=("own ECG", "random"))
    assert set(result.replies["condition"]) == {"own ECG", "random"}
    with pytest.raises(DataError, match="add 'random'"):
        run(model, questions, conditions=("own ECG",))
    with pytest.raises(DataError, match="condition 'upside down' is unknown"):
        run(model, questions, conditions=("own ECG", "upside down"))


def test_no_stand_in_is_of_the_own_patient_and_a_matched_one_is_as_ill():
    questions = question_set()
    seen = run(KNOWN["always-no"](questions), questions).replies
    assert set(seen["condition"]) == set(CONDITIONS)
    own = questions.rows.set_index("row_id")["ecg_id"].str[0]
    normal = questions.ecgs.set_index("ecg_id")["normal"]
    for name in ("random", "matched"):
        part = seen[seen["condition"] == name]
        given = part["ecg_id"].str[0]
        assert (given.to_numpy() != own[part["row_id"]].to_numpy()).all()
        same = normal[given].to_numpy() == normal[own[part["row_id"]]].to_numpy()
        assert same.all() == (name == "matched")
    panel = seen[seen["condition"] == PANEL]
    assert panel.groupby("row_id").size().nunique() == 1 and set(panel["row_id"]) == set(FINDINGS)


def test_what_is_shown_in_place_of_an_ecg_has_no_patient_in_it():
    questions, kept = question_set(patients=20), {}

    def look(ecgs, asked):
        for own, text in zip(ecgs, asked, strict=True):
            kept.setdefault(text, []).append(own[0])
        return ["no"] * len(asked)

    run(look, questions, conditions=("own ECG", "random", "zeroed", "noise", "flat line"))
    shown = np.stack([own for part in kept.values() for own in part])
    spread = shown.std(axis=-1).mean(axis=-1)
    assert (spread == 0).sum() == questions.rows["question"].nunique()  # they are all alike
    assert (np.abs(spread - 0.005) < 0.001).sum() == len(questions.rows)
    # the own ECGs, others', and noise as loud as they; what is equal is asked once
    assert 2 * len(questions.rows) < (spread > 0.5).sum() <= 3 * len(questions.rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows, ecgs: (rows.drop(columns="key"), ecgs), "lack the column 'key'"),
        (lambda rows, ecgs: (rows.assign(row_id="1"), ecgs), "row_id '1' occurs twice"),
        (lambda rows, ecgs: (rows, ecgs.iloc[5:]), "no ECG p00"),
        (lambda rows, ecgs: (rows.iloc[:0], ecgs), "no question is about an ECG at hand"),
        (lambda rows, ecgs: (rows.assign(question=" "), ecgs), "question or answer is empty"),
    ],
)
def test_a_faulty_question_set_is_refused_in_one_line(change, message):
    good = question_set(patients=20)
    rows, ecgs = change(good.rows, good.ecgs)
    with pytest.raises(DataError, match=message) as error:
        type(good)("toy", rows, ecgs, good.signals, good.rate)
    assert "\n" not in str(error.value)


def test_the_cache_holds_one_json_object_a_line(tmp_path):
    questions = question_set(patients=20)
    run(KNOWN["always-no"](questions), questions, folder=tmp_path)
    lines = [line for line in (tmp_path / "replies.jsonl").read_text().splitlines() if line]
    assert all(set(json.loads(line)) == {"key", "text", "p_yes", "error"} for line in lines)


def test_a_key_that_looks_like_a_row_id_does_not_mix_the_panel_with_the_rows():
    toy = question_set(patients=40)
    rows = toy.rows.assign(
        key=toy.rows["key"].map({name: str(k) for k, name in enumerate(FINDINGS)})
    )
    rows.loc[rows["row_id"] == "0", "answer"] = pd.Series([["sinus rhythm"]], index=[0])
    questions = type(toy)("numbered", rows, toy.ecgs, toy.signals, toy.rate)
    seen = run(lambda ecgs, asked: ["Yes, there is."] * len(asked), questions).replies
    assert (seen[seen["condition"] == PANEL]["answer"] == "yes").all()


def test_a_small_test_asks_a_small_panel():
    questions = question_set()
    seen = run(KNOWN["always-no"](questions), questions, max_rows=20).replies
    assert (seen["condition"] == PANEL).sum() == 10 * len(FINDINGS)
