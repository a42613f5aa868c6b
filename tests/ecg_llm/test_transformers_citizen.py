"""Test that a saved ECG-LLM is a citizen of transformers: Auto classes and a pipeline."""

import numpy as np
import pytest
import torch
from ecg_folders import beats, write_wfdb
from peft import LoraConfig
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline

from ecg_lib.ecg_llm.ask import ask, load_model, read_ecg
from ecg_lib.ecg_llm.ask_pipeline import TASK, EcgQuestionAnswering
from ecg_lib.ecg_llm.model import EcgLlm, EcgLlmConfig
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

QUESTION = "Is atrial fibrillation present?"
NEW = "Which finding is new in the recent ECG?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved ECG-LLM with random weights, large in the projector so that every ECG matters."""
    root = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    tokenizer = train_byte_pairs([QUESTION, NEW, "yes no not sure sinus rhythm"] * 3, 320)
    lm = tiny_llama(tokenizer, width=32, depth=2, heads=2)
    lm.save_pretrained(root / "lm")
    encoder = StemVit(StemVitConfig(width=16, depth=1, heads=2, mlp=32, patch=50)).eval()
    processor = EcgLlmProcessor(tokenizer, slots=5)
    lora = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "k_proj"])
    model = EcgLlm.build(encoder, lm, processor.slot_id, str(root / "lm"), lora)
    torch.nn.init.normal_(model.projector.linear.weight)
    for name, values in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(values)
    model.save_pretrained(root / "arm", processor)
    return root / "arm"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("records")
    write_wfdb(root / "first", beats())
    write_wfdb(root / "recent", -beats(seed=1))
    return root / "first", root / "recent"


@pytest.fixture(scope="module")
def asking(folder):
    return pipeline(TASK, model=str(folder), device="cpu")


def expected(folder, records, question) -> dict:
    said = ask(*load_model(folder), [read_ecg(record) for record in records], question)
    return {"answer": said.text, "p_yes": said.p_yes}


def test_the_auto_classes_load_a_saved_folder(folder):
    config = AutoConfig.from_pretrained(folder)
    assert isinstance(config, EcgLlmConfig) and config.llm_width == 32
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    assert isinstance(model, EcgLlm) and isinstance(processor, EcgLlmProcessor)
    signal = [np.asarray(beats()[:, ::5], dtype=np.float32)]
    assert ask(model, processor, signal, QUESTION) == ask(*load_model(folder), signal, QUESTION)
    half = AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.base_lm.dtype == torch.bfloat16
    with pytest.raises(TypeError, match="languge_model"):
        AutoModel.from_pretrained(folder, languge_model="x")


def test_the_pipeline_answers_as_ask_does(folder, asking, records):
    assert isinstance(asking, EcgQuestionAnswering)
    alone = expected(folder, records[:1], QUESTION)
    assert 0 < alone["p_yes"] < 1
    assert asking(str(records[0]), question=QUESTION) == alone
    assert asking({"ecg": records[0], "question": f" {QUESTION} "}) == alone
    pair = expected(folder, records, NEW)
    assert asking(list(records), question=NEW) == pair
    assert pair != expected(folder, records[::-1], NEW)
    several = [{"ecg": records[0], "question": QUESTION}, {"ecg": list(records), "question": NEW}]
    assert asking(several) == [alone, pair]
    short = asking(records, question=NEW, max_new_tokens=1)
    assert len(short["answer"]) < len(pair["answer"])


def test_an_array_may_have_any_sampling_rate(folder, asking, records):
    from_file = asking(records[0], question=QUESTION)
    fine = beats()  # 500 Hz
    assert fine.shape == (12, 5000)
    given = asking(fine, question=QUESTION, rate=500)
    assert given["p_yes"] == pytest.approx(from_file["p_yes"], abs=0.01)  # the file holds int16
    at_own = read_ecg(records[0])
    assert asking(at_own, question=QUESTION) == from_file
    both = np.stack([at_own, at_own])
    assert asking(both, question=NEW) == asking([at_own, at_own], question=NEW)


def test_a_loaded_model_and_its_processor_make_a_pipeline_too(folder, records, asking):
    model, processor = load_model(folder)
    own = pipeline(TASK, model=model, processor=processor, device="cpu")
    assert own(records[0], question=QUESTION) == asking(records[0], question=QUESTION)


def test_what_is_wrong_with_an_input_is_one_line(asking, records, tmp_path):
    wrong = {
        r"give \(12, T\)": {"ecg": np.ones((5000, 12)), "question": QUESTION},
        "one or two": {"ecg": [records[0]] * 3, "question": QUESTION},
        "question is empty": {"ecg": records[0], "question": " "},
        "dict of ecg and question": {"ecg": records[0]},
    }
    for message, given in wrong.items():
        with pytest.raises(DataError, match=message) as caught:
            asking(given)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadRecord, match="absent"):
        asking(tmp_path / "absent", question=QUESTION)
    with pytest.raises(BadRecord):
        asking(np.zeros((12, 1000)), question=QUESTION)
    with pytest.raises(TypeError, match="top_k"):
        asking(records[0], question=QUESTION, top_k=3)
