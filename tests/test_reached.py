"""Test that `reached` finds every definition that a piece of code uses, and perhaps more."""

import ast

import pytest

from ecg_lib import closure
from ecg_lib.reached import reached

FILES = {
    "steps.py": """
from ecg_lib import deep
LIMIT = deep.constant
def first(config):
    return config.encoder, LIMIT
def second(config):
    from ecg_lib.deep import helper
    return helper(config)
class Run:
    width = 1
    def used(self):
        return self.through()
    def through(self):
        return deep.helper(self)
    def unused(self):
        return deep.lost()
""",
    "deep.py": """
constant = 1
def helper(config):
    return config.llm
def lost():
    return 0
""",
    "other.py": "from ecg_lib.deep import lost\n",
}


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch):
    package = tmp_path / "ecg_lib"
    package.mkdir()
    for name, text in FILES.items():
        (package / name).write_text(text)
    monkeypatch.setattr(closure, "PACKAGE", package)


def defined(source, **options):
    trees = reached(source, **options)
    return {tree.name for tree in trees if isinstance(tree, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from ecg_lib import steps\nsteps.first(1)", {"first"}),
        ("from ecg_lib.steps import second\nsecond(1)", {"second", "helper"}),
        ("from ecg_lib import steps as s\nmap(s.second, [])", {"second", "helper"}),
        ("from ecg_lib.steps import Run\nRun().used()", {"used", "through", "helper"}),
        ("from ecg_lib.steps import Run\nRun()", set()),
        ("from ecg_lib import other\nother.lost()", {"lost"}),  # `other` imports it from `deep`
        ("import json\njson.dumps(1)", set()),
    ],
)
def test_reached_includes_transitive_calls(source, found):
    assert defined(source) == found


def test_files_left_aside_are_not_followed():
    source = "from ecg_lib.steps import second\nsecond(1)"
    assert defined(source, aside=frozenset({"deep.py"})) == {"second"}
