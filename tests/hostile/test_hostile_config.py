"""Malformed configurations: params.yaml, KEY=VALUE, evaluation sets, tables, notebooks."""

import json
import shutil

import pytest
from hostile_harm import HARMS, put, swap
from hostile_run import called, command

from ecg_lib import config, paths, stages
from ecg_lib.cli import notebook
from ecg_lib.config import compose_values, load_config, write_params
from ecg_lib.evaluation import task
from ecg_lib.knowledge import findings
from ecg_lib.knowledge.label_maps import label_map
from ecg_lib.knowledge.value_limits import value_limits
from ecg_lib.knowledge.zero_shot_labels import zero_shot_table

BIG = "9" * 30
BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
)


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    write_params(compose_values("smoke"), path)
    return path


YAML = {  # params.yaml: words of the line, or None if it is read
    "empty": (put(b""), "params.yaml"),
    "a list": (put("[1, 2]"), "no fields"),
    "a number": (put("1"), "params.yaml"),
    "a word": (put("word"), "params.yaml"),
    "an open bracket": (put("a: [1"), "not YAML"),
    "a tab": (put("a:\n\t- 1"), "not YAML"),
    "two documents": (put("a: 1\n---\nb: 2"), "not YAML"),
    "a Python object": (put("seed: !!python/object/apply:os.getcwd []"), "tags"),
    "a Python name": (put("seed: !!python/name:os.abort"), "tags"),
    "an own tag": (put("seed: !x 1"), "tags"),
    "a billion laughs": (put(BOMB), "aliases"),
    "an alias of itself": (put("a: &a [*a]"), "aliases"),
    "a merge key": (put("a: &a {b: 1}\nc:\n  <<: *a"), "aliases"),
    "deep nesting": (put("a: " + "[" * 50_000), "params.yaml"),
    "a field twice": (put("seed: 1\nseed: 2"), "not YAML"),
    "an unknown field": (put("zebra: 1"), "zebra"),
    "a section as text": (put("data: text"), "Data"),
    "a section as a list": (put("data: [1]"), "Data"),
    "a section of nothing": (put("data: null"), "data"),
    "a number as text": (swap("seed: 42", "seed: '42x'"), "seed"),
    "a number in Arabic digits": (swap("seed: 42", "seed: \u0664\u0662x"), "seed"),
    "seed NaN": (swap("seed: 42", "seed: .nan"), "seed"),
    "seed -1": (swap("seed: 42", "seed: -1"), "seed is -1"),
    "seed 2^32": (swap("seed: 42", f"seed: {2**32}"), "seed"),
    "a seed of 30 digits": (swap("seed: 42", f"seed: {BIG}"), "seed"),
    "3 MB": (put("#" * 3_000_000), "longer than"),
    "an interpolation in a ring": (swap("seed: 42", "seed: ${seed}"), "seed"),
    "an unknown interpolation": (swap("seed: 42", "seed: ${zebra}"), "zebra"),
}


@pytest.mark.parametrize("name", YAML)
def test_a_malformed_params_yaml_is_named(params, tmp_path, name):
    harm, words = YAML[name]
    path = tmp_path / "params.yaml"
    shutil.copy(params, path)
    harm(path)
    ended = called(load_config, path)
    assert ended.how == "refused" and words in ended.said and "params" in ended.said, ended


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_params_yaml_is_read_or_named(params, tmp_path, harm):
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    path = tmp_path / "root/params.yaml"
    shutil.copy(params, path)
    HARMS[harm](path)
    ended = called(load_config, path)
    read = ("byte order mark", "CRLF", "semicolons", "a link outward")
    assert ended.how == ("read" if harm in read else "refused"), ended
    assert ended.how == "read" or "params" in ended.said


@pytest.mark.parametrize("text", ["seed: 42\na: &a 1", "a: *b", "!x"])
def test_yaml_with_anchors_tags_or_aliases_of_nothing_never_raises(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert called(load_config, tmp_path / "params.yaml").how == "refused"


OVERRIDES = (  # each is refused by `plan` in one line that names it
    *("x", "x=1", "=1", "=", "+x=1", "seed=x", "seed=nan", "seed=inf", "seed=1e308", "seed=-1"),
    *(f"seed={BIG}", "seed=[1", "seed={a:1", "seed=1 seed=2", "seed=1\nlabel=x", "seed=null"),
    *("label=${nothing}", "label=${label}", "label=[1,2]", "label=" + "[" * 5000),
    *("label=" + "x" * 100_000, "a." * 3000 + "b=1", "threads=-1", "threads=0"),
    *("encoder=nothing", "encoder=", "encoder.patch=0", "encoder.patch=-1", "encoder.depth=-1"),
    *("encoder.patch=1000000000", "encoder.width=1000000000", "encoder.depth=1000000000"),
    *("encoder.heads=0", "encoder.heads=7", "encoder.name=../x", "encoder.name=null"),
    *("encoder.name=os", "encoder.zebra=1", "data=null", "data=text", "data.workers=-5"),
    *("signal.rate=0", "signal.rate=-1", "signal.rate=1000000000", f"signal.rate={BIG}"),
    *("signal.normalisation=x", "signal.resampler=x", "llm.width=0", "llm.depth=1000000000"),
    *("llm.heads=0", "llm.vocabulary=-1", "llm.dtype=float99", "llm.dtype=__class__"),
    *("lora.r=0", "lora.r=-1", "lora.target_modules=[]", "lora.target_modules=x"),
    *("stage1.batch_size=0", "stage1.epochs=-1", "stage1.learning_rate=inf"),
    *("stage1.learning_rate=nan", "stage1.max_rows=-5", "stage1.learning_rates={x: 1}"),
    *("objective.batch_size=0", "objective.name=../x", "objective.name=os", "objective=null"),
    *("arms=[]", "arms=[x]", "arms=x", "arms=null", "questions.world=../x"),
    *("evaluation.zero_shot_prompt='{label} {x}'", "evaluation.zero_shot_prompt='{'"),
    *("evaluation.zero_shot_prompt='{label.__class__}'", "evaluation.resamples=1"),
    *("hydra/launcher=x", "-x=1", "~seed=7", "label=!!python/object:os.abort=1"),
    *("data.questions.patients=-1", f"data.pretraining.patients={BIG}", "data.zero_shot=[{a: 1}]"),
)


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: text[:40])
def test_an_impossible_override_is_refused_in_one_line(override):
    ended = command("plan", "smoke", override)
    assert ended.how == "refused" and len(ended.said) < 1000, ended


@pytest.mark.parametrize("profile", ["", "nothing", "../config", "demo/../paper", "a\nb", "*"])
def test_an_unknown_profile_is_refused_with_those_that_exist(profile):
    ended = called(config.main, [profile])
    assert ended.how == "refused"


TASK = "title: T\nsplit: store\nlabels: {NORM: {codes: [NORM], prompts: [normal ECG]}}\n"
TASKS = {  # an evaluation set: words of the line
    "empty": (put(b""), "title"),
    "junk": (HARMS["junk"], "cannot be read"),
    "latin-1": (HARMS["latin-1"], "cannot be read"),
    "a list": (put("[1]"), "no fields"),
    "an open bracket": (put("a: ["), "cannot be read"),
    "a Python object": (put("title: !!python/object/apply:os.abort []"), "cannot be read"),
    "an unknown field": (put(TASK + "zebra: 1\n"), "zebra"),
    "labels as a list": (put("title: T\nsplit: store\nlabels: [1]"), "labels"),
    "a label as a number": (put("title: T\nsplit: store\nlabels: {x: 3}"), "cannot be read"),
    "codes as a number": (put(TASK.replace("[NORM]", "5")), "cannot be read"),
    "an unknown code": (put(TASK.replace("[NORM]", "[ZEBRA]")), "ZEBRA"),
    "prompts as a number": (put(TASK.replace("[normal ECG]", "5")), "cannot be read"),
    "no prompts": (put(TASK.replace("[normal ECG]", "[]")), "prompts"),
    "cohorts as a number": (put(TASK + "cohorts: 5\n"), "cannot be read"),
    "split as a number": (put(TASK.replace("store", "5")), "split"),
    "split of no values": (put(TASK.replace("store", "{fold: 9}")), "split"),
    "minimum as text": (put(TASK + "minimum: high\n"), "minimum"),
    "an unknown table": (put(TASK + "table: ../x.csv\n"), "table"),
    "a superclass that is a list": (
        put("title: T\nsplit: store\nlabels: {x: {superclass: [a, b], prompts: [p]}}"),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_malformed_evaluation_set_is_named(tmp_path, monkeypatch, name):
    from hostile_good import ludb
    from hostile_run import prepared

    harm, words = TASKS[name]
    (tmp_path / "own.yaml").write_text(TASK)
    harm(tmp_path / "own.yaml")
    monkeypatch.setattr(task, "FOLDER", tmp_path)
    store = tmp_path / "store"
    assert prepared("ludb", ludb(tmp_path / "ludb"), store).how == "read"
    about = ("--model", tmp_path, "--cohort", store, "--task", "own")
    ended = command("evaluate", "zero-shot", *about)
    assert ended.how == "refused" and "own" in ended.said and words in ended.said, ended


TABLES = {  # a table of knowledge: how it is read, a harm, words of the line
    "an unknown code": ("label_maps.csv", swap("AFIB,", "ZEBRA,"), "ZEBRA"),
    "a column renamed": ("label_maps.csv", swap("their_code", "code2"), "columns must be"),
    "a column twice": ("label_maps.csv", swap("their_code", "source"), "columns must be"),
    "semicolons": ("label_maps.csv", HARMS["semicolons"], "columns must be"),
    "a limit of words": ("value_limits.csv", swap("age,", "age,years,low,high,x\nage,"), "limits"),
    "limits NaN": (
        "value_limits.csv",
        put("quantity,unit,low,high,source\nage,y,nan,9,x\n"),
        "age",
    ),
    "limits falling": (
        "value_limits.csv",
        put("quantity,unit,low,high,source\nage,y,9,1,x\n"),
        "age",
    ),
    "limits inf": (
        "value_limits.csv",
        put("quantity,unit,low,high,source\nage,y,0,inf,x\n"),
        "age",
    ),
    "no source": ("value_limits.csv", put("quantity,unit,low,high,source\nage,y,0,9,\n"), "age"),
    "a quantity twice": (
        "value_limits.csv",
        put("quantity,unit,low,high,source\nage,y,0,9,x\nage,y,0,9,x\n"),
        "age",
    ),
    "an unknown role": ("zero_shot_labels.csv", swap(",counts,", ",zebra,"), "role"),
    "an unknown finding": ("zero_shot_labels.csv", swap("AFIB,counts", "ZEBRA,counts"), "ZEBRA"),
}


@pytest.mark.parametrize("name", TABLES)
def test_an_edited_table_of_knowledge_is_named(tmp_path, monkeypatch, name):
    file, harm, words = TABLES[name]
    shutil.copytree(findings._TABLES, tmp_path / "knowledge")
    monkeypatch.setattr(findings, "_TABLES", tmp_path / "knowledge")
    harm(tmp_path / "knowledge" / file)
    read = {
        "label_maps.csv": lambda: label_map.__wrapped__("snomed"),
        "value_limits.csv": value_limits.__wrapped__,
        "zero_shot_labels.csv": zero_shot_table.__wrapped__,
    }
    ended = called(read[file])
    assert ended.how == "refused" and words in ended.said and file in ended.said, ended


CELL = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None}
BOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{**CELL, "id": "a"}]}
BOOKS = {  # a notebook
    "empty": put(b""),
    "junk": HARMS["junk"],
    "half": HARMS["half"],
    "a list": put("[]"),
    "a number": put("1"),
    "deep nesting": put("[" * 100_000),
    "no cells": put("{}"),
    "cells as text": put(json.dumps(BOOK | {"cells": "x"})),
    "a cell as text": put(json.dumps(BOOK | {"cells": ["x"]})),
    "another format": put(json.dumps(BOOK | {"nbformat": 99})),
    "utf-16": HARMS["utf-16"],
    "a folder": HARMS["a folder"],
    "a pipe": HARMS["a pipe"],
}


@pytest.mark.parametrize("name", BOOKS)
def test_a_malformed_notebook_is_named(tmp_path, monkeypatch, name):
    folder = tmp_path / "notebooks/debiased"
    folder.mkdir(parents=True)
    (folder / "01_own.ipynb").write_text(json.dumps(BOOK))
    BOOKS[name](folder / "01_own.ipynb")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    for read in (lambda: notebook.main(["--check-clean"]), stages.all_stages.__wrapped__):
        ended = called(read)
        assert ended.how == "refused" and "01_own" in ended.said, ended
