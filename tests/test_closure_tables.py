"""Test that closures include every table that a module reads and every self-registering source.

`closure` finds a table by its name in the source of the module that reads it. It would miss a name
assembled at run time, and old models would then stay in place after an edit of the table.
"""

from functools import cache

import pytest

from ecg_lib.closure import PACKAGE, closure

TABLES = sorted(file for end in ("csv", "yaml") for file in PACKAGE.rglob(f"*.{end}"))


@cache
def readers():
    """Map each table to the modules whose source names it."""
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
