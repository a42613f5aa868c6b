"""The part of this library that a result depends on: the import closure of what computed it.

A closure holds the file of a function, every library file that this one imports, what those import,
every table (`.csv`, `.yaml`) that one of them names, and every file of a folder that one of them
names by a string ("ecg_lib.data.sources"), as one does to find files that register themselves.
Nothing is listed by hand. Comments, docstrings and imports for type checkers do not count, so that
rewording a sentence stales nothing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

PACKAGE = Path(__file__).resolve().parent
_TABLES = (".csv", ".yaml")
_DIGITS = 16  # hexadecimal digits kept: plenty to tell versions apart, short enough for a table


def code_hash(*roots: Any) -> str:
    """Hash of all that some functions, classes, modules or sources depend on in this library.

    Parameters
    ----------
    roots : functions, classes or modules; a `functools.partial` counts with its function and with
        every function, class or model among its arguments; a string is Python source.
    """
    digest = hashlib.sha256()
    names = set()
    for root in roots:
        if isinstance(root, str):
            digest.update(_meaning(ast.parse(root)).encode())
            names |= _imports(root)
        else:
            names |= set(_modules(root))
    for file in sorted(closure(*names)):
        digest.update(f"{file.name}\0{_content(file)}\0".encode())
    return digest.hexdigest()[:_DIGITS]


def closure(*modules: str) -> set[Path]:
    """Files that some modules are or depend on: this library's, and a module's own elsewhere."""
    found: set[Path] = set()
    new = set().union(*map(_files, modules)) if modules else set()
    while new := new - found:
        found |= new
        new = set().union(*map(_needs, new))
    return found


def _modules(root: Any) -> Iterator[str]:
    """Names of the modules that define an object, and those it is partially applied to."""
    if isinstance(root, partial):
        yield from _modules(root.func)
        for value in (*root.args, *root.keywords.values()):
            if callable(value):
                yield from _modules(value)
        return
    if isinstance(root, ModuleType):
        yield root.__name__
        return
    kind = root if inspect.isroutine(root) or inspect.isclass(root) else type(root)
    yield inspect.unwrap(kind).__module__


def _needs(file: Path) -> set[Path]:
    if file.suffix != ".py" or not file.is_relative_to(PACKAGE):
        return set()
    return _needs_of(file, file.stat().st_mtime_ns)


@cache
def _needs_of(file: Path, changed: int) -> set[Path]:
    source = file.read_text(encoding="utf-8")
    return set().union(*map(_files, _imports(source) | _rooms(source)), _tables(source))


def _imports(source: str) -> set[str]:
    """Modules that a source may import, but for type checkers."""
    names = set()
    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == PACKAGE.name}


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, without what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node
        yield from _nodes(node)


def _rooms(source: str) -> set[str]:
    """Modules of the library's packages that a source names by a string, e.g. "ecg_lib.data"."""
    names = {text for text in _texts(source) if text.startswith(f"{PACKAGE.name}.")}
    places = {name: PACKAGE.joinpath(*name.split(".")[1:]) for name in names if name[-1] != "."}
    return {f"{n}.{f.stem}" for n, p in places.items() if p.is_dir() for f in p.glob("*.py")}


def _tables(source: str) -> set[Path]:
    """The library's tables that a source names."""
    known = _known_tables()
    named = {known[text] for text in _texts(source) if text in known}
    return named | {t for t in known.values() if _dotted(t.parent) in _texts(source)}


def _dotted(folder: Path) -> str:
    return ".".join((PACKAGE.name, *folder.relative_to(PACKAGE).parts))


def _texts(source: str) -> set[str]:
    constants = (n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


@cache
def _known_tables() -> dict[str, Path]:
    return {file.name: file for end in _TABLES for file in PACKAGE.rglob(f"*{end}")}


def _files(module: str) -> set[Path]:
    """The file of a module, and the packages it lies in, which are imported with it."""
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        spec = importlib.util.find_spec(module)
        return {Path(spec.origin)} if spec and spec.origin and spec.has_location else set()
    found = set()
    for depth in range(1, len(parts) + 1):
        place = PACKAGE.joinpath(*parts[1:depth])
        found |= {place.with_suffix(".py"), place / "__init__.py"}
    return {file for file in found if file.is_file()}


def _content(file: Path) -> str:
    return _content_of(file, file.stat().st_mtime_ns)


@cache
def _content_of(file: Path, changed: int) -> str:
    text = file.read_text(encoding="utf-8")  # any line ends become \n
    if file.suffix == ".py":
        return _meaning(ast.parse(text))
    if file.suffix == ".yaml":
        return json.dumps(
            yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), default=str
        )
    return text


def _meaning(tree: ast.AST) -> str:
    """A syntax tree as text, without docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]
    return ast.dump(tree)
