"""Test the baselines of Table 3: what they may see, and that they learn from it."""

import numpy as np
import pandas as pd
import pytest
import torch
from questions_cohort import synthetic_records

from ecg_lib.baselines import tagger
from ecg_lib.baselines.fusion import FusionCollator, fusion_answers, prepare, train_fusion
from ecg_lib.baselines.fusion_classifier import FusionClassifier, FusionConfig
from ecg_lib.baselines.question_only import ZeroTokens, majority_answers, question_only_answers
from ecg_lib.config import Fusion, Stage, compose
from ecg_lib.data.simulated.reports import statements
from ecg_lib.ecg_llm.finetune import rows_seen
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.errors import DataError
from ecg_lib.evaluation.exact_match import HEADLINE, score
from ecg_lib.knowledge.findings import name_of
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.written_reports import written_reports
from ecg_lib.tiny_llm.llama import train_byte_pairs

CODES = ("AFIB", "CLBBB", "LVH", "NORM")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """600 ECGs whose tokens contain one direction per label."""
    records = synthetic_records(600, 0)
    rng = np.random.default_rng(0)
    codes = sorted({code for labels in records["labels"] for code in labels})
    direction = dict(zip(codes, rng.normal(size=(len(codes), 24)), strict=True))
    values = rng.normal(size=(600, 8, 24))
    for value, labels in zip(values, records["labels"], strict=True):
        value += sum(direction[code] for code in labels)
    folder = tmp_path_factory.mktemp("tokens")
    np.save(folder / "tokens.npy", values.astype(np.float16))
    np.save(folder / "cls.npy", values[:, 0].astype(np.float16))
    return records, EcgTokens(folder, records["ecg_id"].tolist())


@pytest.fixture(scope="module")
def questions(cohort):
    return build_questions(cohort[0], seed=1)


# -- question only ---------------------------------------------------------------------------


def asked(question, answer, n, template_id=1, question_type="single-verify"):
    return [
        {
            "template_id": template_id,
            "question_id": template_id,
            "attribute": None,
            "attribute_type": "scp_code",
            "question_type": question_type,
            "question": question,
            "answer": [answer],
            "ecg_id": [f"e{i}"],
        }
        for i in range(n)
    ]


def test_question_only_ignores_the_ecg():
    train = pd.DataFrame(
        asked("Is there lvh?", "yes", 30)
        + asked("Is there noise?", "no", 30)
        + asked("Is there lvh?", "no", 5)
    )
    rows = pd.DataFrame(asked("Do you see lvh?", "no", 2) + asked("Do you see noise?", "no", 1))
    assert question_only_answers(train, rows).tolist() == ["yes", "yes", "no"]


def test_words_answer_every_kind_of_question_by_what_it_admits(questions):
    train, test = questions["train"], questions["test"]
    scored = score(question_only_answers(train, test), test)
    assert scored["prediction"].str.len().min() > 0
    verify = scored["question_type"].str.endswith("verify")
    assert set(scored.loc[verify, "prediction"]) <= {"yes", "no", "not sure"}
    floor = score(majority_answers(train, test), test)[HEADLINE].mean()
    assert scored[HEADLINE].mean() > floor - 0.15


def test_zero_tokens_have_the_shape_of_tokens_and_say_nothing(cohort):
    tokens = cohort[1]
    zero = ZeroTokens(tokens).get(tokens.ecg_ids[:3])
    assert zero.shape == tokens.get(tokens.ecg_ids[:3]).shape and not zero.any()


# -- tags as text ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tagged(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    tagger.save_tags(*cohort, folder)
    return tagger.load_tags(folder), pd.read_csv(folder / "quality.csv").set_index("code")


def test_the_tagger_finds_on_test_patients_what_their_tokens_carry(tagged):
    _, quality = tagged
    assert {"NORM", "CLBBB", "LVH"} <= set(quality.index)
    assert quality["f1"].mean() > 0.7


def test_rare_findings_have_no_tag(cohort, tagged):
    records = cohort[0]
    train = records[records["split"] == "train"]["labels"]
    for code in tagged[1].index:
        assert sum(code in labels for labels in train) >= tagger.MIN_POSITIVES


def test_tags_are_put_into_the_words_that_true_labels_are_put_into(cohort, tagged):
    tags, config = tagged[0], compose("smoke")
    report = written_reports(tags, config.questions.templates)
    ecg_id = tags.records["ecg_id"][tags.records["labels"].map(lambda c: "CLBBB" in c)].iloc[0]
    record = tags.record(ecg_id)
    said = set(report(ecg_id, np.random.default_rng(0)).split(". "))
    assert {name_of(code) for code in record.labels} <= said
    assert set(statements(record, {"scp_code"})) <= said
    assert "left bundle branch block" in said  # the broader label of Table 4, as for true labels


def test_an_ecg_without_tags_is_an_error(tagged):
    with pytest.raises(DataError, match="nowhere: has no tags"):
        tagged[0].record("nowhere")


def test_a_threshold_is_the_one_with_the_best_f1():
    truth = np.array([False, False, True, False, True, True])
    assert tagger.best_threshold(truth, np.array([0.1, 0.2, 0.25, 0.3, 0.7, 0.9])) == 0.25
    assert tagger.best_threshold(np.zeros(3, bool), np.array([0.1, 0.2, 0.3])) == 0.5


# -- fusion classifier -----------------------------------------------------------------------

WORDS = train_byte_pairs(["Is left bundle branch block present? Which one is new?"], 300)


def small(**sizes):
    torch.manual_seed(0)
    return FusionClassifier(
        FusionConfig(len(WORDS), 104, 24, width=16, depth=1, heads=2, dropout=0.0, **sizes)
    ).eval()


def logits(model, tokens, rows):
    batch = FusionCollator(tokens)(prepare(rows, WORDS, answers=False))
    with torch.no_grad():
        return model(**batch)["logits"]


def pair(cohort):
    first, second = cohort[1].ecg_ids[:2]
    return pd.DataFrame(
        {
            "question": ["Which one is new?", "Is left bundle branch block present?"],
            "ecg_id": [[first, second], [first]],
        }
    )


def test_a_row_s_answer_does_not_depend_on_what_it_is_batched_with(cohort):
    model, rows = small(), pair(cohort)
    alone = torch.cat([logits(model, cohort[1], rows.iloc[[i]]) for i in range(2)])
    torch.testing.assert_close(logits(model, cohort[1], rows), alone, atol=1e-5, rtol=1e-4)


def test_the_order_of_two_ecgs_and_every_one_of_them_counts(cohort):
    model, rows = small(), pair(cohort).head(1)
    before = logits(model, cohort[1], rows)
    swapped = rows.assign(ecg_id=[rows["ecg_id"].iloc[0][::-1]])
    first_only = rows.assign(ecg_id=[rows["ecg_id"].iloc[0][:1]])
    for other in (swapped, first_only):
        assert (logits(model, cohort[1], other) - before).abs().max() > 1e-6


def test_the_loss_asks_only_about_answers_that_a_question_admits(cohort, questions):
    rows = questions["train"].head(4)
    batch = FusionCollator(cohort[1])(prepare(rows, WORDS))
    model = small()
    loss = model(**batch)["loss"]
    with torch.no_grad():
        wrong = {**batch, "labels": batch["labels"] ^ ~batch["admitted"]}
        torch.testing.assert_close(model(**wrong)["loss"], loss.detach())
    loss.backward()
    silent = ~batch["admitted"].any(dim=0)
    assert silent.any() and not model.head.weight.grad[silent].any()
    assert model.head.weight.grad[~silent].any()


def test_it_learns_to_read_the_ecg_and_a_saved_model_answers_alike(cohort, questions, tmp_path):
    lead_free = questions["train"][questions["train"]["template_id"] == 12]  # "is it normal?"
    train = pd.concat([lead_free] * 8, ignore_index=True)
    settings = Fusion(
        width=32, depth=1, heads=2, dropout=0.0, epochs=6, batch_size=32, learning_rate=5e-3
    )
    train_fusion(train, cohort[1], WORDS, settings, tmp_path / "f", seed=0)
    model = FusionClassifier.from_pretrained(tmp_path / "f")
    test = questions["test"][questions["test"]["template_id"] == 12]
    accuracy = {
        split: score(fusion_answers(model, WORDS, part, cohort[1]), part)[HEADLINE].mean()
        for split, part in (("train", lead_free), ("test", test))
    }
    assert len(test) >= 8 and accuracy["train"] > 0.95 and accuracy["test"] > 0.75
    curve = pd.read_csv(tmp_path / "f" / "curve.csv")
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0] / 2
    again = FusionClassifier.from_pretrained(tmp_path / "f")
    torch.testing.assert_close(logits(model, cohort[1], test), logits(again, cohort[1], test))


def test_baselines_train_on_the_rows_that_stage_2_sees(questions):
    rows, stage = questions["train"], Stage(max_rows=50)
    assert rows_seen(rows, stage, 1).index.equals(rows_seen(rows, stage, 1).index)
    assert len(rows_seen(rows, stage, 1)) == 50
    assert rows_seen(rows, Stage(max_rows=None), 1) is rows


def test_a_stage_takes_all_questions_about_an_ecg_or_none(questions):
    rows = questions["train"]
    seen = rows_seen(rows, Stage(max_rows=50), 1)
    of_ecg = rows["ecg_id"].map(tuple).value_counts()
    taken = seen["ecg_id"].map(tuple).value_counts()
    assert (of_ecg[taken.index] != taken).sum() <= 1  # the last ECG may be cut short
    other = rows_seen(rows, Stage(max_rows=50), 2)
    assert set(other["sample_id"]) != set(seen["sample_id"])
