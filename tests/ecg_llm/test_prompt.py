"""Test that a prompt is one string and tokenised as one, with several kinds of tokenizers."""

import re

import pytest
from paper_models import llama_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ecg_lib.ecg_llm.processor import IGNORE, SLOT, EcgLlmProcessor
from ecg_lib.errors import DataError
from ecg_lib.tiny_llm.llama import train_byte_pairs
from ecg_lib.tiny_llm.synthetic_reports import Exercise
from ecg_lib.tiny_llm.toy_passages import Passage
from ecg_lib.tiny_llm.training_rows import (
    CachedTokenizer,
    dialogue_rows,
    exercise_rows,
    passage_rows,
)

ASKED = "Answer the following questions based on the above content: "
QUESTION = "Is left axis, or 12 mm ST, in this ECG?"
REPORT = "sinus rhythm. left axis deviation"
TEXTS = [ASKED + QUESTION, "This is an electrocardiogram. yes no Yes No", REPORT] * 9


def byte_level(texts, with_bos: bool = True) -> PreTrainedTokenizerFast:
    """Train a tokenizer like GPT-2's: words include their leading space; texts get none added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    bos = {"bos_token": "<|endoftext|>"} if with_bos else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        **bos,
    )


def llama() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=llama_tokenizer(TEXTS, 450),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    )


KINDS = {
    "GPT-2's": byte_level(TEXTS),
    "Qwen's, which begins no text": byte_level(TEXTS, with_bos=False),
    "the tiny LLM's": train_byte_pairs(TEXTS, 400, ["left axis deviation", "sinus rhythm"]),
    "Llama's": llama(),
}


@pytest.fixture(params=KINDS, scope="module")
def tokenizer(request):
    return KINDS[request.param]


def decoded(processor, ids) -> str:
    text = processor.tokenizer.decode(ids, skip_special_tokens=False)
    bos = processor.tokenizer.bos_token or ""
    return text.removeprefix(bos).removeprefix(" ")  # the leading space of a text, if it has one


WRITTEN = {
    1: f"This is an electrocardiogram. {REPORT}. {ASKED}{QUESTION}",
    2: f"Here are two electrocardiograms. The first is {REPORT}, and the second is normal ecg. "
    f"{ASKED}{QUESTION}",
}


@pytest.mark.parametrize("ecgs", [1, 2])
def test_a_prompt_about_reports_reads_as_it_is_written_spaces_included(tokenizer, ecgs):
    processor = EcgLlmProcessor(tokenizer, slots=0)
    ids = processor.prompt_ids(QUESTION, [REPORT, "normal ecg"][:ecgs])
    assert decoded(processor, ids) == WRITTEN[ecgs]


@pytest.mark.parametrize("ecgs", [1, 2])
def test_a_prompt_about_ecgs_reads_as_it_is_written_spaces_included(tokenizer, ecgs):
    processor = EcgLlmProcessor(tokenizer, slots=3)
    ids = processor.prompt_ids(QUESTION, ecgs)
    assert ids.count(processor.slot_id) == 3 * ecgs
    text = decoded(processor, ids).replace(SLOT * 3, " [ECG]")  # a slot absorbs its space
    if tokenizer is KINDS["Llama's"]:  # it puts a space before every text, also after a slot
        text = re.sub(r"(?<=\[ECG\]) (?=[.,])", "", text)
    ecg = "[ECG]" if ecgs == 1 else "[ECG], and the second is [ECG]"
    start = WRITTEN[ecgs].partition(REPORT)[0]
    assert text == f"{start}{ecg}. {ASKED}{QUESTION}"


def test_tokens_are_those_of_the_one_string(tokenizer):
    processor = EcgLlmProcessor(tokenizer, slots=1)
    row = processor.example(QUESTION, "yes", 1)
    whole = processor.text_ids(f"{processor.prompt_text(QUESTION, 1)} yes")
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    assert row["input_ids"] == [*bos, *whole, tokenizer.eos_token_id]
    said = [i for i in row["labels"] if i != IGNORE]
    assert said[-1] == tokenizer.eos_token_id
    assert said[0] in processor.yes_no_ids()[0], "what is trained is what is scored"
    assert tokenizer.decode(said[:-1]).strip() == "yes"


def test_the_slot_is_one_past_the_vocabulary_and_loading_again_changes_nothing(tokenizer, tmp_path):
    size = len(tokenizer)
    processor = EcgLlmProcessor(tokenizer, slots=3)
    assert processor.slot_id == size == len(tokenizer), "the given tokenizer is left as it is"
    for k in range(2):
        processor.save_pretrained(tmp_path / str(k))
        again = EcgLlmProcessor.from_pretrained(tmp_path / str(k))
        assert (again.slot_id, len(again.tokenizer)) == (size, size + 1)
        assert again.prompt_ids(QUESTION, 2) == processor.prompt_ids(QUESTION, 2)
        processor = again
    assert (
        EcgLlmProcessor(AutoTokenizer.from_pretrained(tmp_path / "1/processor"), 3).slot_id == size
    )


def test_a_slot_token_in_a_question_is_refused(tokenizer):
    processor = EcgLlmProcessor(tokenizer, slots=3)
    with pytest.raises(DataError, match="ecg"):
        processor.prompt_ids(f"Is {SLOT} in it?", 1)


def test_a_tokenizer_that_joins_prompt_and_answer_is_an_error():
    tokenizer = Tokenizer(models.BPE())  # no split into words, so tokens span spaces
    tokenizer.train_from_iterator(
        ["it? yes", "it: yes"] * 9, trainers.BpeTrainer(vocab_size=60, special_tokens=["</s>"])
    )
    joined = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    with pytest.raises(DataError, match="tell prompt from answer"):
        EcgLlmProcessor(joined, slots=0).continue_ids("yes", "it?")


def test_an_answer_that_would_join_the_question_has_its_own_tokens():
    possible = train_byte_pairs(["possible sinus rhythm: yes"] * 9, 300, ["possible sinus rhythm"])
    processor = EcgLlmProcessor(possible, slots=0)
    assert len(processor.text_ids("possible sinus rhythm")) == 1
    said = processor.continue_ids("sinus rhythm", "which is possible")
    assert said == processor.continue_ids("sinus rhythm", "which is certain")
    assert possible.decode(said) == " sinus rhythm"


def one_after_another(row, processor) -> list[str]:
    """Return the text of each turn of a packed row, after the shared text before it."""
    turns = range(1, max(row["turn"]) + 1)
    return [
        decoded(
            processor,
            [i for i, t in zip(row["input_ids"], row["turn"], strict=True) if t in (0, turn)],
        ).removesuffix(processor.tokenizer.eos_token)
        for turn in turns
    ]


def test_reading_practice_reads_as_it_is_written_and_as_one_string(tokenizer):
    if tokenizer.bos_token is None:
        pytest.skip("the tiny LLM's tokenizer begins its texts")
    processor = CachedTokenizer(tokenizer, slots=0)
    turns = [(QUESTION, "yes"), ("What is there?", "sinus rhythm; left axis deviation")]
    rows = {
        WRITTEN[1].removesuffix(QUESTION): exercise_rows([Exercise([REPORT], turns)], processor),
        f"Two lists. {ASKED}": passage_rows([Passage("Two lists.", turns)], processor),
        "": dialogue_rows(turns, processor, pack=2),
    }
    for start, (row,) in rows.items():
        wanted = [f"{start}{question} {answer}" for question, answer in turns]
        assert one_after_another(row, processor) == wanted
        for turn, text in enumerate(wanted, start=1):
            ids = [i for i, t in zip(row["input_ids"], row["turn"], strict=True) if t in (0, turn)]
            assert ids[1:-1] == processor.text_ids(text)
