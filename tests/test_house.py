"""Test the structure of the library: short, documented files and imports in one direction."""

import ast
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ecg_lib"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = (  # each may import only those listed before it
    *(
        "__init__",
        "errors",
        "files",
        "disk",
        "sealed",
        "paths",
        "closure",
        "reached",
        "typed",
        "intervals",
        "arm_table",
    ),
    *("knowledge", "signal", "data", "chat_endpoint", "entities"),
    *("training", "encoders", "objectives", "questions"),
    *("ecg_llm", "tiny_llm", "named_llm", "evaluation", "baselines"),
    *("config_studies", "config_limits", "config_yaml", "config_check", "config", "stages"),
    *("planning", "report", "blind_test"),
    *("experiments", "cli", "__main__"),
)


def room(file):
    """Return the first folder below the package, or the stem of a file at the top level."""
    inside = file.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(file):
    """Yield the modules that a file imports at run time, without those for type checkers."""

    def nodes(tree):
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
                continue
            yield node
            yield from nodes(node)

    for node in nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "ecg_lib":
                yield from (f"ecg_lib.{alias.name}" for alias in node.names)
            elif node.module.startswith("ecg_lib."):
                yield node.module


def test_every_room_has_its_place():
    assert {room(file) for file in FILES} <= set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_imports_run_downward(name):
    allowed = set(ROOMS[: ROOMS.index(name) + 1])
    upward = {
        f"{file.relative_to(PACKAGE)} imports {module}"
        for file in FILES
        if room(file) == name
        for module in imports(file)
        if module.split(".")[1] not in allowed
    }
    assert not upward


def test_file_names_are_unique():
    names = Counter(file.name for file in FILES if file.name != "__init__.py")
    assert not [name for name, count in names.items() if count > 1]


def test_no_file_is_longer_than_400_lines():
    long = {
        str(file.relative_to(PACKAGE)): lines
        for file in FILES
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_every_module_says_what_it_is():
    silent = [
        str(file.relative_to(PACKAGE))
        for file in FILES
        if file.stat().st_size and not ast.get_docstring(ast.parse(file.read_text("utf-8")))
    ]
    assert not silent
