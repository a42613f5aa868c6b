"""Tests of the tiny LLM's practice: its rows, their order, its tokens and the Muon optimizer."""

import numpy as np
import pandas as pd
import pytest
import torch

from ecg_lib.ecg_llm.processor import IGNORE, QUESTION, EcgLlmProcessor
from ecg_lib.tiny_llm import training_rows
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.tiny_llm.packed_rows import PackedLoss, collate
from ecg_lib.tiny_llm.toy_passages import Passage
from ecg_lib.tiny_llm.training_rows import disturber, passage_rows, report_rows
from ecg_lib.training.fit import Schedule, fit
from ecg_lib.training.muon import MuonAdamW


@pytest.fixture(scope="module")
def processor():
    words = [
        "yes no not sure none",
        "sinus rhythm; atrial fibrillation",
        QUESTION,
        "Two lists.",
        "This is an electrocardiogram. report a b c d x y Is there? rain fog hail disturbed",
    ]
    return EcgLlmProcessor(train_byte_pairs(words, 400), slots=0)


def reading_rows():
    return pd.DataFrame(
        {
            "question": ["Is a there?", "Is b there?", "Is c there?", "Is d there?"],
            "answer": [["yes"], ["no"], ["sinus rhythm", "atrial fibrillation"], ["no"]],
            "ecg_id": [["x"], ["x"], ["x"], ["y", "x"]],
        }
    )


def test_questions_about_one_ecg_share_its_report_and_each_answer_carries_loss(processor):
    examples = report_rows(reading_rows(), lambda e, rng: f"report {e}", processor, seed=0, pack=2)
    texts = [processor.tokenizer.decode(e["input_ids"]) for e in examples]
    assert len(examples) == 3  # three questions about x in twos, one about y and x
    assert sum(text.count("report x") for text in texts) == 3
    learnt = []
    for example in examples:
        kept = [
            i if t != IGNORE else -1
            for i, t in zip(example["input_ids"], example["labels"], strict=True)
        ]
        assert len(kept) == len(example["labels"])
        learnt += [i for i in kept if i != -1]
    said = processor.tokenizer.decode(learnt).split("</s>")
    assert sorted(s.strip() for s in said if s) == sorted(
        ["yes", "no", "no", "atrial fibrillation; sinus rhythm"]
    )  # findings in no report keep ECG-QA's order


def test_several_answers_stand_in_the_order_of_the_report(processor):
    rows = reading_rows().iloc[2:3]
    for report in ("sinus rhythm. atrial fibrillation", "atrial fibrillation. sinus rhythm"):
        (row,) = report_rows(rows, lambda e, rng, report=report: report, processor, seed=0)
        said = [i for i, t in zip(row["input_ids"], row["labels"], strict=True) if t != IGNORE]
        text = processor.tokenizer.decode(said, skip_special_tokens=True)
        assert text.strip() == report.replace(".", ";")


def test_everyday_passages_carry_loss_on_their_answers_only(processor):
    passage = Passage("Two lists.", [("Is rain new?", "yes"), ("What is gone?", "fog; hail")])
    (row,) = passage_rows([passage], processor)
    said = [i for i, t in zip(row["input_ids"], row["labels"], strict=True) if t != IGNORE]
    assert processor.tokenizer.decode(said).split("</s>")[:2] == [" yes", " fog; hail"]
    text = processor.tokenizer.decode(row["input_ids"])
    assert text.index("Two lists.") < text.index("Is rain new?") < text.index("What is gone?")


def test_several_answers_stand_in_the_order_of_the_report_whole_names_only(processor):
    rows = pd.DataFrame({"question": ["Which?"], "ecg_id": [["x"]], "answer": [["rain", "fog"]]})
    text = {"x": "hail rain. possible fog in lead II. rain"}
    (row,) = report_rows(rows, lambda e, rng: text[e], processor, seed=0)
    said = [i for i, t in zip(row["input_ids"], row["labels"], strict=True) if t != IGNORE]
    assert processor.tokenizer.decode(said).startswith(" fog; rain")


def test_only_questions_about_one_ecg_are_disturbed(processor):
    examples = report_rows(
        reading_rows(),
        lambda e, rng: f"report {e}",
        processor,
        seed=0,
        disturb=lambda question, rng: "disturbed",
    )
    texts = [processor.tokenizer.decode(e["input_ids"]) for e in examples]
    assert sorted("disturbed" in text for text in texts) == [False, True]
    assert all(("Is d there?" in text) != ("disturbed" in text) for text in texts)


def test_a_question_among_others_is_learned_as_if_asked_alone(processor):
    torch.manual_seed(0)
    model = tiny_llama(processor.tokenizer, width=32, depth=2, heads=2).eval()
    asked = [("Is a there?", ["yes"]), ("Is b there?", ["no"]), ("Which?", ["sinus rhythm"])]
    rows = pd.DataFrame(
        {"question": [q for q, _ in asked], "answer": [a for _, a in asked], "ecg_id": [["x"]] * 3}
    )
    report = {"x": "atrial fibrillation"}
    together = report_rows(rows, lambda e, rng: report[e], processor, seed=0, pack=3)
    single = [processor.example(q, a[0], ["atrial fibrillation"]) for q, a in asked]
    assert len(together) == 1
    n = [len(processor.answer_ids(a[0], q)) for q, a in asked]
    with torch.no_grad():
        fast = PackedLoss(model, processor.slot_id)(**collate(together, processor))["loss"]
        plain = [model(**processor.batch([s])).loss for s in single]
    expected = sum(k * p for k, p in zip(n, plain, strict=True)) / sum(n)
    assert torch.isclose(fast, expected, atol=1e-5)


def test_a_disturbed_question_keeps_its_terms_and_loses_words():
    terms = ["left bundle branch block", "sinus rhythm"]
    disturb = disturber(["Some other words stand here."], terms, share=1.0)
    question = "Does this ECG of a patient show left bundle branch block or sinus rhythm today?"
    rng = np.random.default_rng(0)
    disturbed = [disturb(question, rng) for _ in range(50)]
    assert all(term in text for text in disturbed for term in terms)
    assert len(set(disturbed)) > 45
    assert disturber(["a"], terms, share=0.0)(question, rng) == question


def test_a_phrase_is_one_token_and_decodes_with_its_spaces():
    texts = ["complete left bundle branch block. sinus rhythm"] * 20
    tokenizer = train_byte_pairs(texts, 400, ["complete left bundle branch block", "sinus rhythm"])
    ids = tokenizer("sinus rhythm")["input_ids"]
    assert len(ids) == 1
    assert tokenizer.decode(tokenizer(texts[0])["input_ids"]).strip() == texts[0]


def test_digits_decode_as_they_were_written():
    tokenizer = train_byte_pairs(
        ["a QT of 0.20 s in lead V5, sinus rhythm"] * 3, 330, ["sinus rhythm"]
    )
    text = "The PR is 0.20 s, the rate 107; sinus rhythm."
    assert tokenizer.decode(tokenizer(text)["input_ids"]).strip() == text


class Linear(torch.nn.Module):
    """An embedding table and a linear layer, with the Trainer's kind of output."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.matrix = torch.nn.Embedding(5, 4), torch.nn.Linear(4, 3)

    def forward(self, x):
        return {"loss": self.matrix(self.table(x)).square().mean()}


def test_muon_steps_matrices_and_adamw_the_rest():
    model = Linear()
    optimizer = MuonAdamW(model, (model.table,), lr=0.1, weight_decay=0.0)
    muon, adamw = optimizer.parts
    stepped = [
        [p for group in part.param_groups for p in group["params"]] for part in (muon, adamw)
    ]
    assert stepped[0] == [model.matrix.weight]
    assert {id(p) for p in stepped[1]} == {id(model.matrix.bias), id(model.table.weight)}
    before = model.matrix.weight.detach().clone()
    model(torch.arange(5))["loss"].backward()
    for group in optimizer.param_groups:  # what a scheduler does
        group["lr"] = 0.02
    optimizer.step()
    step = (before - model.matrix.weight.detach()) / 0.02
    spread = torch.linalg.svdvals(step)  # nearly orthogonal, of AdamW's size (RMS 0.2)
    assert spread.max() / spread.min() < 2
    assert 0.1 < step.square().mean().sqrt() < 0.4


def test_muon_goes_on_from_a_saved_state():
    def stepped(model, optimizer, n):
        for _ in range(n):
            optimizer.zero_grad()
            model(torch.arange(5))["loss"].backward()
            optimizer.step()

    whole = Linear()
    stepped(whole, MuonAdamW(whole, (whole.table,), 0.1, 0.01), 6)
    first = Linear()
    optimizer = MuonAdamW(first, (first.table,), 0.1, 0.01)
    stepped(first, optimizer, 3)
    second = Linear()
    second.load_state_dict(first.state_dict())
    again = MuonAdamW(second, (second.table,), 0.1, 0.01)
    again.load_state_dict(optimizer.state_dict())
    stepped(second, again, 3)
    assert torch.allclose(second.matrix.weight, whole.matrix.weight, atol=1e-6)


class Convolved(torch.nn.Module):
    """A convolution whose weights are stored as kernels or as a matrix."""

    def __init__(self, kernels: bool):
        super().__init__()
        torch.manual_seed(0)
        weight = torch.randn(6, 4, 3)
        self.weight = torch.nn.Parameter(weight if kernels else weight.flatten(1))
        self.bias = torch.nn.Parameter(torch.zeros(6))

    def forward(self, x):
        weight = self.weight.view(6, 4, 3)
        return {"loss": torch.nn.functional.conv1d(x, weight, self.bias).square().mean()}


def test_muon_steps_the_kernels_of_a_convolution_as_the_matrix_that_they_are():
    x, steps = torch.randn(8, 4, 20, generator=torch.Generator().manual_seed(1)), []
    for kernels in (True, False):
        model = Convolved(kernels)
        before = model.weight.detach().flatten(1).clone()
        optimizer = MuonAdamW(model, (), lr=0.05, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(x)["loss"].backward()
            optimizer.step()
        steps.append(model.weight.detach().flatten(1) - before)
    assert steps[0].abs().max() > 0.01
    assert torch.allclose(*steps, atol=1e-6)


def test_rows_in_order_are_met_in_order(tmp_path):
    met = []

    def note(batch):
        met.extend(int(row["x"][0]) for row in batch)
        return {"x": torch.stack([row["x"] for row in batch])}

    rows = [{"x": torch.tensor([n % 5])} for n in range(12)]
    model = Linear()
    in_order = Schedule(epochs=1, batch_size=4, learning_rate=1e-2, order="as given")
    fit(
        model,
        rows,
        note,
        tmp_path,
        in_order,
        optimizer=MuonAdamW(model, (model.table,), 1e-2, 0.0),
    )
    assert met == [n % 5 for n in range(12)]


def test_a_dialogue_is_learned_as_it_is_asked_without_an_ecg(processor):
    talk = [("Is there rain?", "yes"), ("Two lists.", "none"), ("Is there fog?", "no")]
    rows = training_rows.dialogue_rows(talk, processor, pack=2)
    assert len(rows) == 2
    start = processor.tokenizer.bos_token_id
    alone = training_rows.sentence_rows([" ".join(talk[2])], processor)[0]
    assert rows[1]["input_ids"] == alone["input_ids"] and alone["input_ids"][0] == start
    answers = [i for i in rows[0]["labels"] if i != IGNORE]
    assert processor.tokenizer.decode(answers, skip_special_tokens=True).split() == ["yes", "none"]
