"""Reading practice of the tiny LLM: rows, order, tokens, and that it learns to look things up."""


import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from ecg_lib.config import compose
from ecg_lib.models.processor import IGNORE, QUESTION, EcgLlmProcessor
from ecg_lib.models.tiny_llm import tiny_llama, train_byte_pairs
from ecg_lib.questions.advice import spans, talks
from ecg_lib.questions.everyday import Passage
from ecg_lib.questions.look_ups import FEW, look_ups
from ecg_lib.training import language
from ecg_lib.training.asked_alone import AskedAlone, collate
from ecg_lib.training.language import (
    comprehension,
    disturber,
    of_like_length,
    turns,
)
from ecg_lib.training.muon import MuonAdamW
from ecg_lib.training.trainer import fit


@pytest.fixture(scope="module")
def processor():
    words = ["yes no not sure none", "sinus rhythm; atrial fibrillation", QUESTION, "Two lists.",
             "This is an electrocardiogram. report a b c d x y Is there? rain fog hail disturbed"]
    return EcgLlmProcessor(train_byte_pairs(words, 400), slots=0)


def reading_rows():
    return pd.DataFrame({
        "question": ["Is a there?", "Is b there?", "Is c there?", "Is d there?"],
        "answer": [["yes"], ["no"], ["sinus rhythm", "atrial fibrillation"], ["no"]],
        "ecg_id": [["x"], ["x"], ["x"], ["y", "x"]]})


def test_questions_about_one_ecg_share_its_report_and_each_answer_carries_loss(processor):
    examples = turns(reading_rows(), lambda e, rng: f"report {e}", processor, seed=0, pack=2)
    texts = [processor.tokenizer.decode(e["input_ids"]) for e in examples]
    assert len(examples) == 3  # three questions about x by twos, one about y and x
    assert sum(text.count("report x") for text in texts) == 3
    learnt = []
    for example in examples:
        kept = [i if t != IGNORE else -1 for i, t in
                zip(example["input_ids"], example["labels"], strict=True)]
        assert len(kept) == len(example["labels"])
        learnt += [i for i in kept if i != -1]
    said = processor.tokenizer.decode(learnt).split("</s>")
    assert sorted(s.strip() for s in said if s) == sorted(
        ["yes", "no", "no", "atrial fibrillation; sinus rhythm"])  # in no report: ECG-QA's order


def test_several_answers_stand_in_the_order_of_the_report(processor):
    rows = reading_rows().iloc[2:3]
    for report in ("sinus rhythm. atrial fibrillation", "atrial fibrillation. sinus rhythm"):
        (row,) = turns(rows, lambda e, rng, report=report: report, processor, seed=0)
        said = [i for i, t in zip(row["input_ids"], row["labels"], strict=True) if t != IGNORE]
        text = processor.tokenizer.decode(said, skip_special_tokens=True)
        assert text.strip() == report.replace(".", ";")


def test_everyday_passages_carry_loss_on_their_answers_only(processor):
    passage = Passage("Two lists.", [("Is rain new?", "yes"), ("What is gone?", "fog; hail")])
    (row,) = comprehension([passage], processor)
    said = [i for i, t in zip(row["input_ids"], row["labels"], strict=True) if t != IGNORE]
    assert processor.tokenizer.decode(said).split("</s>")[:2] == [" yes", " fog; hail"]
    text = processor.tokenizer.decode(row["input_ids"])
    assert text.index("Two lists.") < text.index("Is rain new?") < text.index("What is gone?")


def test_several_answers_stand_in_the_order_of_the_report_whole_names_only(processor):
    rows = pd.DataFrame({"question": ["Which?"], "ecg_id": [["x"]],
                         "answer": [["rain", "fog"]]})
    text = {"x": "hail rain. possible fog in lead II. rain"}
    (row,) = turns(rows, lambda e, rng: text[e], processor, seed=0)
    said = [i for i, t in zip(row["input_ids"], row["labels"], strict=True) if t != IGNORE]
    assert processor.tokenizer.decode(said).startswith(" fog; rain")


def test_only_questions_about_one_ecg_are_disturbed(processor):
    examples = turns(reading_rows(), lambda e, rng: f"report {e}", processor, seed=0,
                     disturb=lambda question, rng: "disturbed")
    texts = [processor.tokenizer.decode(e["input_ids"]) for e in examples]
    assert sorted("disturbed" in text for text in texts) == [False, True]
    assert all(("Is d there?" in text) != ("disturbed" in text) for text in texts)


def test_a_question_among_others_is_learned_as_if_asked_alone(processor):
    torch.manual_seed(0)
    model = tiny_llama(processor.tokenizer, width=32, depth=2, heads=2).eval()
    asked = [("Is a there?", ["yes"]), ("Is b there?", ["no"]), ("Which?", ["sinus rhythm"])]
    rows = pd.DataFrame({"question": [q for q, _ in asked], "answer": [a for _, a in asked],
                         "ecg_id": [["x"]] * 3})
    report = {"x": "atrial fibrillation"}
    together = turns(rows, lambda e, rng: report[e], processor, seed=0, pack=3)
    single = [processor.example(q, a[0], ["atrial fibrillation"]) for q, a in asked]
    assert len(together) == 1
    n = [len(processor.answer_ids(a[0])) for _, a in asked]
    with torch.no_grad():
        fast = AskedAlone(model)(**collate(together, processor))["loss"]
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
    tokenizer = train_byte_pairs(["a QT of 0.20 s in lead V5, sinus rhythm"] * 3, 330,
                                 ["sinus rhythm"])
    text = "The PR is 0.20 s, the rate 107; sinus rhythm."
    assert tokenizer.decode(tokenizer(text)["input_ids"]).strip() == text


def rows_of(lengths):
    return [{"input_ids": [number] * n} for number, n in enumerate(lengths)]


def test_batches_of_like_length_hold_every_row_once_and_little_padding():
    lengths = np.random.default_rng(0).integers(5, 300, size=203)
    ordered = [row["input_ids"] for row in of_like_length(rows_of(lengths), 8, seed=0)]
    assert sorted(ids[0] for ids in ordered) == list(range(203))
    batches = [ordered[k: k + 8] for k in range(0, 203, 8)]
    padding = sum(max(map(len, b)) * len(b) - sum(map(len, b)) for b in batches[:-1])
    assert padding < 0.1 * lengths.sum()
    means = [np.mean([len(ids) for ids in b]) for b in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.6  # not from short to long
    assert ordered == [r["input_ids"] for r in of_like_length(rows_of(lengths), 8, seed=0)]


class Linear(torch.nn.Module):
    """A matrix and a table of rows, in the Trainer's kind of module."""

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
    stepped = [[p for group in part.param_groups for p in group["params"]]
               for part in (muon, adamw)]
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


def test_rows_in_order_are_met_in_order(tmp_path):
    met = []

    def note(batch):
        met.extend(int(row["x"][0]) for row in batch)
        return {"x": torch.stack([row["x"] for row in batch])}

    rows = [{"x": torch.tensor([n % 5])} for n in range(12)]
    model = Linear()
    options = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-2, "in_order": True}
    fit(model, rows, note, tmp_path, **options,
        optimizer=MuonAdamW(model, (model.table,), 1e-2, 0.0))
    assert met == [n % 5 for n in range(12)]


def test_a_dialogue_is_learned_as_it_is_asked_without_an_ecg(processor):
    talk = [("Is there rain?", "yes"), ("Two lists.", "none"), ("Is there fog?", "no")]
    rows = language.dialogues(talk, processor, pack=2)
    assert len(rows) == 2
    start = processor.tokenizer.bos_token_id
    alone = language.sentences([" ".join(talk[2])], processor)[0]
    assert rows[1]["input_ids"] == alone["input_ids"] and alone["input_ids"][0] == start
    answers = [i for i in rows[0]["labels"] if i != IGNORE]
    assert processor.tokenizer.decode(answers, skip_special_tokens=True).split() == ["yes", "none"]


@pytest.mark.parametrize("learned, share, courses", [
    (100.0, 0.9, ["look_ups", "reading"]),
    (0.0, 0.9, ["look_ups", "look_ups_2", "look_ups_3", "look_ups_4", "reading"]),
    (100.0, 0.8, ["look_ups", "reading", "reading_2", "reading_3"])])
def test_practice_goes_on_until_it_is_learned(monkeypatch, tmp_path, learned, share, courses):
    drawn, passes = [], []

    def noted(n, seed, **how):
        drawn.append((n, seed, how.get("start")))
        return look_ups(n, seed, **how)

    config = compose("smoke", ["llm.look_ups=24", "llm.rows=4", "llm.made_up=4", "llm.talks=4",
                               "llm.passages=4", "llm.batch_size=8", "llm.reading_gate=0.9"])
    monkeypatch.setattr(language, "_LEARNED", learned)
    monkeypatch.setattr(language, "look_ups", noted)
    practised = []
    monkeypatch.setattr(language, "dialogues", lambda talk, *how, own=language.dialogues, **more:
                        practised.extend(talk) or own(talk, *how, **more))
    language.pretrain_tiny(lambda k: passes.append(k) or reading_rows(),
                           lambda ecg, rng: f"report {ecg}", ["Plain words."], ["sinus rhythm"],
                           config, tmp_path, lambda model, tokenizer: share)
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert curve["course"].drop_duplicates().tolist() == courses
    more = [(12, config.seed + k, FEW) for k in (1, 2, 3)] if learned == 0 else []
    assert drawn == [(24, config.seed, None), *more]  # fresh ones, about two reports as well
    assert {"model.safetensors", "tokenizer.json", "curve.csv"} <= {f.name for f in
                                                                    tmp_path.iterdir()}
    assert not [f for f in tmp_path.iterdir() if f.is_dir()]
    frame = language.QUESTION.format(question="").replace(":", "").split()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert all(len(tokenizer(word)["input_ids"]) == 1 for word in frame)  # of the paper's prompt
    more = courses.count("reading_2") + courses.count("reading_3")
    assert passes == [0, 100, 200][: 1 + more]  # other questions in each course
    assert practised == talks(4, config.seed) + spans(16, config.seed) + [
        turn for k in range(1, 1 + more)
        for turn in talks(2, config.seed + 100_000 * k) + spans(8, config.seed + 100_000 * k)]


def test_some_look_ups_come_again_with_the_reading(monkeypatch, tmp_path):
    kinds = []
    monkeypatch.setattr(language, "practice", lambda texts, *how, own=language.practice:
                        kinds.append(list(texts)) or own(texts, *how))
    config = compose("smoke", ["llm.look_ups=48", "llm.rows=4", "llm.made_up=4", "llm.talks=4",
                               "llm.passages=4", "llm.batch_size=8"])
    monkeypatch.setattr(language, "_LEARNED", 100.0)
    language.pretrain_tiny(lambda k: reading_rows(), lambda ecg, rng: f"report {ecg}",
                           ["Plain words."], ["sinus rhythm"], config, tmp_path)
    first = look_ups(48, config.seed)
    again = [text for texts in kinds[1:] for text in texts if text in first]
    assert kinds[0] == first and len(again) == 3 and len({len(t.reports) for t in again}) == 2
