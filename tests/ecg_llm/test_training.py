"""Test training: what a run may change, that it learns, and that its answers are consistent."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecg_lib.config import Lora, Stage
from ecg_lib.ecg_llm.answering import (
    answer_rows,
    generate_answers,
    read_rows,
    score_yes,
    score_yes_to_each,
)
from ecg_lib.ecg_llm.finetune import QuestionCollator, apart, new_model, prepare_rows, train_stage
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.packing import pack, packed_batch
from ecg_lib.ecg_llm.processor import EcgLlmProcessor, labelled
from ecg_lib.ecg_llm.weighted_loss import EqualAnswers, WeightedAnswers
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.token_cache import EcgTokens, weights_hash
from ecg_lib.errors import DataError
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.training.fit import Schedule, fit

QUESTION = "Is atrial fibrillation present?"
IDS = [f"simulated/{i:06d}" for i in range(40)]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    torch.manual_seed(0)
    tokenizer = train_byte_pairs(
        [
            QUESTION,
            "yes no not sure",
            "sinus rhythm; atrial fibrillation",
            "This is an electrocardiogram. Answer the following questions "
            "based on the above content:",
        ],
        380,
    )
    processor = EcgLlmProcessor(tokenizer, slots=0)
    model = tiny_llama(tokenizer, width=32, depth=2, heads=2)
    data = [
        processor.example(QUESTION, answer, [report])
        for report, answer in [("atrial fibrillation", "yes"), ("sinus rhythm", "no")]
    ] * 64
    fit(model, data, processor.batch, folder, Schedule(12, 16, 1e-2))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_small_language_model_of_these_tests_can_read(llm):
    model, tokenizer = load_llm(llm)
    processor = EcgLlmProcessor(tokenizer, slots=0)
    rows = pd.DataFrame({"question": QUESTION, "ecg_id": [["a"], ["b"]]})
    report = {"a": "atrial fibrillation", "b": "sinus rhythm"}
    for kind in ("single-verify", "single-query"):  # scored, and generated
        said = read_rows(
            model, processor, rows.assign(question_type=kind), lambda e, rng: report[e], seed=0
        )
        assert said.tolist() == ["yes", "no"]


def test_an_llm_that_cannot_be_had_is_one_line_that_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="llm.name_or_path .* save_pretrained"):
        load_llm(tmp_path)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """Tokens of forty ECGs; every second one carries a mark that means yes."""
    folder = tmp_path_factory.mktemp("tokens")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 20, 16))
    values[::2] += 1.5
    np.save(folder / "tokens.npy", values.astype(np.float16))
    np.save(folder / "cls.npy", values[:, 0].astype(np.float16))
    return EcgTokens(folder, IDS)


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(
        {
            "sample_id": range(40),
            "question_type": "single-verify",
            "question": QUESTION,
            "answer": [["yes"], ["no"]] * 20,
            "ecg_id": [[e] for e in IDS],
        }
    )


def encoder():
    torch.manual_seed(1)
    return StemVit(StemVitConfig(width=16, depth=1, heads=2, mlp=32, patch=50)).eval()


STAGE = Stage(epochs=25, learning_rate=2e-2, batch_size=20)


@pytest.fixture(scope="module")
def trained(llm, tokens, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "stage1"
    model, processor = new_model(encoder(), llm, Lora(dropout=0.0), "float32", seed=0)
    before = {n: p.clone() for n, p in model.state_dict().items()}
    train_stage(model, processor, rows, tokens, STAGE, folder, seed=0)
    return folder, model, processor, before


def test_training_teaches_the_answer_and_writes_the_curve(trained, tokens, rows):
    folder, model, processor, _ = trained
    answers = answer_rows(model, processor, rows, tokens)
    assert (answers["prediction"] == [a[0] for a in rows["answer"]]).mean() > 0.9
    assert ((answers["p_yes"] > 0.5) == (answers["prediction"] == "yes")).all()
    curve = pd.read_csv(folder / "curve.csv")
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0] / 2
    assert not (folder / "trainer").exists()


def loss_of(model, processor, rows, tokens, weights):
    weighed = prepare_rows(rows.assign(weight=weights), processor)
    batch = QuestionCollator(processor, tokens)(weighed)
    return WeightedAnswers(model)(**batch)["loss"]


@torch.no_grad()
def test_weights_of_one_change_nothing_and_of_zero_leave_a_row_out(llm, tokens, rows):
    model, processor = new_model(encoder(), llm, Lora(), "float32", seed=3)
    model.eval()
    few = rows.iloc[:6].assign(question=[QUESTION] * 3 + ["Is it?"] * 3)
    plain = QuestionCollator(processor, tokens)(prepare_rows(few, processor))
    assert "weights" not in plain
    assert torch.isclose(loss_of(model, processor, few, tokens, 1.0), model(**plain).loss)
    half = loss_of(model, processor, few, tokens, [2.0, 2.0, 2.0, 0.0, 0.0, 0.0])
    assert torch.isclose(half, loss_of(model, processor, few.iloc[:3], tokens, 1.0), atol=1e-5)


def test_in_equal_answers_a_long_answer_counts_as_much_as_a_short_one(llm):
    processor = EcgLlmProcessor(load_llm(llm)[1], slots=0)
    said = [
        processor.answer_ids(text, "Is it?")
        for text in ("yes", "sinus rhythm and low voltage", "no")
    ]
    rows = [labelled([1, 2, 3], ids) for ids in said]
    packed = pack([[1, 2, 3], [1, 2, 4], [1, 2, 5]], said)
    losses = [0.5, 2.0, 1.5]  # per token of each answer
    each = torch.tensor([loss for loss, ids in zip(losses, said, strict=True) for _ in ids])
    assert len(each) > 8
    for batch in (processor.batch(rows), packed_batch([packed], processor)):
        equal = EqualAnswers(nn.Identity()).mean(each, batch["labels"][:, 1:])
        assert equal.item() == pytest.approx(np.mean(losses))
        assert WeightedAnswers(nn.Identity()).mean(each, batch["labels"]).item() > 1.4


def test_weights_decide_what_is_learned_from_contradicting_rows(llm, tokens, rows, tmp_path):
    lies = rows.assign(answer=[["no"], ["yes"]] * 20)
    both = pd.concat([rows.assign(weight=1.9), lies.assign(weight=0.1)], ignore_index=True)
    model, processor = new_model(encoder(), llm, Lora(dropout=0.0), "float32", seed=0)
    with pytest.raises(DataError, match="weight"):
        train_stage(model, processor, both, tokens, STAGE, tmp_path / "weighted", seed=0)
    weighted = {"seed": 0, "wrap": WeightedAnswers}
    train_stage(model, processor, both, tokens, STAGE, tmp_path / "weighted", **weighted)
    said = answer_rows(model, processor, rows, tokens)["prediction"]
    assert (said == [a[0] for a in rows["answer"]]).mean() > 0.9


def test_the_trainer_hands_over_the_batch_and_nothing_else(
    llm, tokens, rows, tmp_path, monkeypatch
):
    model, processor = new_model(encoder(), llm, Lora(), "float32", seed=0)
    given, plain = [], EcgLlm.forward

    def forward(self, **batch):  # the Trainer adds `num_items_in_batch` unless told not to
        given.append(set(batch))
        return plain(self, **batch)

    monkeypatch.setattr(EcgLlm, "forward", forward)
    stage = replace(STAGE, epochs=1)
    train_stage(model, processor, rows, tokens, stage, tmp_path / "run", seed=0, valid=rows.head(4))
    wanted = {"input_ids", "attention_mask", "labels", "ecg_tokens"}
    assert len(given) == 3 and all(keys == wanted for keys in given)


def test_frozen_parts_keep_every_byte(trained):
    _, model, _, before = trained
    changed = {n for n, p in model.state_dict().items() if not torch.equal(p, before[n])}
    assert changed and all("lora_" in n or n.startswith("projector.") for n in changed)
    assert weights_hash(model.encoder) == weights_hash(encoder())


def test_projector_and_adapters_each_move_at_a_rate_of_their_own(llm, tokens, rows, tmp_path):
    stage = Stage(epochs=1, learning_rate=1e-2, projector_rate=1e-4, batch_size=40, warmup=0.0)
    model, processor = new_model(encoder(), llm, Lora(dropout=0.0), "float32", seed=0)
    assert len(apart(model, stage).param_groups) == 2
    assert apart(model, replace(stage, projector_rate=None)) is None
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    train_stage(model, processor, rows, tokens, stage, tmp_path / "run", seed=0)
    moved = {
        n: (p - before[n]).abs().max().item() for n, p in model.named_parameters() if n in before
    }
    # Adam's first step equals the learning rate, whatever the gradient
    of_projector = [by for n, by in moved.items() if n.startswith("projector.")]
    of_adapters = [by for n, by in moved.items() if "lora_B" in n]  # A has no gradient while B is 0
    assert of_projector and of_adapters
    assert of_projector == pytest.approx([1e-4] * len(of_projector), rel=0.01)
    assert of_adapters == pytest.approx([1e-2] * len(of_adapters), rel=0.01)


def test_the_schedule_lowers_both_rates(llm, tokens, rows, tmp_path, monkeypatch):
    stage = Stage(epochs=2, learning_rate=1e-2, projector_rate=1e-4, batch_size=20, warmup=0.0)
    model, processor = new_model(encoder(), llm, Lora(dropout=0.0), "float32", seed=0)
    used, step = [], torch.optim.AdamW.step

    def noting(self, *args, **kwargs):
        used.append([group["lr"] for group in self.param_groups])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    train_stage(model, processor, rows, tokens, stage, tmp_path / "run", seed=0)
    adapters, projector = np.array(used).T
    assert adapters[0] == 1e-2 and adapters[-1] < 5e-3
    assert np.allclose(projector, adapters / 100)


def test_a_saved_stage_answers_as_the_model_in_memory(trained, tokens, rows):
    folder, model, processor, _ = trained
    again, reader = EcgLlm.from_pretrained(folder), EcgLlmProcessor.from_pretrained(folder)
    expected = answer_rows(model, processor, rows, tokens)["p_yes"]
    assert np.allclose(answer_rows(again, reader, rows, tokens)["p_yes"], expected, atol=1e-4)


def test_batched_answers_equal_single_answers(trained, tokens, rows):
    _, model, processor, _ = trained
    questions, ecgs = rows["question"].tolist(), rows["ecg_id"].tolist()
    together, _ = score_yes(model, processor, questions[:6], ecgs[:6], tokens, batch_size=6)
    single, _ = score_yes(model, processor, questions[:6], ecgs[:6], tokens, batch_size=1)
    assert np.allclose(together, single, atol=1e-5)


@pytest.mark.parametrize("batch_size", [7, 40])
def test_questions_that_share_an_ecg_s_cache_are_answered_as_if_asked_alone(
    trained, tokens, batch_size
):
    _, model, processor, _ = trained
    asked = [f"Does this ECG reveal any signs of {label}?" for label in LABEL_TEXT.values()]
    shared = score_yes_to_each(model, processor, asked, IDS, tokens, batch_size)
    alone, _ = score_yes(
        model, processor, asked * len(IDS), [[ecg] for ecg in IDS for _ in asked], tokens
    )
    assert np.allclose(shared, alone.reshape(len(IDS), len(asked)), atol=1e-5)
    assert shared.std(0).max() > 0.05, "the ECG counts"
    assert shared.std(1).max() > 0.05, "the question counts"
    backwards = score_yes_to_each(model, processor, asked[::-1], IDS, tokens, batch_size)
    assert np.allclose(backwards[:, ::-1], shared, atol=1e-5), "no question hears the one before"


def test_what_prompts_share_is_read_once_an_ecg(trained, tokens, monkeypatch):
    _, model, processor, _ = trained
    asked = [f"Is {label} present?" for label in LABEL_TEXT.values()]
    decoder, read = model.base_lm.get_decoder(), []
    forward = decoder.forward

    def counted(*args, **kwargs):
        given = kwargs.get("inputs_embeds", kwargs.get("input_ids"))
        read.append(tuple(given.shape[:2]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(decoder, "forward", counted)
    score_yes_to_each(model, processor, asked, IDS, tokens)
    prompts = [processor.prompt_ids(question, 1) for question in asked]
    slots = prompts[0].count(processor.slot_id)
    assert len(read) == 1 + len(asked) and read[0][1] > slots
    assert [n for _, n in read[1:]] == [len(p) - read[0][1] for p in prompts]


def test_scoring_says_what_greedy_generation_says(trained, tokens, rows):
    _, model, processor, _ = trained
    questions, ecgs = rows["question"].tolist(), rows["ecg_id"].tolist()
    _, choice = score_yes(model, processor, questions, ecgs, tokens)
    generated = generate_answers(model, processor, questions, ecgs, tokens, max_new_tokens=3)
    assert [("yes", "no", "not sure")[c] for c in choice] == generated


def test_the_same_seed_trains_the_same_weights(llm, tokens, rows, tmp_path):
    states = []
    for run in ("a", "b"):
        model, processor = new_model(encoder(), llm, Lora(), "float32", seed=5)
        stage = Stage(epochs=2, learning_rate=1e-2, batch_size=20)
        train_stage(model, processor, rows, tokens, stage, tmp_path / run, seed=5)
        states.append({n: p.detach() for n, p in model.named_parameters() if p.requires_grad})
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
