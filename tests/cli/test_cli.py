"""Test the command line: an answer for valid input, a one-line error for anything else."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ecg_folders import beats, ptbxl_row, write_ptbxl, write_wfdb
from peft import LoraConfig

from ecg_lib import paths
from ecg_lib.__main__ import main
from ecg_lib.data.store import EcgStore
from ecg_lib.ecg_llm.ask import newest_model, worded_as_yes_no
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.evaluation import dialogue
from ecg_lib.signal.leads import LEADS
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

QUESTION = "Is atrial fibrillation present?"
MIMIC = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved ECG-LLM with random weights, large in the projector so that every ECG matters."""
    return saved_model(tmp_path_factory.mktemp("model"), EcgInput())


def saved_model(root, ecg_input):
    """Save an untrained ECG-LLM whose encoder gives 20 tokens; return its folder."""
    torch.manual_seed(0)
    texts = [QUESTION, "yes no not sure", "Which finding is new? sinus rhythm"] * 3
    tokenizer = train_byte_pairs(texts, 320)
    lm = tiny_llama(tokenizer, width=32, depth=2, heads=2)
    lm.save_pretrained(root / "lm")
    tokenizer.save_pretrained(root / "lm")
    sizes = {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "patch": ecg_input.samples // 20}
    encoder = StemVit(StemVitConfig(ecg_input=ecg_input, **sizes)).eval()
    processor = EcgLlmProcessor(tokenizer, slots=5)
    lora = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "k_proj"])
    built = EcgLlm.build(encoder, lm, processor.slot_id, str(root / "lm"), lora)
    torch.nn.init.normal_(built.projector.linear.weight)
    folder = root / "some" / "stage2" / "de-biased"
    built.save_pretrained(folder, processor)
    (folder / "fingerprint.json").write_text("{}")
    return folder


@pytest.fixture
def record(tmp_path):
    """A record of 10 s at 500 Hz with the leads in standard order."""
    write_wfdb(tmp_path / "a", beats())
    return tmp_path / "a"


@pytest.fixture
def other(tmp_path):
    """A second ECG, with inverted polarity."""
    write_wfdb(tmp_path / "b", -beats(seed=1))
    return tmp_path / "b"


def run(capsys, *arguments):
    """Return the exit code, stdout and stderr of a command."""
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def asked(capsys, model, *arguments):
    """Return the JSON object that answers a question; the command must succeed."""
    code, out, err = run(capsys, "ask", "--model", model, "--json", *arguments)
    assert code == 0, err
    return json.loads(out)


def fails(capsys, *arguments):
    """Return the single stderr line of a command that must fail."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    return err


def test_leads_go_by_name_so_mimics_order_gives_the_same_answer(capsys, model, record, tmp_path):
    order = [LEADS.index(lead) for lead in MIMIC]
    write_wfdb(tmp_path / "mimic", beats()[order], MIMIC)
    write_wfdb(tmp_path / "misnamed", beats()[order], LEADS)
    right = asked(capsys, model, record, QUESTION)
    assert 0 < right["p_yes"] < 1
    assert asked(capsys, model, tmp_path / "mimic", QUESTION)["p_yes"] == right["p_yes"]
    assert asked(capsys, model, tmp_path / "misnamed", QUESTION)["p_yes"] != right["p_yes"]


def test_a_record_is_read_at_the_rate_of_the_models_encoder(capsys, model, record, tmp_path):
    fine = saved_model(tmp_path, EcgInput(rate=500))
    told = [asked(capsys, one, record, QUESTION)["p_yes"] for one in (fine, model)]
    assert 0 < told[0] < 1 and told[0] != told[1]


def test_a_record_may_be_named_with_or_without_suffix(capsys, model, record):
    plain = asked(capsys, model, record, QUESTION)
    for suffix in (".hea", ".dat"):
        named = asked(capsys, model, f"{record}{suffix}", QUESTION)
        assert (named["answer"], named["p_yes"]) == (plain["answer"], plain["p_yes"])


def test_the_json_object_says_who_answered_what_and_that_it_is_no_diagnosis(capsys, model, record):
    said = asked(capsys, model, record, f"  {QUESTION} ")
    assert set(said) == {"answer", "p_yes", "model", "question", "records", "disclaimer"}
    assert said["question"] == QUESTION and said["records"] == [str(record)]
    assert str(model) in said["model"] and "not for diagnosis" in said["disclaimer"]


@pytest.mark.parametrize(
    "question",
    [
        "{0} {label} {{x}}",
        "$\\frac{1}{2}$",
        "<b>AF</b>",
        "a|b `c` *d*",
        "%s %d",
        "--model",
        "é ü 心",
    ],
)
def test_a_question_is_text_whatever_it_holds(capsys, model, record, question):
    said = asked(capsys, model, record, "--", question)
    assert said["question"] == question and isinstance(said["answer"], str)


def test_a_question_as_long_as_a_book_is_refused(capsys, model, record):
    assert "1,000,000 characters" in fails(capsys, "ask", record, "x" * 10**6, "--model", model)


def test_the_answer_is_on_stdout_and_its_origin_on_stderr(capsys, model, record):
    code, out, err = run(capsys, "ask", record, QUESTION, "--model", model)
    assert code == 0 and "P(yes) = 0." in out
    assert (
        err == f"answered by {model} (language model lm); for research and teaching, "
        "not for diagnosis\n"
    )


def test_the_order_of_two_ecgs_matters(capsys, model, record, other):
    ask = "Is there a new finding?"
    forth = asked(capsys, model, record, ask, "--second", other)
    back = asked(capsys, model, other, ask, "--second", record)
    assert forth["records"] == back["records"][::-1]
    assert forth["p_yes"] != back["p_yes"]


def test_the_newest_finished_model_answers_unless_another_is_named(
    capsys, model, record, tmp_path, monkeypatch
):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    message = fails(capsys, "ask", record, QUESTION)
    assert "make paper" in message and "--model" in message
    for age, profile in ((1, "new"), (2, "old")):
        folder = tmp_path / "checkpoints" / profile / "stage2" / "de-biased"
        folder.mkdir(parents=True)
        (folder / "fingerprint.json").write_text("{}")
        os.utime(folder / "fingerprint.json", (1e9 - age, 1e9 - age))
    assert newest_model(tmp_path / "checkpoints").parts[-3] == "new"


@pytest.mark.parametrize(
    "question, closed",
    [
        ("Is it normal?", True),
        ("does V1, by chance, show noise?", True),
        ("Which rhythm?", False),
        ("Is the axis left or right?", False),
        ("", False),
    ],
)
def test_yes_no_questions_are_told_by_their_wording(question, closed):
    assert worded_as_yes_no(question) is closed


def test_bad_input_to_ask_is_one_line_and_exit_code_two(capsys, model, record, tmp_path):
    flat = beats()
    flat[7] = 0.0
    write_wfdb(tmp_path / "flat", flat)
    write_wfdb(tmp_path / "short", beats(seconds=4))
    write_wfdb(tmp_path / "eleven", beats()[:11], LEADS[:11])
    for name, reason in (
        ("nowhere", "no header"),
        ("flat", "lead V2: flat"),
        ("short", "4.0 s long"),
        ("eleven", "lead V6 missing"),
    ):
        message = fails(capsys, "ask", tmp_path / name, QUESTION, "--model", model)
        assert name in message and reason in message
    assert "empty" in fails(capsys, "ask", record, " ", "--model", model)
    assert "make paper" in fails(capsys, "ask", record, QUESTION, "--model", tmp_path)


def test_a_cohort_is_prepared_and_summed_up_in_one_line(capsys, tmp_path):
    write_ptbxl(tmp_path / "ptbxl", [ptbxl_row(i, i) for i in (1, 2)])
    code, out, _ = run(capsys, "prepare", "ptbxl", "--source", tmp_path, "--out", tmp_path / "out")
    assert code == 0 and out == "ptbxl: 2 ECGs of 2 patients (train 2)\n"
    store = EcgStore.open(tmp_path / "out")
    code, out, _ = run(
        capsys, "prepare", "ptbxl", "--source", tmp_path, "--out", tmp_path / "out", "--json"
    )
    said = json.loads(out)
    assert said["counts"]["kept"] == 2 and said["hash"] == store.hash


def test_a_cohort_is_prepared_at_the_rate_asked_for_in_a_folder_of_its_own(capsys, tmp_path):
    write_ptbxl(tmp_path / "ptbxl", [ptbxl_row(1, 1)], rate=500)
    base = ("prepare", "ptbxl", "--source", tmp_path)
    assert run(capsys, *base, "--out", tmp_path / "out")[0] == 0
    told = fails(capsys, *base, "--out", tmp_path / "out", "--rate", 500)
    assert "at 100 Hz; name another folder for 500 Hz" in told
    assert "give 1 or more" in fails(capsys, *base, "--out", tmp_path / "fine", "--rate", 0)
    code, out, _ = run(capsys, *base, "--out", tmp_path / "fine", "--rate", 500, "--json")
    assert code == 0 and json.loads(out)["rate"] == 500
    assert EcgStore.open(tmp_path / "fine").samples == 5000
    assert EcgStore.open(tmp_path / "out").samples == 1000


def test_bad_input_to_prepare_is_one_line_and_exit_code_two(capsys, tmp_path):
    base = ("--source", tmp_path, "--out", tmp_path / "out")
    known = fails(capsys, "prepare", "ptb", *base)
    assert all(name in known for name in ("ptbxl", "mimic_iv_ecg", "ludb", "shaoxing"))
    assert "ptbxl_database.csv" in fails(capsys, "prepare", "ptbxl", *base)
    assert "only with ptbxl" in fails(capsys, "prepare", "ludb", *base, "--ecgqa", tmp_path)
    assert "--workers" in fails(capsys, "prepare", "ludb", *base, "--workers", 0)
    assert not (tmp_path / "out").exists()


def test_help_names_every_verb_and_option(capsys):
    for arguments, words in (
        ([], ("prepare", "ask", "exit codes")),
        (["ask"], ("--second", "--model", "--json", "not for diagnosis")),
        (["prepare"], ("--source", "--workers", "--rate", "--ecgqa", "cpsc2018")),
        (["evaluate"], ("transfer", "zero-shot", "linear-probe")),
        (["evaluate", "linear-probe"], ("--share", "--seeds", "--baseline")),
        (["plan"], ("PROFILE", "--gpu", "--mfu", "--json", "A100-40")),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--help"])
        text = capsys.readouterr().out
        assert ended.value.code == 0 and all(word in text for word in words)


def test_the_language_model_explains_without_its_adapters(model):
    loaded, processor = EcgLlm.from_pretrained(model), EcgLlmProcessor.from_pretrained(model)
    plain = dialogue.say(loaded, processor, "What does sinus rhythm mean?", 8)
    for name, weight in loaded.language_model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=30.0)
    assert dialogue.say(loaded, processor, "What does sinus rhythm mean?", 8) == plain
    ids = processor.prompts([processor.text_ids("What does sinus rhythm mean?")])
    with torch.no_grad():
        on = loaded.language_model(**ids).logits
        with loaded.language_model.disable_adapter():
            off = loaded.language_model(**ids).logits
    assert not np.allclose(on, off)


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert re.fullmatch(r"debiased-ecg \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_the_readmes_python_answers_a_question(model, capsys):
    """Run the snippet as it is, with a small untrained model in place of the demo's."""
    readme = Path(__file__).resolve().parents[2] / "README.md"
    block = readme.read_text("utf-8").split("```python\n")[1].split("```")[0]
    folder = re.search(r'load_model\("(.+?)"\)', block)[1]
    assert folder == "checkpoints/demo/stage2/de-biased"
    exec(compile(block.replace(folder, str(model)), str(readme), "exec"), {})
    assert re.fullmatch(r".*[01]\.\d+\n", capsys.readouterr().out, re.S)
