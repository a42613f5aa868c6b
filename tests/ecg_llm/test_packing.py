"""Test that packed questions about one ECG give the loss, gradients and scores of unpacked ones."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from ecg_lib.config import Stage
from ecg_lib.ecg_llm.answering import score_yes, score_yes_plain
from ecg_lib.ecg_llm.finetune import (
    WEIGHT,
    QuestionCollator,
    prepare_rows,
    sequences_per_step,
    train_stage,
)
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.packing import batches, grouped, positions, shared_length
from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor
from ecg_lib.ecg_llm.weighted_loss import WeightedAnswers
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

IDS = [f"simulated/{i:06d}" for i in range(12)]
ASKED = ["Is it normal?", "Is there any sinus rhythm at all?", "Which findings are there?"]
SAID = [["yes"], ["no"], ["sinus rhythm", "normal ecg"]]


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_pairs([*ASKED, "yes no sinus rhythm normal ecg not sure"] * 9, 380)


@pytest.fixture(scope="module")
def processor(tokenizer):
    return EcgLlmProcessor(tokenizer, slots=5)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    values = np.random.default_rng(0).normal(size=(len(IDS), 20, 16))
    np.save(folder / "tokens.npy", values.astype(np.float16))
    np.save(folder / "cls.npy", values[:, 0].astype(np.float16))
    return EcgTokens(folder, IDS)


def llama(tokenizer) -> LlamaForCausalLM:
    return tiny_llama(tokenizer, width=32, depth=2, heads=2)


def gpt2(tokenizer) -> GPT2LMHeadModel:  # learned, absolute positions
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256,
        attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, initializer_range=0.2,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def qwen(tokenizer) -> Qwen2ForCausalLM:  # grouped-query attention, biases
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


def build(lm, tokenizer, processor, attention) -> EcgLlm:
    torch.manual_seed(1)
    encoder = StemVit(StemVitConfig(width=16, depth=1, heads=2, mlp=32, patch=50))
    lm = lm(tokenizer)
    lm.set_attn_implementation(attention)
    to = ["c_attn"] if lm.config.model_type == "gpt2" else ["q_proj", "k_proj"]
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=to)
    model = EcgLlm.build(encoder, lm, processor.slot_id, "any", lora).train()
    for name, p in model.named_parameters():
        if "lora_B" in name:  # with B at zero, A would have no gradient
            p.data.normal_(std=0.1)
        if name.startswith("projector"):  # slots large enough to matter beside words
            p.data.mul_(10)
    return model


@pytest.fixture(params=[(llama, "sdpa"), (llama, "eager"), (gpt2, "sdpa"), (qwen, "sdpa")])
def model(request, tokenizer, processor) -> EcgLlm:
    return build(*request.param[:1], tokenizer, processor, request.param[1])


def asked(pairs: bool, n: int = 4) -> pd.DataFrame:
    """Return each question about each of `n` ECGs or pairs, including both orders of a pair."""
    about = [[IDS[k], IDS[k ^ 1]] if pairs else [IDS[k]] for k in range(n)]
    return pd.DataFrame(
        {
            "question": ASKED * n,
            "answer": SAID * (n - 1) + [["no"], ["no"], ["sinus rhythm"]],
            "ecg_id": [ecgs for ecgs in about for _ in ASKED],
        }
    )


def loss_and_gradients(model, batch) -> list[torch.Tensor]:
    model.zero_grad()
    loss = model(**batch)["loss"]
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters() if p.requires_grad)]


def both(rows, processor, tokens, together=2):
    """Return the same rows as two batches: packed, and one row per sequence."""
    collate = QuestionCollator(processor, tokens)
    packed, alone = (prepare_rows(rows, processor, k, seed=3) for k in (together, 1))
    assert len(packed) < len(alone) == len(rows)
    return collate(packed), collate(alone)


@pytest.mark.parametrize("kinds", [[False], [True], [False, True]])
def test_loss_and_gradients_are_those_of_the_rows_one_by_one(model, processor, tokens, kinds):
    rows = pd.concat([asked(pairs) for pairs in kinds])
    fast, plain = (loss_and_gradients(model, batch) for batch in both(rows, processor, tokens))
    assert len(plain) > 5 and all(one.abs().max() > 1e-3 for one in plain)
    for one, other in zip(fast, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@torch.no_grad()
def test_packed_questions_are_independent_and_use_the_ecg(model, processor, tokens):
    (row,) = prepared = prepare_rows(asked(False, n=1), processor, together=3)
    batch = QuestionCollator(processor, tokens)(prepared)
    turn = torch.tensor(row["turn"])
    answering = turn[1:][batch["labels"][0, 1:] != IGNORE]  # turn of each logit
    logits = model.eval()(**batch).logits
    for changed in (1, 2, 3):
        ids = batch["input_ids"].masked_fill(turn == changed, 5)  # other words in one turn
        same = torch.isclose(model(**{**batch, "input_ids": ids}).logits, logits, atol=1e-6)
        assert same[answering != changed].all() and not same[answering == changed].all(-1).any()
    another = model(**{**batch, "ecg_tokens": -batch["ecg_tokens"]}).logits
    assert not torch.isclose(another, logits, atol=1e-3).all(-1).any()


@torch.no_grad()
def test_weights_count_for_their_own_questions(tokenizer, processor, tokens):
    model = build(llama, tokenizer, processor, "sdpa").eval()
    weights = np.linspace(0.1, 3.0, 12)
    fast, plain = both(asked(True).assign(**{WEIGHT: weights}), processor, tokens, together=3)
    assert fast["labels"].shape == fast["weights"].shape
    loss = WeightedAnswers(model)(**fast)["loss"]
    assert torch.isclose(loss, WeightedAnswers(model)(**plain)["loss"], atol=1e-5)
    assert not torch.isclose(loss, model(**{k: v for k, v in fast.items() if k != "weights"}).loss)


def test_scores_are_those_of_questions_asked_alone(model, processor, tokens):
    model.eval()
    rows = pd.concat([asked(False, 5), asked(True, 3)]).sample(frac=1, random_state=0)
    rows = pd.concat([rows, rows.head(3)])  # the same question twice
    given = rows["question"].tolist(), rows["ecg_id"].tolist(), tokens
    alone = score_yes_plain(model, processor, *given, batch_size=4)
    for batch_size in (1, 7, 128):
        fast = score_yes(model, processor, *given, batch_size)
        assert np.allclose(fast[0], alone[0], atol=1e-5) and (fast[1] == alone[1]).all()
    assert alone[0].std() > 0.01
    single = score_yes_plain(model, processor, *given, batch_size=1)
    assert np.allclose(single[0], alone[0], atol=1e-5), "padding moves no position"


def test_an_ecg_is_projected_once_for_its_questions(tokenizer, processor, tokens, monkeypatch):
    model, seen = build(llama, tokenizer, processor, "sdpa").eval(), []
    forward = model.projector.forward
    monkeypatch.setattr(model.projector, "forward", lambda z: seen.append(len(z)) or forward(z))
    rows = asked(False)
    score_yes(model, processor, rows["question"].tolist(), rows["ecg_id"].tolist(), tokens)
    assert sum(seen) == 4


def test_positions_follow_the_mask_on_either_side():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    assert positions(mask).tolist() == [[0, 0, 0, 1], [0, 1, 2, 2]]


def test_groups_hold_equal_keys_and_are_nearly_equal_in_size():
    keys = ["a"] * 9 + ["b"] + ["a"]
    groups = grouped(keys, 4, np.random.default_rng(0))
    assert sorted(len(g) for g in groups) == [1, 3, 3, 4]
    assert sorted(i for g in groups for i in g) == list(range(11))
    assert all(len({keys[i] for i in g}) == 1 for g in groups)
    assert grouped(keys, 4) != groups and grouped(keys, 1) == [[i] for i in [*range(9), 10, 9]]


def test_shared_length_leaves_one_token_per_prompt():
    assert shared_length([[1, 2, 3], [1, 2, 4]]) == 2
    assert shared_length([[1, 2, 3], [1, 2, 3]]) == 2
    assert shared_length([[1, 2], [1, 2, 4]]) == 1


def test_batches_hold_about_so_many_questions():
    groups = [[0, 1], [2], [3, 4, 5], [6]]
    found = list(batches(groups, [4, 1, 9, 2], size=3))
    assert found == [[1, 3], [0], [2]]


def test_a_step_holds_about_as_many_questions_however_they_are_packed(processor):
    rows, stage = asked(False), Stage(batch_size=6)
    for together, sequences in ((1, 6), (2, 4), (3, 2)):
        prepared = prepare_rows(rows, processor, together)
        assert sequences_per_step(prepared, len(rows), stage) == sequences
    assert sequences_per_step(prepared, len(rows), replace(stage, batch_size=1)) == 1


def test_a_stage_learns_as_well_from_packed_questions(tokenizer, processor, tokens, tmp_path):
    final = {}
    for together in (1, 3):
        torch.manual_seed(0)
        model = build(llama, tokenizer, processor, "sdpa")
        stage = Stage(epochs=15, learning_rate=1e-2, batch_size=6, questions_per_ecg=together)
        folder = tmp_path / str(together)
        train_stage(model, processor, asked(False), tokens, stage, folder, seed=0)
        curve = pd.read_csv(folder / "curve.csv")
        assert curve["step"].max() == 30, "as many steps of as many questions"
        assert curve["loss"].iloc[-1] < 0.65 * curve["loss"].iloc[0]
        final[together] = curve["loss"].iloc[-1]
    assert abs(final[3] - final[1]) < 0.3
