"""Test report retrieval, and the majority answer that needs no ECG."""

import pandas as pd
import torch

from ecg_lib.baselines.question_only import majority_answers
from ecg_lib.evaluation.retrieval import recall


def unit(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, 16, generator=generator), dim=-1)


def test_an_ecg_that_lies_on_its_report_finds_it_first():
    vectors = unit(40, 0)
    found = recall(vectors, vectors, [f"report {i}" for i in range(40)], ks=(1, 5), pool=20)
    assert found["value"].tolist() == [100, 100] and found["n"].tolist() == [40, 40]


def test_unrelated_vectors_find_their_report_as_often_as_chance():
    found = recall(unit(400, 1), unit(400, 2), [str(i) for i in range(400)], ks=(10,), pool=100)
    assert found["ci_low"].iloc[0] <= 10 <= found["ci_high"].iloc[0]
    assert abs(found["chance"].iloc[0] - 10) < 4


def test_a_report_worded_the_same_counts_as_found():
    ecgs = torch.eye(4)
    reports = torch.eye(4)[[1, 0, 2, 3]]  # the first two are swapped
    assert recall(ecgs, reports, list("abcd"), ks=(1,)).iloc[0]["value"] == 50
    assert recall(ecgs, reports, ["a", "a", "c", "d"], ks=(1,)).iloc[0]["value"] == 100


def rows(*entries):
    frame = pd.DataFrame(entries, columns=["question_id", "answer"])
    return frame.assign(
        template_id=1,
        attribute=None,
        attribute_type="scp_code",
        question="q",
        question_type="single-verify",
    )


def test_the_majority_answer_is_that_of_the_same_template_question():
    train = rows((1, ["yes"]), (1, ["yes"]), (1, ["no"]), (2, ["no"]), (2, ["no"]), (2, ["no"]))
    test = rows((1, ["no"]), (2, ["yes"]), (3, ["yes"]))
    assert majority_answers(train, test).tolist() == ["yes", "no", "no"]
