"""Import closure of a result: all files of this library that it depends on.

A closure holds the file of a function, every library file that it imports directly or indirectly,
and every table (`.csv`, `.yaml`) that one of these files names. If a file names a folder in a
string ("ecg_lib.data.sources"), as code does to find files that register themselves, the closure
holds every file of that folder. Nothing is listed by hand. Comments, docstrings, the words of
errors that stop a run, annotations of functions and imports for type checkers do not count, so that
rewording a sentence invalidates no result.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

import yaml

PACKAGE = Path(__file__).resolve().parent
_TABLES = (".csv", ".yaml")
_MODULE = re.compile(rf"{PACKAGE.name}(\.\w+)+\.?")
_STOPPING = ("DataError", "ConfigError")
_DIGITS = 16  # hexadecimal digits: enough to tell versions apart, short enough for a table


def code_hash(*roots: Any) -> str:
    """Hash everything in this library that functions, classes, modules or sources depend on.

    Parameters
    ----------
    *roots : function, class, module or str
        A string is Python source. A `functools.partial` stands for its function and for every
        function, class or model among its arguments.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    names = set()
    for root in roots:
        if isinstance(root, str):
            digest.update(_meaning(ast.parse(root)).encode())
            names |= imports(root)
        else:
            names |= set(_modules(root))
    for file in sorted(closure(*names)):
        digest.update(f"{file.name}\0{_content(file)}\0".encode())
    return digest.hexdigest()[:_DIGITS]


def notebook_source(notebook: Path) -> str:
    """Return the code cells of a notebook as Python, without IPython's own lines (`%`, `!`)."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return "\n".join(
        line for line in "\n".join(code).splitlines() if not line.startswith(("%", "!"))
    )


def closure(*modules: str) -> set[Path]:
    """Return the files of some modules and all library files that they depend on.

    A module outside this library adds only its own file.
    """
    found: set[Path] = set()
    new = set().union(*map(_files, modules)) if modules else set()
    while new := new - found:
        found |= new
        new = set().union(*map(_needs, new))
    return found


def _modules(root: Any) -> Iterator[str]:
    """Name the module that defines an object, and for a partial those of its arguments."""
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
    return set().union(*map(_files, imports(source)), _tables(source))


def imports(source: str) -> set[str]:
    """List the library modules that a source may import, except for type checkers."""
    names = set()
    for node in nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= _named(node.value)
    return {name for name in names if name.split(".")[0] == PACKAGE.name}


def _named(text: str) -> set[str]:
    """List the modules that a string names; a folder's name stands for every file in it."""
    if not _MODULE.fullmatch(text):
        return set()
    text = text.removesuffix(".")
    room = PACKAGE.joinpath(*text.split(".")[1:])
    return {f"{text}.{file.stem}" for file in room.glob("*.py")} if room.is_dir() else {text}


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree like `ast.walk`, but skip what is under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if not _for_type_checkers(node):
            yield node
            yield from nodes(node)


def _for_type_checkers(node: Any) -> bool:
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def _tables(source: str) -> set[Path]:
    """Return the tables of the library that a source names, alone or with their whole folder."""
    known, texts = _known_tables(), _texts(source)
    named = {known[text] for text in texts if text in known}
    return named | {t for t in known.values() if _dotted(t.parent) in texts}


def _dotted(folder: Path) -> str:
    return ".".join((PACKAGE.name, *folder.relative_to(PACKAGE).parts))


def _texts(source: str) -> set[str]:
    constants = (n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


@cache
def _known_tables() -> dict[str, Path]:
    return {file.name: file for end in _TABLES for file in PACKAGE.rglob(f"*{end}")}


def file_of(module: str) -> Path | None:
    """Return the file of one of this library's modules, or None if there is no such module."""
    head, *parts = module.split(".")
    place = PACKAGE.joinpath(*parts)
    files = (place.with_suffix(".py"), place / "__init__.py") if head == PACKAGE.name else ()
    return next((file for file in files if file.is_file()), None)


def _files(module: str) -> set[Path]:
    """Return the files of a module and of the rooms it lies in, which are imported with it.

    The root of the package holds nothing but its version and is left out.
    """
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        spec = importlib.util.find_spec(module)
        return {Path(spec.origin)} if spec and spec.origin and spec.has_location else set()
    lies_in = (file_of(".".join(parts[:depth])) for depth in range(2, len(parts) + 1))
    return {file for file in lies_in if file}


def _content(file: Path) -> str:
    return _content_of(file, file.stat().st_mtime_ns)


@cache
def _content_of(file: Path, changed: int) -> str:
    text = file.read_text(encoding="utf-8")  # also turns all line ends into \n
    if file.suffix == ".py":
        return _meaning(ast.parse(text))
    if file.suffix == ".yaml":
        return json.dumps(
            yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), default=str
        )
    return "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))


def _meaning(tree: ast.AST) -> str:
    """Return a syntax tree as text, without docstrings and what only type checkers read.

    The words of an error that stops a run are left out too: no result can depend on them. Those of
    `BadRecord` count, because they are the reasons in a store's quarantine.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and _stops(node.exc):
            node.exc.args = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]
    return _plain(tree)


def _stops(error: Any) -> TypeGuard[ast.Call]:
    """Return whether an expression makes an error that nothing catches for its words."""
    return isinstance(error, ast.Call) and getattr(error.func, "id", "") in _STOPPING


def _plain(node: Any) -> str:
    """Dump a tree like `ast.dump`, without empty fields: the same in every version of Python."""
    if isinstance(node, ast.AST):
        fields = [f"{k}={_plain(v)}" for k, v in ast.iter_fields(node) if v is not None and v != []]
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(_plain(item) for item in node if not _for_type_checkers(item))}]"
    return repr(node)
