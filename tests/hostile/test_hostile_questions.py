"""Malformed question files: ECG-QA, ECG-Reasoning-Benchmark, one's own CSV, answers to score."""

import json
import shutil

import hostile_good as good
import pytest
from hostile_good import CSV, SHARD, dialogue, question
from hostile_harm import HARMS, edit, put
from hostile_run import called, prepared

from ecg_lib.blind_test.blind_plan import Plan
from ecg_lib.blind_test.exchange import export, score
from ecg_lib.blind_test.sources import from_benchmark, from_csv
from ecg_lib.data.sources.ptbxl import ecgqa_splits
from ecg_lib.data.store import EcgStore
from ecg_lib.questions.ecgqa_rows import read_ecgqa

DEEP, LONG = "[" * 100_000, "9" * 5000


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Good question files, a store, and an export of one's own CSV."""
    root = tmp_path_factory.mktemp("questions")
    for make in (good.ptbxl, good.ecgqa, good.benchmark, good.own_csv):
        make(root / make.__name__)
    assert prepared("ptbxl", root / "ptbxl", root / "store").how == "read"
    questions = from_csv(root / "own_csv/questions.csv")
    export(questions, Plan.of(questions), root / "exported")
    lines = (json.dumps({"id": k, "answer": "yes"}) + "\n" for k in range(18))
    (root / "exported/answers.jsonl").write_text("".join(lines))
    return root


def short(value):
    """Return the start of a parameter, to name a test by."""
    return str(value)[:30]


READERS = {  # folder -> file, and how it is read
    "ecgqa": (SHARD, lambda root: read_ecgqa(root, split="test")),
    "benchmark": (
        "ptbxl.jsonl",
        lambda root: from_benchmark(root / "ptbxl.jsonl", EcgStore.open(root.parent / "store")),
    ),
    "own_csv": ("questions.csv", lambda root: from_csv(root / "questions.csv")),
    "exported": (
        "answers.jsonl",
        lambda root: score(root, root / "answers.jsonl", "model", resamples=2),
    ),
}


@pytest.fixture
def end(place, tmp_path):
    """Return a function that harms the question file of a reader and reads it."""

    def run(reader, harm):
        file, read = READERS[reader]
        shutil.copytree(place / reader, tmp_path / reader)
        (tmp_path / "store").symlink_to(place / "store")
        (tmp_path / "outside").mkdir()
        harm(tmp_path / reader / file)
        return called(read, tmp_path / reader)

    return run


READ = {  # harms that do no harm
    "ecgqa": ("byte order mark", "CRLF"),
    "benchmark": ("byte order mark", "CRLF", "a link outward", "half"),  # the first of two lines
    "own_csv": ("byte order mark", "CRLF", "a link outward"),
    "exported": ("byte order mark", "CRLF", "a link outward"),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("reader", READERS)
def test_a_harmed_question_file_is_read_or_refused_by_name(end, reader, harm):
    ended = end(reader, HARMS[harm])
    assert ended.how == ("read" if harm in READ[reader] else "refused"), ended
    if ended.how == "refused":
        name = READERS[reader][0].rpartition("/")[2]
        assert name in ended.said or "ptbxl/paraphrased/test" in ended.said


def shard(*rows):
    return put(json.dumps(list(rows)))


ROWS = {  # an odd row of ECG-QA: None if it costs itself, else words of the line
    "deep nesting": (put(DEEP), "not JSON"),
    "an object": (put("{}"), "expected a list"),
    "rows that are numbers": (shard(1, 2), "lack the field"),
    "a missing field": (edit(lambda raw: raw.replace(b'"answer"', b'"reply"')), "lack the field"),
    "an answer as text": (shard(question(0, answer="no"), question(1)), None),
    "an answer of numbers": (shard(question(0, answer=[1]), question(1)), None),
    "no answer": (shard(question(0, answer=[]), question(1)), None),
    "no ECG": (shard(question(0, ecg_id=[]), question(1)), None),
    "an ECG of 1e308": (shard(question(0, ecg_id=[1e308]), question(1)), None),
    "a negative ECG": (shard(question(0, ecg_id=[-1]), question(1)), None),
    "an ECG in superscript": (shard(question(0, ecg_id=["\u00b2"]), question(1)), None),
    "an ECG in Arabic digits": (shard(question(0, ecg_id=["\u0661"]), question(1)), None),
    "an ECG as a list": (shard(question(0, ecg_id=[[1]]), question(1)), None),
    "a question as a list": (shard(question(0, question=["Is it?"]), question(1)), None),
    "a type as a list": (shard(question(0, question_type=["x"]), question(1)), None),
    "an attribute type as an object": (shard(question(0, attribute_type={}), question(1)), None),
    "a sample id as text": (shard(question(0, sample_id="0"), question(1)), None),
    "an unknown type": (shard(question(0, question_type="x")), "question_type"),
    "two ECGs of one": (shard(question(0, ecg_id=[1, 2])), "ecg_id"),
    "a sample twice": (shard(question(0), question(0)), "sample_id"),
    "an empty question": (shard(question(0, question=" ")), "question"),
    "an attribute of numbers": (shard(question(0, attribute=[1])), "attribute"),
    "labels of version 1.0.0": (
        shard(question(0, answer=["late stage of myocardial infarction"])),
        "1.0.0",
    ),
}


@pytest.mark.filterwarnings("ignore:.*rows cannot be read")
@pytest.mark.parametrize("name", ROWS)
def test_an_odd_row_of_ecgqa_costs_itself_or_is_named(end, name):
    harm, words = ROWS[name]
    ended = end("ecgqa", harm)
    if words is None:
        assert ended.how == "read" and ended.value["sample_id"].tolist() == [1]
    else:
        assert ended.how == "refused" and words in ended.said


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_list_of_ecgqa_s_splits_is_read_or_refused_by_name(place, tmp_path, harm):
    shutil.copytree(place / "ecgqa", tmp_path / "ecgqa")
    (tmp_path / "outside").mkdir()
    HARMS[harm](tmp_path / "ecgqa/ptbxl/valid_ecgs.tsv")
    ended = called(ecgqa_splits, tmp_path / "ecgqa")
    read = ("byte order mark", "CRLF", "semicolons")
    assert ended.how == ("read" if harm in read else "refused"), ended
    assert ended.how == "read" or "valid_ecgs.tsv" in ended.said


def lines(*dialogues):
    return put("".join(json.dumps(one) + "\n" for one in dialogues))


def first(**fields):
    """Return a dialogue with another first question."""
    own = dialogue()
    own["data"]["initial_diagnostic_question"] |= fields
    return own


@pytest.mark.parametrize(
    "harm",
    [
        put(DEEP),
        put("[]\n"),
        put("1\n"),
        put("null\n"),
        lines(dialogue(ecg="\u0661")),
        lines(dialogue(ecg="9" * 5000)),
        lines(dialogue(ecg=-1)),
        lines(dialogue(ecg=1.5)),
        lines(dialogue(ecg=True)),
        lines(dialogue(ecg=None)),
        lines(dialogue(data=[])),
        lines(dialogue(data={"initial_diagnostic_question": 1, "reasoning": 1})),
        lines(dialogue(metadata="x")),
        lines(first(answer=1)),
        lines(first(answer=["No"])),
        lines(first(answer=" ")),
        lines(first(question=None)),
        lines(first(question_type="x")),
        lines(first(question_type=["x"])),
        put(f'{{"metadata": {{"ecg_id": {LONG}}}}}'),
    ],
)
def test_an_odd_dialogue_is_named_with_its_line(end, harm):
    ended = end("benchmark", harm)
    assert (
        ended.how == "refused" and "line 1" in ended.said and "fetch the file again" in ended.said
    )


OWN = {  # an odd row of one's own CSV: words of the line, or None if it is read
    "no column": ("record,question\na,b\n", "no column 'answer'"),
    "a column twice": ("record,question,answer,patient_id,answer\n", "twice"),
    "no row": (CSV, "no row below the header"),
    "an empty cell": (CSV + "a,,yes,a\n", "line 2: question is empty"),
    "a path upward": (CSV + "../own/a,Is it?,yes,a\n", "outside"),
    "an absolute path": (CSV + "/etc/hostname,Is it?,yes,a\n", "outside"),
    "a home folder": (CSV + "~/a,Is it?,yes,a\n", "no header"),
    "no such record": (CSV + "z,Is it?,yes,z\n", "no header"),
    "a record of a dot": (CSV + ".,Is it?,yes,z\n", "no header"),
    "a record of two dots": (CSV + "..,Is it?,yes,z\n", "outside"),
    "a record of 5,000 letters": (CSV + "x" * 5000 + ",Is it?,yes,z\n", "no header"),
    "a record like an option": (CSV + "-x,Is it?,yes,z\n", "no header"),
    "a record of wildcards": (CSV + "*,Is it?,yes,z\n", "no header"),
    "two patients of a record": (CSV + "a,Is it?,yes,a\na,Is it?,yes,b\n", "of patient a above"),
    "a severity of 2": (CSV[:-1] + ",severity\na,Is it?,yes,a,2\n", "severity"),
    "a severity of -inf": (CSV[:-1] + ",severity\na,Is it?,yes,a,-inf\n", "severity"),
    "a severity of words": (CSV[:-1] + ",severity\na,Is it?,yes,a,ill\n", "severity"),
    "too many cells": (CSV + "a,Is it?,yes,a,x,y,z\n", "longer than the header"),
    "a question of markup": (CSV + "a,<b>{0}$\\frac|`x`,yes,a\nb,Is it?,no,b\n", None),
    "an answer of braces": (CSV + "a,Is it?,{0};$x$,a\nb,Is it?,no,b\n", None),
    "a question of 1 MB": (CSV + f"a,{'x' * 1_000_000},yes,a\nb,Is it?,no,b\n", None),
    "an answer of separators": (CSV + "a,Is it?,;;;,a\n", "question or answer is empty"),
}


@pytest.mark.parametrize("name", OWN)
def test_an_odd_row_of_one_s_own_csv_is_named_or_taken_as_text(end, name):
    text, words = OWN[name]
    ended = end("own_csv", put(text))
    assert ended.how == ("read" if words is None else "refused"), ended
    assert words is None or words in ended.said


@pytest.mark.parametrize("end_of", ["hea", "dat"])
def test_no_record_of_one_s_own_csv_is_a_link_out_of_the_folder(place, tmp_path, end_of):
    shutil.copytree(place / "own_csv", tmp_path / "own_csv")
    (tmp_path / "outside").mkdir()
    HARMS["a link outward"](tmp_path / f"own_csv/b.{end_of}")
    read = READERS["own_csv"][1]
    ended = called(read, tmp_path / "own_csv", forbidden=tmp_path / "outside")
    assert ended.how == "refused" and "leads out" in ended.said and not ended.opened


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": 0}', "line 1"),
        ('{"id": 99, "answer": "yes"}', "id 99"),
        ('{"id": -1, "answer": "yes"}', "id -1"),
        ('{"id": "0", "answer": "yes"}', "id '0'"),
        ('{"id": true, "answer": "yes"}', "id True"),
        ('{"id": 0.0, "answer": "yes"}', "id 0.0"),
        (f'{{"id": {LONG}, "answer": "yes"}}', "line 1"),
        ('{"id": 1e999, "answer": "yes"}', "id inf"),
        ('{"id": [0], "answer": "yes"}', "id [0]"),
        ('{"id": 0, "answer": "yes", "p_yes": 2}', "p_yes"),
        ('{"id": 0, "answer": "yes", "p_yes": -1e308}', "p_yes"),
        ('{"id": 0, "answer": "yes", "p_yes": Infinity}', "p_yes"),
        ('{"id": 0, "answer": "yes", "p_yes": "x"}', "line 1"),
        ('{"id": 0, "answer": "yes", "p_yes": [0.5]}', "line 1"),
        ('{"id": 0, "answer": "yes"}\n{"id": 0, "answer": "no"}', "answered twice"),
        ("[0, 1]", "line 1"),
        ("null", "line 1"),
        ('"yes"', "line 1"),
        (DEEP, "line 1"),
        ("\n\n", "no answers"),
    ],
    ids=short,
)
def test_an_odd_answer_is_named_with_its_line(end, text, words):
    ended = end("exported", put(text))
    assert ended.how == "refused" and words in ended.said and "answers.jsonl" in ended.said


@pytest.mark.parametrize(
    "text",
    ['{"id": 0, "answer": {"a": 1}}', '{"id": 0, "answer": null}', '{"id": 0, "answer": [1, "x"]}']
    + [json.dumps({"id": 0, "answer": text}) for text in ("", "\0", "{0}$x$|<b>", "y" * 10**6)],
    ids=short,
)
def test_whatever_an_answer_says_is_scored(end, text):
    ended = end("exported", put(text))
    assert ended.how == "read" and len(ended.value.replies) == 18


@pytest.mark.parametrize("harm", [name for name in HARMS if name not in READ["exported"]])
@pytest.mark.parametrize("file", ["plan.json", "rows.parquet"])
def test_a_harmed_key_of_an_export_is_refused_by_name(end, file, harm):
    ended = end("exported", lambda path: HARMS[harm](path.parent / "key" / file))
    if ended.how == "read":  # bytes that mean nothing there
        assert harm in ("semicolons", "NUL bytes", "a long line", "latin-1", "an open quote")
    else:
        assert "export it again" in ended.said


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 1}', DEEP, "null"], ids=short)
def test_a_plan_without_its_fields_is_refused(end, text):
    ended = end("exported", lambda path: (path.parent / "key/plan.json").write_text(text))
    assert ended.how == "refused" and "export it again" in ended.said


def test_a_plan_without_a_column_is_refused(end):
    import pandas as pd

    def harm(path):
        file = path.parent / "key/requests.parquet"
        pd.read_parquet(file).drop(columns="signal").to_parquet(file)

    ended = end("exported", harm)
    assert ended.how == "refused" and "signal" in ended.said
