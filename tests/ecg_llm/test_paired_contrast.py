"""Test stage 1 by paired contrast: the ECG whose answer is yes must score above the other."""

import numpy as np
import pandas as pd
import pytest
import torch
from test_training import STAGE, encoder, llm, rows, tokens  # noqa: F401  (three are fixtures)

from ecg_lib.config import Lora, Stage
from ecg_lib.ecg_llm.answering import score_yes
from ecg_lib.ecg_llm.finetune import new_model
from ecg_lib.ecg_llm.model import EcgLlmOutput
from ecg_lib.ecg_llm.paired_contrast import (
    PAIR,
    PairCollator,
    PairedContrast,
    pairs_seen,
    prepare_pairs,
    train_pairs,
)
from ecg_lib.errors import DataError

YES, NO, END = 1, 2, 3


def contrast_of(yes_logits, own=0.0):
    """Return the loss of two pairs, given the logits of "yes" for (yes, no, yes, no) answers.

    The logits of "no" are 0.
    """
    logits = torch.zeros(8, 5)  # four answers of two tokens
    logits[::2, YES] = torch.tensor(yes_logits, dtype=torch.float)
    labels = torch.full((4, 4), -100)
    labels[:, 2] = torch.tensor([YES, NO, YES, NO])
    labels[:, 3] = END
    given = PairedContrast(lambda *_: EcgLlmOutput(torch.tensor(own), logits), [YES], [NO])
    return given(None, None, None, labels)["loss"].item()


def test_the_loss_is_the_log_likelihood_that_the_yes_scores_above_its_no():
    by_hand = np.log1p(np.exp(-(2.0 - 0.5))) / 2 + np.log1p(np.exp(-(0.0 - 1.0))) / 2
    assert contrast_of([2.0, 0.5, 0.0, 1.0]) == pytest.approx(by_hand)
    assert contrast_of([2.0, 0.5, 0.0, 1.0], own=0.7) == pytest.approx(by_hand + 0.7)
    assert contrast_of([0, 0, 0, 0]) == pytest.approx(np.log(2))


def test_a_leaning_to_yes_that_both_ecgs_have_cancels():
    assert contrast_of([2.0, 0.5, 0.0, 1.0]) == pytest.approx(contrast_of([7.0, 5.5, -4.0, -3.0]))
    # sure of yes, but blind to the ECG
    assert contrast_of([9.0, 9.0, 9.0, 9.0]) == pytest.approx(np.log(2))


@pytest.fixture(scope="module")
def paired(rows):  # noqa: F811
    return rows.assign(**{PAIR: np.arange(len(rows)) // 2})


def test_a_batch_holds_each_yes_before_its_no(llm, tokens, paired):  # noqa: F811
    processor = new_model(encoder(), llm, Lora(), "float32", seed=0)[1]
    prepared = prepare_pairs(paired.sample(frac=1, random_state=0), processor)
    assert len(prepared) == len(paired) // 2
    ids = [[side["ecg_id"] for side in pair["sides"]] for pair in prepared]
    assert ids == [[list(a), list(b)] for a, b in zip(*[iter(paired["ecg_id"])] * 2, strict=True)]
    batch = PairCollator(processor, tokens)(prepared[:3])
    assert batch["input_ids"].shape[0] == 6 == len(batch["ecg_tokens"])
    said = [row[row != -100][0].item() for row in batch["labels"]]
    yes, no = processor.yes_no_ids()
    assert all(k in (no if at % 2 else yes) for at, k in enumerate(said))


def test_rows_that_form_no_pair_are_refused(llm, paired):  # noqa: F811
    processor = new_model(encoder(), llm, Lora(), "float32", seed=0)[1]
    for wrong, why in (
        (paired.iloc[:3], "pair 1 says yes"),
        (pd.concat([paired, paired.iloc[[0]]]), "pair 0 has two rows that say 'yes'"),
    ):
        with pytest.raises(DataError, match=why) as caught:
            prepare_pairs(wrong, processor)
        assert "\n" not in str(caught.value)


def test_fewer_rows_are_fewer_pairs_and_whole_ones(paired):
    few = pairs_seen(paired, Stage(max_rows=9), seed=0)
    assert len(few) == 8 and (few[PAIR].value_counts() == 2).all()
    assert pairs_seen(paired, Stage(max_rows=None), seed=0) is paired


def test_training_puts_every_yes_above_its_no(llm, tokens, paired, tmp_path):  # noqa: F811
    swapped = paired.assign(answer=[["no"], ["yes"]] * 20)  # untrained, it ranks the other way
    model, processor = new_model(encoder(), llm, Lora(dropout=0.0), "float32", seed=0)
    asked = paired["question"].tolist(), [list(e) for e in paired["ecg_id"]]

    def ranked():
        p = score_yes(model, processor, *asked, tokens)[0].reshape(-1, 2)
        return (p[:, 1] > p[:, 0]).mean()

    before = ranked()
    train_pairs(model, processor, swapped, tokens, STAGE, tmp_path / "stage1", seed=0)
    assert before < 0.5 and ranked() > 0.95
    curve = pd.read_csv(tmp_path / "stage1" / "curve.csv")
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0] / 2
    assert (tmp_path / "stage1" / "projector.safetensors").is_file()
