"""Test the product of experts: the ECG-LLM need not learn what the question's words give away."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import QUESTION, STAGE, encoder, llm, rows, tokens  # noqa: F401  (fixtures)

from ecg_lib.config import Lora
from ecg_lib.ecg_llm.answering import score_yes
from ecg_lib.ecg_llm.finetune import QuestionCollator, new_model, prepare_rows, train_stage
from ecg_lib.ecg_llm.model import EcgLlmOutput
from ecg_lib.ecg_llm.product_of_experts import (
    WORDS,
    ProductOfExperts,
    train_beside_words,
    words_log_odds,
)

YES, NO, END = 1, 2, 3
OTHER = "Is it normal?"


def loss_of(odds, llm_yes=0.0, said=YES):
    """Return the loss of one answer; yes has logit `llm_yes`, no has 0, others are impossible."""
    logits = torch.full((2, 5), -100.0)
    logits[0, YES], logits[0, NO] = float(llm_yes), 0.0
    logits[1, END] = 0.0
    labels = torch.tensor([[-100, -100, said, END]])
    given = ProductOfExperts(lambda *_: EcgLlmOutput(torch.tensor(0.0), logits), [YES], [NO])
    weights = torch.full((1, 4), float(odds))
    # the loss is a mean over two tokens
    return 2 * given(None, None, None, labels, weights)["loss"].item()


def test_odds_multiply():
    # an LLM at even odds with words at 9 : 1, then one at 1 : 3 with words at 3 : 1
    assert loss_of(np.log(9)) == pytest.approx(-np.log(0.9), abs=1e-5)
    assert loss_of(np.log(9), said=NO) == pytest.approx(-np.log(0.1), abs=1e-5)
    assert loss_of(np.log(3), llm_yes=-np.log(3)) == pytest.approx(np.log(2), abs=1e-5)


@torch.no_grad()
def test_words_that_tell_nothing_leave_the_models_own_loss(llm, tokens, rows):  # noqa: F811
    model, processor = new_model(encoder(), llm, Lora(), "float32", seed=3)
    model.eval()
    few = rows.iloc[[0, 0, 1, 2, 2]].assign(question=[QUESTION, OTHER, QUESTION, OTHER, QUESTION])
    for together in (1, 4):
        batch = QuestionCollator(processor, tokens)(
            prepare_rows(few.assign(weight=0.0), processor, together)
        )
        beside = ProductOfExperts(model, *processor.yes_no_ids())(**batch)["loss"]
        del batch["weights"]
        assert torch.isclose(beside, model(**batch).loss)


@pytest.fixture(scope="module")
def told(rows):  # noqa: F811
    """Rows whose answer follows the question in 9 of 10 cases and never depends on the ECG."""
    question = np.where(np.arange(40) < 20, QUESTION, OTHER)
    yes = np.where(np.arange(40) < 20, np.arange(40) % 10 > 0, np.arange(40) % 10 == 0)
    answers = [["yes"] if each else ["no"] for each in yes]
    return rows.assign(question=question, answer=answers)


def test_words_are_read_as_often_as_they_are_right(told):
    p = 1 / (1 + np.exp(-words_log_odds(told)))
    assert p.index.equals(told.index) and p.name == WORDS
    assert np.allclose(p[:20], 0.9, atol=0.05) and np.allclose(p[20:], 0.1, atol=0.05)
    alike = told.assign(answer=[["yes"]] * 40)
    assert (words_log_odds(alike) == 0).all()


def test_beside_words_the_llm_alone_does_not_learn_what_the_words_tell(
    llm,  # noqa: F811
    tokens,  # noqa: F811
    told,
    tmp_path,
):
    stage = replace(STAGE, epochs=15)

    def apart(train, given, name):
        model, processor = new_model(encoder(), llm, Lora(dropout=0.0), "float32", seed=0)
        train(model, processor, given, tokens, stage, tmp_path / name, seed=0)
        asked = told["question"].tolist(), [list(e) for e in told["ecg_id"]]
        p = score_yes(model, processor, *asked, tokens)[0]
        return p[:20].mean() - p[20:].mean()  # difference in P(yes) between questions

    plain = apart(train_stage, told, "plain")
    beside = apart(train_beside_words, told.join(words_log_odds(told)), "beside")
    assert plain > 0.6 and abs(beside) < plain / 3
