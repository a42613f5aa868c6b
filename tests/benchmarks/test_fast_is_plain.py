"""The fast ways that `make bench` times give what the plain ways give; no time is asserted."""

import copy

import numpy as np
import pytest
import torch

from benchmarks import plain_answers, plain_signal, plain_training
from benchmarks.plain_attention import PlainAttention, forward_backward, without_fused_kernel
from benchmarks.workload import Workload
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import EcgStore
from ecg_lib.data.write_store import write_store
from ecg_lib.ecg_llm.answering import score_yes, score_yes_to_each
from ecg_lib.ecg_llm.finetune import QuestionCollator, prepare_rows
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT

UV = 1e-3  # mV; a store rounds to it


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Workload:
    return Workload.of(tmp_path_factory.mktemp("work"), "smoke", patients=24, per_answer=2)


@pytest.fixture(scope="module")
def prepared(work, tmp_path_factory) -> EcgStore:
    """The store that the library prepares from the files."""
    return write_store(tmp_path_factory.mktemp("files") / "store", plain_signal.Files(work.files))


def test_the_encoder_reads_the_same_from_the_store_as_from_the_files(work, prepared):
    prepare = work.encoder.config.ecg_input.prepare
    for row, stem in enumerate(work.files[:8]):
        plain, fast = plain_signal.model_input(stem), prepare(prepared.mv(row))[0]
        span = np.ptp(prepared.mv(row)[0], axis=-1, keepdims=True)
        assert (np.abs(fast - plain) <= 4 * UV / span).all()
        assert plain.std() > 0.1


def test_a_prepared_cohort_holds_what_one_file_per_ecg_holds(work, prepared, tmp_path):
    plain_signal.prepare_one_by_one(work.files, tmp_path)
    plain = np.stack([np.load(tmp_path / f"{stem.name}.npy") for stem in work.files])
    assert np.abs(prepared.mv(slice(None)) - plain).max() <= 0.51 * UV
    assert plain.std() > 0.05


def test_hearts_drawn_one_by_one_are_those_drawn_together(tmp_path):
    cohort = SimulatedCohort(6, seed=2)
    plain_signal.prepare_drawn(map(cohort.read, cohort.index()), tmp_path / "plain")
    store = write_store(tmp_path / "store", cohort)
    for row in range(len(cohort)):
        plain = np.load(tmp_path / "plain" / f"{row:06d}.npy")
        assert np.abs(store.mv(row)[0] - plain).max() <= 0.51 * UV


def gradients(model, loss) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([w.grad.flatten() for w in model.parameters() if w.requires_grad])


def test_packed_rows_with_cached_tokens_train_as_padded_rows_encoded_again(work):
    model, processor = work.model_and_processor
    rows = work.some(40)
    packed = prepare_rows(rows, processor, together=8)
    assert len(packed) < len(rows)
    batch = QuestionCollator(processor, work.tokens)(packed)
    assert batch["input_ids"].shape[1] < plain_training.LENGTH
    fast = model(**batch).loss
    plain = plain_training.plain_loss(rows, processor, work.store, model)
    near = 2e-3  # cached tokens are stored in half precision
    assert torch.isclose(fast, plain, rtol=near)
    one, other = gradients(model, fast), gradients(model, plain)
    assert torch.linalg.norm(one - other) < 10 * near * torch.linalg.norm(other) > 0


def test_scored_answers_are_those_read_from_generation_one_by_one(work):
    model, processor = work.model_and_processor
    rows = work.some(24, "verify")
    asked = rows["question"].tolist(), [list(e) for e in rows["ecg_id"]]
    p_yes, choice = score_yes(model, processor, *asked, work.tokens)
    _, plain, said = plain_answers.ask_one_by_one(model, processor, rows, work.tokens)
    assert np.allclose(p_yes, plain, atol=1e-4) and plain.std() > 1e-3
    assert (choice == said).all()


@pytest.mark.parametrize("kind", ["choose", "query"])
def test_answers_generated_together_are_those_generated_one_by_one(work, kind):
    model, processor = work.model_and_processor
    rows = work.some(8, kind)
    texts, _, _ = plain_answers.ask_one_by_one(model, processor, rows, work.tokens)
    assert work.answers(rows) == texts and len(set(texts)) > 1


def test_nine_labels_after_one_reading_score_as_in_nine_passes(work):
    model, processor = work.model_and_processor
    questions = [f"Is there {text}?" for text in LABEL_TEXT.values()]
    given = model, processor, questions, work.store.records["ecg_id"].tolist()[:6], work.tokens
    plain = plain_answers.nine_passes(*given)
    assert plain.shape == (6, 9) and plain.std() > 1e-3
    assert np.allclose(score_yes_to_each(*given), plain, atol=1e-4)


def test_the_fused_kernel_gives_the_output_and_gradients_of_the_formula(work):
    fused = copy.deepcopy(work.encoder).requires_grad_()
    plain = without_fused_kernel(fused)
    assert any(isinstance(module, PlainAttention) for module in plain.modules())
    ecg = torch.randn(3, 12, 1000)
    assert torch.allclose(fused(ecg).tokens, plain(ecg).tokens, atol=1e-5)
    forward_backward(fused, ecg), forward_backward(plain, ecg)
    for one, other in zip(fused.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-6)
    assert max(weight.grad.abs().max() for weight in plain.blocks.parameters()) > 1e-4
