"""Test the models: equations, slots, frozen parts, and each fast path against its plain version."""

import os
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig

from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor
from ecg_lib.ecg_llm.projector import Projector, concat_four
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.text_encoder import TextEncoder, small_bert, train_report_tokens
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.losses import clip_loss
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

QUESTION = "Is there anything unusual in this ECG?"
TEXTS = [
    "This is an electrocardiogram. Here are two electrocardiograms. The first is, and the second",
    "Answer the following questions based on the above content: " + QUESTION,
    "yes no none atrial fibrillation sinus rhythm left bundle branch block; normal ecg",
] * 3


@pytest.fixture(scope="module")
def encoder() -> StemVit:
    torch.manual_seed(0)
    return StemVit(StemVitConfig(width=16, depth=2, heads=2, mlp=32, patch=50)).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_pairs(TEXTS, 400)


@pytest.fixture(scope="module")
def processor(tokenizer) -> EcgLlmProcessor:
    return EcgLlmProcessor(tokenizer, slots=5)


@pytest.fixture()
def model(encoder, tokenizer, processor) -> EcgLlm:
    torch.manual_seed(1)
    lm = tiny_llama(tokenizer, width=32, depth=2, heads=2)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj"], lora_dropout=0.1)
    return EcgLlm.build(encoder, lm, processor.slot_id, "tiny", lora).eval()


def a_batch(processor, encoder, answers=("no", "left bundle branch block; sinus rhythm")):
    rows = [
        processor.example(QUESTION, answers[0], 1),
        processor.example("Which symptoms are new?", answers[1], 2),
    ]
    tokens = encoder(torch.randn(3, 12, 1000, generator=torch.Generator().manual_seed(2))).tokens
    return processor.batch(rows), tokens.detach()


def test_the_encoder_gives_a_token_a_patch_and_a_normalised_global_vector(encoder):
    output = encoder(torch.randn(3, 12, 1000))
    assert output.tokens.shape == (3, 20, 16)
    assert output.cls.shape == (3, 16)
    assert torch.allclose(output.cls.mean(-1), torch.zeros(3), atol=1e-5)  # LN of equation 4


def test_a_batch_of_ecgs_is_encoded_as_each_alone(encoder):
    ecgs = torch.randn(3, 12, 1000)
    alone = torch.cat([encoder(e[None]).tokens for e in ecgs])
    assert torch.allclose(encoder(ecgs).tokens, alone, atol=1e-5)


def test_the_encoder_survives_saving(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    again = StemVit.from_pretrained(tmp_path).eval()
    ecg = torch.randn(2, 12, 1000)
    assert torch.equal(again(ecg).cls, encoder(ecg).cls)
    assert (tmp_path / "model.safetensors").is_file()


def test_equation_5_joins_four_neighbours_in_order():
    z = torch.arange(8.0).view(1, 8, 1)
    assert concat_four(z).tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    with pytest.raises(ValueError, match="multiple|fours"):
        concat_four(torch.zeros(1, 10, 2))
    projected = Projector(16, 32)(torch.zeros(2, 20, 16))
    assert projected.shape == (2, Projector.slots(20), 32) and Projector.slots(20) == 5


def test_a_misspelt_key_of_a_batch_is_not_passed_over(model, processor, encoder):
    batch, tokens = a_batch(processor, encoder)
    labels = batch.pop("labels")
    with pytest.raises(TypeError, match="lables"):
        model(**batch, ecg_tokens=tokens, lables=labels)


def test_clip_loss_is_symmetric_and_ignores_equal_reports():
    unit = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    other = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    scale = torch.tensor(10.0)
    assert torch.isclose(clip_loss(unit, other, scale), clip_loss(other, unit, scale))
    same = torch.eye(4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    by_hand = 0.0
    for a, b in ((unit, other), (other, unit)):
        for i in range(4):
            kept = [j for j in range(4) if j == i or not same[i, j]]
            logits = scale * (a[i] @ b[kept].T)
            by_hand += -(logits[kept.index(i)] - logits.logsumexp(0)) / 8
    assert torch.isclose(clip_loss(unit, other, scale, same), by_hand, atol=1e-5)


def test_clip_survives_saving(encoder, tmp_path):
    tokenizer = train_report_tokens(TEXTS, 300)
    text = TextEncoder(small_bert(len(tokenizer), 16, 1, 2, 64)).eval()
    clip = EcgClip(encoder, text, width=8).eval()
    clip.save_pretrained(tmp_path)
    again = EcgClip.from_pretrained(tmp_path)
    ecg, words = torch.randn(2, 12, 1000), tokenizer(["normal ecg"], return_tensors="pt")
    ids, mask = words["input_ids"], words["attention_mask"]
    assert torch.equal(again.embed_ecg(ecg), clip.embed_ecg(ecg))
    assert torch.equal(again.embed_text(ids, mask), clip.embed_text(ids, mask))
    assert torch.equal(again.log_scale, clip.log_scale)


@pytest.mark.parametrize(
    "ecgs, prompt",
    [
        (
            1,
            "This is an electrocardiogram. [ECG]. Answer the following questions based on the "
            f"above content: {QUESTION}",
        ),
        (
            2,
            "Here are two electrocardiograms. The first is [ECG], and the second is [ECG]. Answer "
            f"the following questions based on the above content: {QUESTION}",
        ),
    ],
)
def test_prompts_are_the_papers_word_for_word(processor, ecgs, prompt):
    ids = processor.prompt_ids(QUESTION, ecgs)
    words = [[]]  # token ids between slots
    for i in ids[1:]:
        if i != processor.slot_id:
            words[-1].append(i)
        elif words[-1]:
            words.append([])
    text = " [ECG]".join(processor.tokenizer.decode(w) for w in words)
    text = " ".join(text.split()).replace("[ECG] ,", "[ECG],").replace("[ECG] .", "[ECG].")
    assert text == prompt
    assert ids.count(processor.slot_id) == 5 * ecgs
    assert ids[0] == processor.tokenizer.bos_token_id


def test_only_the_answer_carries_loss(processor):
    row = processor.example(QUESTION, "left bundle branch block", 1)
    labelled = [i for i, t in zip(row["input_ids"], row["labels"], strict=True) if t != IGNORE]
    assert processor.tokenizer.decode(labelled[:-1]).strip() == "left bundle branch block"
    assert labelled[-1] == processor.tokenizer.eos_token_id


def test_yes_and_no_are_told_apart_by_their_first_tokens(processor):
    yes, no = processor.yes_no_ids()
    assert yes and no and not set(yes) & set(no)


def test_projected_tokens_stand_in_the_slots_in_reading_order(model, processor, encoder):
    batch, tokens = a_batch(processor, encoder)
    embeds = model.embed(batch["input_ids"], tokens)
    slots = batch["input_ids"] == processor.slot_id
    projected = model.projector(tokens)  # (3, 5, 32)
    assert torch.allclose(embeds[0][slots[0]], projected[0])
    assert torch.allclose(embeds[1][slots[1]], projected[1:].flatten(0, 1))
    table = model.base_lm.get_input_embeddings().weight
    assert torch.equal(embeds[~slots], table[batch["input_ids"][~slots]])


def test_too_few_ecgs_are_an_error_not_a_wrong_answer(model, processor, encoder):
    batch, tokens = a_batch(processor, encoder)
    with pytest.raises(ValueError, match="15 ECG slots"):
        model.embed(batch["input_ids"], tokens[:2])


def test_loss_at_labelled_positions_equals_the_plain_forward_pass(model, processor, encoder):
    batch, tokens = a_batch(processor, encoder)
    plain = model.forward_plain(ecg_tokens=tokens, **batch)
    assert torch.isclose(model(ecg_tokens=tokens, **batch).loss, plain, atol=1e-5)


def test_padding_changes_neither_loss_nor_generated_text(model, processor, encoder):
    prompts = [processor.prompt_ids(QUESTION, 1), processor.prompt_ids("New?", 2)]
    _, tokens = a_batch(processor, encoder)
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": processor.pad_id}
    together = model.generate(ecg_tokens=tokens, **processor.prompts(prompts), **options)
    for row, (prompt, t) in enumerate(zip(prompts, (tokens[:1], tokens[1:]), strict=True)):
        alone = model.generate(ecg_tokens=t, **processor.prompts([prompt]), **options)
        assert torch.equal(together[row, : alone.shape[1]], alone[0])


def test_an_answer_depends_on_the_order_of_two_ecgs(model, processor, encoder):
    _, tokens = a_batch(processor, encoder)
    prompt = processor.prompts([processor.prompt_ids("New?", 2)])
    first = model(ecg_tokens=tokens[:2], **prompt).logits
    swapped = model(ecg_tokens=tokens[:2].flip(0), **prompt).logits
    assert not torch.allclose(first, swapped)


def test_training_changes_the_projector_and_lora_and_nothing_else(model, processor, encoder):
    before = {n: p.detach().clone() for n, p in model.state_dict().items()}
    model.train()
    batch, tokens = a_batch(processor, encoder)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):  # LoRA's A moves only after B has left zero
        optimiser.zero_grad()
        model(ecg_tokens=tokens, **batch).loss.backward()
        optimiser.step()
    changed = {n for n, p in model.state_dict().items() if not torch.equal(p, before[n])}
    assert changed and all("lora_" in n or n.startswith("projector.") for n in changed)
    assert any("q_proj" in n for n in changed) and any("k_proj" in n for n in changed)
    assert changed == {n for n, p in model.named_parameters() if p.requires_grad}


def test_half_of_the_heads_of_a_tiny_llama_start_by_attending_to_like_tokens(tokenizer):
    torch.manual_seed(0)
    lm = tiny_llama(tokenizer, width=96, depth=2, heads=4).eval()
    lm.set_attn_implementation("eager")
    ids = torch.randint(3, 300, (20, 40))
    place = torch.randint(5, 35, (20,))
    ids[:, -1] = ids[torch.arange(20), place]  # the last token occurs once earlier
    with torch.no_grad():
        given = lm(ids, output_attentions=True).attentions[0]  # (B, heads, L, L)
    to_like = given[torch.arange(20), :, -1, place].mean(dim=0)
    assert to_like[:2].min() > 3 * to_like[2:].max()


def test_the_model_survives_saving_and_finds_its_language_model_after_a_move(
    model, tokenizer, processor, encoder, tmp_path
):
    lm_folder = tmp_path / "house" / "lm"
    torch.manual_seed(1)  # the same weights as the fixture's, without adapters
    tiny_llama(tokenizer, width=32, depth=2, heads=2).save_pretrained(lm_folder)
    model.config.language_model = str(lm_folder)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            p.data.normal_()
    model.save_pretrained(tmp_path / "house" / "stage2" / "arm", processor)
    (tmp_path / "house").rename(tmp_path / "moved")
    folder = tmp_path / "moved" / "stage2" / "arm"
    again, reader = EcgLlm.from_pretrained(folder), EcgLlmProcessor.from_pretrained(folder)
    batch, tokens = a_batch(processor, encoder)
    assert torch.isclose(
        again(ecg_tokens=tokens, **batch).loss, model(ecg_tokens=tokens, **batch).loss, atol=1e-5
    )
    assert reader.prompt_ids(QUESTION, 2) == processor.prompt_ids(QUESTION, 2)
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


def test_a_folder_without_weights_is_an_error_not_random_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="projector"):
        EcgLlm.from_pretrained(tmp_path)


def test_eight_questions_can_be_learnt_by_heart(encoder, tokenizer, processor):
    torch.manual_seed(3)
    lm = tiny_llama(tokenizer, width=32, depth=2, heads=2)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj"])
    model = EcgLlm.build(encoder, lm, processor.slot_id, "tiny", lora).train()
    tokens = torch.randn(8, 20, 16)
    rows = [processor.example(QUESTION, a, 1) for a in ["yes", "no"] * 4]
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = model(ecg_tokens=tokens, **processor.batch(rows)).loss
        loss.backward()
        optimiser.step()
    prompts = processor.prompts([processor.prompt_ids(QUESTION, 1)] * 8)
    logits = model.eval()(ecg_tokens=tokens, **prompts).logits
    yes, no = processor.yes_no_ids()
    said_yes = logits[:, yes].amax(-1) > logits[:, no].amax(-1)
    assert said_yes.tolist() == [True, False] * 4


def test_tokenisers_trained_twice_in_other_processes_are_the_same(tmp_path):
    code = (
        "from ecg_lib.encoders.text_encoder import train_report_tokens as report\n"
        "from ecg_lib.tiny_llm.llama import train_byte_pairs as tiny\n"
        "texts = ['sinus rhythm. normal ecg.', 'Atrial fibrillation; left axis'] * 9\n"
        "phrases = ['sinus rhythm', 'left axis', 'normal ecg']\n"
        "print(report(texts, 330).backend_tokenizer.to_str())\n"
        "print(tiny(texts, 330, phrases).backend_tokenizer.to_str())\n"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1
