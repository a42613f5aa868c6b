"""Test which files and tables a piece of code depends on, and that its hash ignores wording."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from ecg_lib import closure
from ecg_lib.closure import code_hash
from ecg_lib.questions import vocabulary

LIBRARY = Path(closure.__file__).parent
FILES = {
    "top.py": "from ecg_lib.room.inner import two\ndef one():\n    return two()\n",
    "room/__init__.py": "",
    "room/inner.py": 'TABLE = "words.csv"\ndef two():\n    """Two."""\n    return 2\n'
    "def bad():\n    raise DataError('no')\ndef worse():\n    raise BadRecord('no')\n",
    "room/words.csv": "a,b\n",
    "room/by_name.py": "import importlib\ndef get(name):\n"
    '    return importlib.import_module(f"ecg_lib.room.{name}")\n',
    "typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ecg_lib.top\n",
    "alone.py": "X = 1\n",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of a few files."""
    package = tmp_path / "ecg_lib"
    for name, text in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(closure, "PACKAGE", package)
    closure._known_tables.cache_clear()
    yield package
    closure._known_tables.cache_clear()


def names(library, *modules):
    return {str(file.relative_to(library)) for file in closure.closure(*modules)}


def test_a_closure_follows_imports_packages_and_tables(library):
    inner = {"room/__init__.py", "room/inner.py", "room/words.csv"}
    assert names(library, "ecg_lib.top") == {"top.py"} | inner
    assert names(library, "ecg_lib.alone") == {"alone.py"}
    assert names(library, "ecg_lib.typed") == {"typed.py"}, "types are nothing that runs"


def test_a_module_imported_by_a_name_that_is_put_together_counts_with_its_whole_room(library):
    rooms = {"room/__init__.py", "room/inner.py", "room/words.csv", "room/by_name.py"}
    assert names(library, "ecg_lib.room.by_name") == rooms


@pytest.mark.parametrize(
    ("file", "old", "new", "same"),
    [
        ("room/inner.py", "return 2", "return 3", False),
        ("room/words.csv", "a,b", "a,c", False),
        ("room/inner.py", '"""Two."""', '"""Not one."""', True),
        ("room/inner.py", "return 2", "return 2  # two", True),
        ("room/inner.py", "def two():", "def two() -> int:", True),
        ("room/inner.py", "raise DataError('no')", "raise DataError(f'not {2}')", True),
        ("room/inner.py", "raise BadRecord('no')", "raise BadRecord('not')", False),
        ("room/inner.py", "raise DataError('no')", "raise ConfigError('no')", False),
        ("room/words.csv", "a,b", "# two columns\na,b", True),
        ("alone.py", "1", "2", True),
    ],
)
def test_a_source_hashes_what_it_imports_by_meaning(library, file, old, new, same):
    source = "from ecg_lib import top\ntop.one()"
    before = code_hash(source)
    (library / file).write_text((library / file).read_text().replace(old, new) + "\n")
    assert (code_hash(source) == before) is same
    assert code_hash("# more\n" + source) == code_hash(source) != code_hash(source + "\nx = 1")


def test_a_partial_function_counts_with_the_functions_it_is_applied_to():
    plain = code_hash(partial(vocabulary.answer_text, 1))
    assert plain == code_hash(vocabulary.answer_text)
    assert code_hash(partial(vocabulary.answer_text, closure.closure)) != plain


def test_every_file_of_the_library_can_be_hashed_and_moving_it_changes_nothing(
    tmp_path, monkeypatch
):
    modules = [
        ".".join(file.relative_to(LIBRARY.parent).with_suffix("").parts)
        for file in LIBRARY.rglob("*.py")
        if file.name != "__init__.py"
    ]
    source = "\n".join(f"import {module}" for module in modules)
    before = code_hash(source)
    shutil.copytree(LIBRARY, tmp_path / LIBRARY.name)
    monkeypatch.setattr(closure, "PACKAGE", tmp_path / LIBRARY.name)
    closure._known_tables.cache_clear()
    assert code_hash(source) == before
    closure._known_tables.cache_clear()
