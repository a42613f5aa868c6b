"""Contract of the language model: any causal LM of transformers gives the same answers alone,
in a batch, packed and from a cache, whatever its architecture, tokenizer and folder."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel
from small_language_models import ASKED, END, KINDS, TOKENS, Kind
from transformers import AutoModelForCausalLM

from ecg_lib.config import Lora, Stage
from ecg_lib.ecg_llm.alignment import embed_names
from ecg_lib.ecg_llm.answering import (
    generate_answers,
    read_rows,
    score_yes,
    score_yes_plain,
    score_yes_to_each,
)
from ecg_lib.ecg_llm.ask import load_model
from ecg_lib.ecg_llm.causal_lm import shares_prefix
from ecg_lib.ecg_llm.finetune import new_model, train_stage
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.token_cache import EcgTokens, weights_hash
from ecg_lib.errors import ConfigError, DataError

IDS = [f"simulated/{i:06d}" for i in range(4)]
LONG = "Is it normal?" + " and is it normal" * 60
FAR = {"bloom"}  # no limit of positions


@pytest.fixture(scope="module", params=KINDS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory):
    return KINDS[name].save(tmp_path_factory.mktemp("lm") / name)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> EcgTokens:
    folder = tmp_path_factory.mktemp("tokens")
    values = np.random.default_rng(0).normal(size=(len(IDS), 20, 16))
    np.save(folder / "tokens.npy", values.astype(np.float16))
    np.save(folder / "cls.npy", values[:, 0].astype(np.float16))
    return EcgTokens(folder, IDS)


def build(folder, adapted) -> tuple[EcgLlm, EcgLlmProcessor]:
    """Build an ECG-LLM whose adapters and ECGs matter."""
    torch.manual_seed(1)
    encoder = StemVit(StemVitConfig(width=16, depth=1, heads=2, mlp=32, patch=50)).eval()
    lora = Lora(r=2, dropout=0.0, target_modules=adapted)
    model, processor = new_model(encoder, folder, lora, "float32", seed=0)
    for parameter, values in model.named_parameters():
        if "lora_B" in parameter:
            values.data.normal_(std=0.3)
        if parameter.startswith("projector"):
            values.data.mul_(20)
    return model.eval(), processor


@pytest.fixture(scope="module")
def built(name, folder) -> tuple[EcgLlm, EcgLlmProcessor]:
    return build(folder, KINDS[name].adapted)


def given(pairs: bool = True) -> tuple[list[str], list[list[str]]]:
    about = [[ecg] for ecg in IDS] + ([[IDS[1], IDS[0]]] if pairs else [])
    return ASKED * len(about), [ecgs for ecgs in about for _ in ASKED]


# -- scores ----------------------------------------------------------------------------------


def test_a_score_is_the_same_alone_in_a_batch_packed_and_from_a_cache(built, tokens):
    alone, chosen = score_yes_plain(*built, *given(), tokens, batch_size=1)
    assert alone.std() > 0.01
    for score in (score_yes_plain, score_yes):
        together, choice = score(*built, *given(), tokens)
        assert np.allclose(together, alone, atol=1e-5) and (choice == chosen).all()
    each = score_yes_to_each(*built, ASKED, IDS, tokens)
    assert np.allclose(each.ravel(), alone[: each.size], atol=1e-5)


def test_logits_are_those_of_the_language_model_itself(built, tokens):
    model, processor = built
    batch = processor.prompts([processor.prompt_ids(ASKED[0], 1)])
    embeds = model.embed(batch["input_ids"], tokens.get(IDS[:1]))
    with torch.no_grad():
        own = model.base_lm(inputs_embeds=embeds).logits[:, -1]
        ours = model(**batch, ecg_tokens=tokens.get(IDS[:1])).logits
    assert torch.allclose(ours, own, atol=1e-5)


def test_embedded_text_is_read_as_its_token_ids_are(built):
    model, processor = built
    ids = torch.tensor([processor.text_ids(ASKED[1])])
    none = torch.zeros(0, 20, 16)
    with torch.no_grad():
        embedded = model.base_lm(inputs_embeds=model.embed(ids, none)).logits
        assert torch.allclose(embedded, model.base_lm(input_ids=ids).logits, atol=1e-5)


def test_names_are_embedded_as_the_language_model_embeds_them(built):
    model, processor = built
    table = model.base_lm.get_input_embeddings()
    (word,) = embed_names(["rhythm"], processor.tokenizer, table)
    ids = torch.tensor([processor.text_ids("and rhythm")])
    spelled = model.embed(ids, torch.zeros(0, 20, 16))[0, len(processor.text_ids("and")) :]
    assert torch.allclose(word, spelled.mean(0), atol=1e-5), "slots are to be of this length"


# -- generated answers -----------------------------------------------------------------------


def by_hand(model, processor, question, ecg_tokens, n) -> str:
    """Continue a prompt greedily, one forward pass per token."""
    ids, end = processor.prompt_ids(question, 1), processor.tokenizer.eos_token_id
    start = len(ids)
    for _ in range(n):
        with torch.no_grad():
            best = int(model(**processor.prompts([ids]), ecg_tokens=ecg_tokens).logits.argmax())
        if best == end:
            break
        ids = [*ids, best]
    return processor.tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_answers_are_greedy_and_the_same_alone_and_in_a_batch(built, folder, tokens):
    assert "do_sample" in json.loads((folder / "generation_config.json").read_text())
    questions, ecgs = given(pairs=False)
    together = generate_answers(*built, questions, ecgs, tokens, max_new_tokens=12)
    alone = generate_answers(*built, questions, ecgs, tokens, max_new_tokens=12, batch_size=1)
    assert together == alone and len({*alone}) > 2
    for k in (0, 1, 5):
        assert alone[k] == by_hand(*built, questions[k], tokens.get(ecgs[k]), 12)


def test_a_reader_of_texts_answers_the_same_alone_and_in_a_batch(folder):
    lm, tokenizer = load_llm(folder)
    kinds = ["single-verify", "single-verify", "single-query"] * 3
    about = [[ecg] for ecg in IDS[:3] for _ in ASKED]
    rows = pd.DataFrame({"question": ASKED * 3, "question_type": kinds, "ecg_id": about})

    def read(batch_size):
        report = lambda ecg, _: "normal ecg " * (1 + IDS.index(ecg))  # noqa: E731
        processor = EcgLlmProcessor(tokenizer, slots=0)
        return read_rows(lm, processor, rows, report, 0, 6, batch_size)

    assert read(1).tolist() == read(9).tolist()


def test_a_finished_answer_ends_in_a_batch_where_others_go_on():
    processor = EcgLlmProcessor(TOKENS["gpt2, padded"](), slots=2)
    end = processor.tokenizer.eos_token_id
    yes, *_ = processor.text_ids(" yes")
    new = torch.tensor([[yes, end, processor.pad_id, processor.pad_id], [yes, yes, yes, yes]])
    assert processor.said(new) == ["yes", "yes yes yes yes"]


# -- training --------------------------------------------------------------------------------


def training_rows() -> pd.DataFrame:
    answers = [["yes"], ["no"], ["sinus rhythm", "normal ecg"]] * len(IDS)
    asked, ecgs = given(pairs=False)
    return pd.DataFrame({"question": asked, "answer": answers, "ecg_id": ecgs})


def test_a_trained_folder_gives_the_same_answers_and_its_adapter_loads_with_peft_alone(
    name, tokens, tmp_path
):
    lm_folder = KINDS[name].save(tmp_path / "house" / "lm")
    model, processor = build(lm_folder, KINDS[name].adapted)
    frozen = weights_hash(AutoModelForCausalLM.from_pretrained(lm_folder))
    if processor.tokenizer.eos_token_id is None:
        with pytest.raises(DataError, match="no end-of-text token.*eos_token"):
            processor.answer_ids("yes", ASKED[0])
        model.save_pretrained(tmp_path / "house" / "arm", processor)
    else:
        stage = Stage(epochs=2, learning_rate=1e-2, batch_size=6, questions_per_ecg=3)
        train_stage(model, processor, training_rows(), tokens, stage, tmp_path / "house/arm", 0)
    model.eval()

    (tmp_path / "house").rename(tmp_path / "moved")
    again = load_model(tmp_path / "moved" / "arm")
    asked = (*given(), tokens)
    assert np.array_equal(score_yes(*again, *asked)[0], score_yes(model, processor, *asked)[0])
    assert generate_answers(*again, *asked, 5) == generate_answers(model, processor, *asked, 5)

    base = AutoModelForCausalLM.from_pretrained(tmp_path / "moved" / "lm")
    assert weights_hash(base) == frozen, "the language model's bytes never change"
    alone = PeftModel.from_pretrained(base, str(tmp_path / "moved" / "arm" / "adapter"))
    assert weights_hash(alone) == weights_hash(model.language_model.float())
    assert weights_hash(again[0].base_lm) == weights_hash(model.base_lm)


def test_questions_are_packed_only_where_the_architecture_allows_it(name, built):
    assert shares_prefix(built[0].base_lm) == (name != "bloom")


# -- what a user may get wrong ---------------------------------------------------------------


def test_a_prompt_longer_than_the_positions_is_one_line(name, built, tokens):
    model, processor = built
    if name in FAR:
        assert 0 < score_yes(*built, [LONG], [IDS[:1]], tokens)[0][0] < 1
        return
    row = processor.prompts([processor.prompt_ids(LONG, 1)])
    for run in (
        lambda: model(**row, ecg_tokens=tokens.get(IDS[:1])),
        lambda: score_yes(*built, [LONG, ASKED[0]], [IDS[:1]] * 2, tokens),
        lambda: score_yes_plain(*built, [LONG], [IDS[:1]], tokens),
        lambda: score_yes_to_each(*built, [LONG, ASKED[0]], IDS, tokens),
        lambda: generate_answers(*built, [LONG], [IDS[:1]], tokens),
        lambda: generate_answers(*built, ASKED[:1], [IDS[:1]], tokens, max_new_tokens=150),
    ):
        with pytest.raises(DataError, match=r"exceeds the 160 positions.*shorten") as caught:
            run()
        assert "\n" not in str(caught.value)


def test_special_tokens_in_a_question_are_text(built, tmp_path):
    _, processor = built
    processor.save_pretrained(tmp_path)
    again = EcgLlmProcessor.from_pretrained(tmp_path)
    tokenizer = processor.tokenizer
    control = {*tokenizer.all_special_ids, processor.slot_id} - {tokenizer.unk_token_id}
    typed = [END, "</s>", "<s>", "[PAD]", "<|im_end|>", *tokenizer.all_special_tokens]
    plain = processor.prompt_ids("Is it normal? So", 1)
    for text in typed:
        if text == "<|ecg|>":
            continue
        ids = processor.prompt_ids(f"Is it normal? {text} So", 1)
        assert again.prompt_ids(f"Is it normal? {text} So", 1) == ids
        inside = ids if tokenizer.bos_token_id is None else ids[1:]
        assert control.isdisjoint(i for i in inside if i != processor.slot_id), text
        assert ids.count(processor.slot_id) == 5 and len(ids) > len(plain), "read, not dropped"
    with pytest.raises(DataError, match="ecg"):
        processor.prompt_ids("Is it <|ecg|> normal?", 1)


def test_a_layer_that_the_architecture_lacks_is_named_with_those_it_has(name, folder):
    wrong = [*KINDS[name].adapted, "w_pack"]
    with pytest.raises(ConfigError, match=r"lora.target_modules: .* no layer 'w_pack'") as caught:
        build(folder, wrong)
    assert all(layer in str(caught.value) for layer in KINDS[name].adapted)


def test_a_folder_without_its_language_model_says_so_and_takes_a_new_place(
    name, built, folder, tokens, tmp_path
):
    model, processor = built
    lm = shutil.copytree(folder, tmp_path / "house" / "lm")
    model.config.language_model = str(lm)
    model.save_pretrained(tmp_path / "house" / "arm", processor)
    model.config.language_model = str(folder)
    shutil.move(tmp_path / "house" / "arm", tmp_path / "alone")
    with pytest.raises(DataError, match="language model ../lm is not there; copy it") as caught:
        load_model(tmp_path / "alone")
    assert "\n" not in str(caught.value)
    expected = score_yes(*built, *given(), tokens)[0]
    pointed = EcgLlm.from_pretrained(tmp_path / "alone", language_model=str(lm))
    assert np.array_equal(score_yes(pointed, processor, *given(), tokens)[0], expected)
    config = tmp_path / "alone" / "config.json"
    config.write_text(config.read_text().replace("../lm", str(lm)))
    assert np.array_equal(score_yes(*load_model(tmp_path / "alone"), *given(), tokens)[0], expected)


def test_another_language_model_of_another_width_is_one_line(tmp_path):
    kind = KINDS["llama"]
    model, processor = build(kind.save(tmp_path / "lm"), kind.adapted)
    model.save_pretrained(tmp_path / "arm", processor)
    wide = Kind("llama", "llama", [], {**kind.settings, "hidden_size": 48})
    with pytest.raises(DataError, match="width 48.*trained for 32"):
        EcgLlm.from_pretrained(tmp_path / "arm", language_model=str(wide.save(tmp_path / "wide")))


def test_a_language_model_inside_the_saved_folder_is_found_there(tmp_path):
    kind = KINDS["llama"]
    model, processor = build(kind.save(tmp_path / "arm" / "lm"), kind.adapted)
    model.save_pretrained(tmp_path / "arm", processor)
    assert json.loads((tmp_path / "arm/config.json").read_text())["language_model"] == "./lm"
    (tmp_path / "arm").rename(tmp_path / "moved")
    load_model(tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "lm")
    with pytest.raises(DataError, match="language model ./lm is not there"):
        load_model(tmp_path / "moved")


def test_words_added_to_the_tokenizer_without_rows_are_one_line(tmp_path):
    folder = KINDS["qwen2"].save(tmp_path)
    _, tokenizer = load_llm(folder)
    tokenizer.add_tokens(["atrial"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(DataError, match=r"'atrial' has no row .*resize_token_embeddings"):
        load_llm(folder)


def test_an_architecture_with_unknown_scaling_is_refused_not_misread(tmp_path, monkeypatch):
    folder = KINDS["llama"].save(tmp_path)
    from transformers import LlamaForCausalLM

    forward = LlamaForCausalLM.forward

    def scaled(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        output.logits = output.logits * 3
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", scaled)
    with pytest.raises(DataError, match="does not compute its logits"):
        load_llm(folder)
