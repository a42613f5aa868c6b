"""Every table of the library belongs to what reads it, and every file of a room that lists itself.

`closure` finds tables by the name that their reader states. One under a name put together at run
time would be found by no closure, and an edit of it would leave old models in place.
"""

from functools import cache

import pytest

from ecg_lib.closure import PACKAGE, closure

TABLES = sorted(file for end in ("csv", "yaml") for file in PACKAGE.rglob(f"*.{end}"))


@cache
def readers():
    """Table -> modules whose source names it."""
    named = {table: [] for table in TABLES}
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for table in TABLES:
            folder = ".".join(("ecg_lib", *table.parent.relative_to(PACKAGE).parts))
            if f'"{table.name}"' in text or f'"{folder}"' in text:
                named[table].append(".".join(("ecg_lib", *file.relative_to(PACKAGE).parts))[:-3])
    return named


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_in_the_closure_of_the_module_that_reads_it(table):
    assert readers()[table], f"no module names {table.name} as a plain string"
    for module in readers()[table]:
        assert table in closure(module), module


def test_names_of_tables_are_unique():
    assert len({table.name for table in TABLES}) == len(TABLES)


def test_sources_that_register_themselves_are_in_the_closure_of_the_preparation():
    sources = set((PACKAGE / "data" / "sources").glob("*.py"))
    assert sources and sources <= closure("ecg_lib.data.prepare")
    assert not sources & closure("ecg_lib.data.store")
