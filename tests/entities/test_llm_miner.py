"""Test mining by a language model against a real local server, good and bad ones."""

import json
import socket
import time

import numpy as np
import pandas as pd
import pytest
from chat_server import ChatServer, by_rule

from ecg_lib.__main__ import main
from ecg_lib.chat_endpoint import ChatEndpoint
from ecg_lib.entities.answer_reading import read_groups, read_list, read_renaming, read_yes_no
from ecg_lib.entities.asker import Asker
from ecg_lib.entities.entity_labels import entity_labels
from ecg_lib.entities.llm_miner import LlmMiner, merge
from ecg_lib.entities.llm_prompts import Prompts, prompts_of, shipped_prompts
from ecg_lib.entities.mining import mine_to_folder
from ecg_lib.errors import DataError

REPORTS = [
    "AFib, inferior infarct",
    "Atrial fibrillation. No inferior infarct",
    "Anterior infarct with sinus rhythm",
    "AFib, inferior infarct",
    "",
]


@pytest.fixture
def serve():
    """Return a function that starts a server with a rule of answering."""
    servers = []

    def start(rule=None):
        servers.append(ChatServer(rule))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asker(server, folder, **more):
    key = {"tries": 1, "timeout": 5.0, "api_key": "secret", **more.pop("http", {})}
    return Asker("m", folder / "answers.jsonl", ChatEndpoint(server.url, "m", **key), **more)


def test_four_steps_give_merged_entities_and_superclasses(serve, tmp_path):
    server = serve()
    entities = mine_to_folder(REPORTS, tmp_path / "e", asker(server, tmp_path))
    assert dict(entities.members) == {
        "atrial fibrillation": ("afib", "atrial fibrillation"),
        "anterior infarct": ("anterior infarct",),
        "inferior infarct": ("inferior infarct",),
        "sinus rhythm": ("sinus rhythm",),
    }
    labels = entity_labels(str(tmp_path / "e"), REPORTS)
    said = [{n for n, on in zip(labels.names, row, strict=True) if on} for row in labels.matrix]
    mi, afib = "myocardial infarction", "atrial fibrillation"
    assert said[0] == said[3] == {afib, "inferior infarct", mi}
    assert said[1:3] == [{afib}, {"anterior infarct", "sinus rhythm", mi}]  # denied: verify says no
    assert said[4] == set()
    heads, bodies = zip(*server.got, strict=True)
    assert {body["temperature"] for body in bodies} == {0}
    assert {head["Authorization"] for head in heads} == {"Bearer secret"}
    extracts = [b for b in bodies if "square brackets" in b["messages"][0]["content"]]
    assert len(extracts) == 3  # distinct reports with a word


def test_verification_and_substring_check_are_both_recorded(serve, tmp_path):
    mine_to_folder(REPORTS, tmp_path, asker(serve(), tmp_path))
    rows = pd.read_parquet(tmp_path / "mentions.parquet")
    assert (~rows["verified"]).sum() == 4  # a ghost in each of three, and the denied infarct
    ghosts = rows[rows["name"] == "ghost"]
    assert len(ghosts) == 3 and ghosts["start"].isna().all() and not ghosts["verified"].any()
    about = json.loads((tmp_path / "entities.json").read_text())["about"]
    assert (about["not_verified"], about["not_in_text"]) == (4, 3)
    assert about["not_in_text_but_verified"] == 0 and about["unreadable"] == dict.fromkeys(
        ("aggregate", "extract", "merge", "verify"), 0
    )


def test_without_verification_ghosts_stay(serve, tmp_path):
    found = LlmMiner(asker(serve(), tmp_path), verify=False).mine(REPORTS)
    assert [m.name for m in found[1]] == ["atrial fibrillation", "inferior infarct", "ghost"]


def test_a_repetition_offline_gives_the_same_files_byte_for_byte(serve, tmp_path):
    server = serve()
    mine_to_folder(REPORTS, tmp_path / "a", asker(server, tmp_path))
    asked, cached = len(server.got), (tmp_path / "answers.jsonl").read_bytes()
    offline = Asker("m", tmp_path / "answers.jsonl")
    mine_to_folder(REPORTS, tmp_path / "b", offline)
    for name in ("entities.json", "labels.parquet", "mentions.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(server.got) == asked and (tmp_path / "answers.jsonl").read_bytes() == cached
    for other in (Asker("other", tmp_path / "answers.jsonl"), Asker("m", tmp_path / "none.jsonl")):
        with pytest.raises(DataError, match="give the endpoint"):
            mine_to_folder(REPORTS, tmp_path / "c", other)


def test_a_cut_off_line_is_asked_for_again_and_only_that(serve, tmp_path):
    server = serve()
    LlmMiner(asker(server, tmp_path)).mine(REPORTS)
    file, asked = tmp_path / "answers.jsonl", len(server.got)
    file.write_bytes(file.read_bytes()[:-10])
    again = LlmMiner(asker(server, tmp_path)).mine(REPORTS)
    assert len(server.got) == asked + 1
    assert again == LlmMiner(Asker("m", file)).mine(REPORTS)


def test_an_unreadable_answer_is_asked_once_more_then_dropped_and_counted(serve, tmp_path):
    def rule(text):
        if "square brackets" in text and "Anterior" in text:
            return "I am not sure."
        if "square brackets" in text and "AFib" in text and "Answer only" not in text:
            return "AFib and an infarct"
        return by_rule(text)

    server = serve(rule)
    one = asker(server, tmp_path)
    found = LlmMiner(one).mine(REPORTS)
    assert found[2] == [] and {m.name for m in found[0]} == {"afib", "inferior infarct"}
    assert one.unreadable["extract"] == 1
    replay = Asker("m", tmp_path / "answers.jsonl")
    assert LlmMiner(replay).mine(REPORTS) == found and replay.unreadable["extract"] == 1


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda _: "lorem ipsum", "none of 3 answers to prompt 'extract' can be read"),
        (lambda _: (500, b"oops"), "answered 500: oops"),
        (lambda _: None, "is it running"),
        (lambda _: (200, b"<html>"), "no answer"),
        (lambda _: (200, b"[]"), "no choices"),
        (lambda _: time.sleep(2), "timed out"),
    ],
)
def test_a_bad_endpoint_is_told_in_one_line_and_nothing_is_kept(serve, tmp_path, rule, message):
    with pytest.raises(DataError, match=message) as error:
        slow = {"timeout": 0.5}
        mine_to_folder(REPORTS, tmp_path / "e", asker(serve(rule), tmp_path, http=slow))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "answers.jsonl").exists() and not (tmp_path / "e").exists()


def test_an_endpoint_that_dies_keeps_what_it_has_said(serve, tmp_path):
    def rule(text):
        return (500, b"gone") if 'mention "ghost"' in text else by_rule(text)

    with pytest.raises(DataError, match="gone"):
        LlmMiner(asker(serve(rule), tmp_path)).mine(REPORTS)
    kept = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert sum('"extract"' in line for line in kept) == 3
    found = LlmMiner(asker(serve(), tmp_path)).mine(REPORTS)
    assert {m.name for m in found[1]} == {"atrial fibrillation"}


def test_many_names_are_merged_in_parts_and_the_results_once_more(serve, tmp_path):
    """ "a1" and "b1" stand in different parts; only the closing pass sees both."""

    def rule(text):
        names = text.split("\n\n")[1].split("\n")
        return json.dumps({n: "a" if n in ("a", "b") else n[0] for n in names})

    small = Prompts(1, 2, shipped_prompts().prompts)
    names = ["a1", "a2", "b1", "b2"]
    merged = merge(asker(serve(rule), tmp_path, prompts=small), names)
    assert merged == dict.fromkeys(names, "a")


def test_names_that_an_answer_forgets_or_swaps_stay_names(serve, tmp_path):
    swap = serve(lambda _: '{"b": "c", "c": "b", "unknown": "a"}')
    assert merge(asker(swap, tmp_path), ["a", "b", "c"]) == {"a": "a", "b": "b", "c": "b"}


@pytest.mark.parametrize(
    ("read", "answer", "want"),
    [
        (read_list, "[Sinus Rhythm., LVH]", ["sinus rhythm", "lvh"]),
        (read_list, 'Here: ["a, b", "a, b"]!', ["a, b"]),
        (read_list, "[block (left, complete), x]", ["block (left, complete)", "x"]),
        (read_list, "[]", []),
        (read_list, "none", None),
        (read_list, "] [", None),
        (read_yes_no, " **Yes**, it is", True),
        (read_yes_no, "NO", False),
        (read_yes_no, "Nothing", None),
        (read_renaming, '```json\n{"LBBB": "Left Block."}\n```', {"lbbb": "left block"}),
        (read_renaming, '{"a": ["b"]}', None),
        (read_groups, '{"Up": ["A", 3, ""]}', {"up": ["a"]}),
        (read_groups, "{" * 100_000 + "}", None),
    ],
)
def test_answers_are_read(read, answer, want):
    assert read(answer) == want


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 0}, "version is 0"),
        (
            {"merge": {"say": "{other}", "again": "", "max_tokens": 1}},
            "merge.say must hold {names}",
        ),
        ({"verify": {"say": "x"}}, "verify must have the fields"),
        ({"merge": {"say": "{names} {", "again": "", "max_tokens": 1}}, "brace"),
    ],
)
def test_a_wrong_table_of_prompts_is_told_by_field(change, message):
    prompts = shipped_prompts()
    table = {"version": 1, "names_per_call": 9} | {
        name: {"say": p.say, "again": p.again, "max_tokens": p.max_tokens}
        for name, p in prompts.prompts.items()
    }
    assert prompts_of(table).prompts == prompts.prompts
    with pytest.raises(DataError, match=message):
        prompts_of(table | change)


def test_the_command_mines_by_lexicon_and_by_endpoint(serve, tmp_path, capsys, monkeypatch):
    (tmp_path / "reports.txt").write_text("\n".join(REPORTS))
    text = ["mine", "--text", str(tmp_path / "reports.txt")]
    assert main([*text, "--out", str(tmp_path / "lexicon")]) == 0
    assert "from 3 reports" in capsys.readouterr().out
    monkeypatch.setenv("MY_KEY", "secret")
    server = serve()
    model = ["--endpoint-model", "m", "--out", str(tmp_path / "llm")]
    there = ["--endpoint", server.url, "--key-variable", "MY_KEY"]
    assert main([*text, *model, *there]) == 0
    assert {h["Authorization"] for h, _ in server.got} == {"Bearer secret"}
    asked = len(server.got)
    assert main([*text, *model]) == 0 and len(server.got) == asked  # from the kept answers
    assert "5 entities, 1 of them superclasses" in capsys.readouterr().out
    one, other = (entity_labels(str(tmp_path / n), REPORTS).matrix for n in ("lexicon", "llm"))
    assert len(one) == len(other) == 5 and np.any(one) and np.any(other)


def test_the_command_tells_wrong_options(tmp_path, capsys):
    (tmp_path / "r.txt").write_text("x")
    start = ["mine", "--text", str(tmp_path / "r.txt"), "--out", str(tmp_path / "o")]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    closed = ["--endpoint", f"http://127.0.0.1:{port}", "--endpoint-model", "m", "--tries", "1"]
    for more, message in (
        (["--endpoint", "http://x"], "--endpoint-model is missing"),
        ([*closed, "--key-variable", "NO_SUCH_KEY"], "NO_SUCH_KEY is not set"),
        ([*closed, "--workers", "0"], "--workers is 0"),
        ([*closed, "--timeout", "nan"], "--timeout is nan"),
        (closed, "is it running"),
    ):
        assert main([*start, *more]) == 2
        told = capsys.readouterr().err
        assert message in told and told.count("error:") == 1
    assert not (tmp_path / "o").exists()
