"""Definitions of this library that a piece of code uses.

This is finer than `closure`, which counts whole files: a notebook that imports a module of many
steps uses only the steps that it calls. A method counts if its class is used and any attribute of
its name is accessed. The result may hold more than is used, but never less, except for names that
are built at run time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ecg_lib import closure

_Place = tuple[Path | None, ast.AST]  # a definition and its file; None for the source itself


def reached(source: str, aside: frozenset[str] = frozenset()) -> list[ast.AST]:
    """Return the syntax trees of a source and of all definitions that it uses, also indirectly.

    Parameters
    ----------
    source : str
        Python code.
    aside : frozenset of str
        Names of files whose definitions are not followed.
    """
    found: list[ast.AST] = []
    seen: set[int] = set()
    methods: dict[str, list[_Place]] = {}  # of used classes, by names not accessed yet
    called: set[str] = set()
    own = _Names(ast.parse(source))
    new: list[_Place] = [(None, own.tree)]
    while new:
        file, node = new.pop()
        if id(node) in seen or (file and file.name in aside):
            continue
        seen.add(id(node))
        if isinstance(node, ast.ClassDef):
            parts, later = _of_class(node)
            for method in later:
                known = method.name in called
                (new if known else methods.setdefault(method.name, [])).append((file, method))
        else:
            parts = [node]
        found += parts
        names = own if file is None else _names_of(file)
        for part in parts:
            for inner in used(part):
                if isinstance(inner, ast.Name):
                    new += names.meaning(file, inner.id)
                elif isinstance(inner, ast.Attribute) and not _of_config(inner):
                    called.add(inner.attr)
                    new += methods.pop(inner.attr, [])
                    if isinstance(inner.value, ast.Name):
                        for module in names.bound.get(inner.value.id, ()):
                            new += _resolve(f"{module}.{inner.attr}")
    return found


class _Names:
    """The meaning of the top-level names of a file."""

    def __init__(self, tree: ast.Module):
        self.tree = tree
        self.defined: dict[str, ast.AST] = {}
        self.bound: dict[str, set[str]] = {}  # imported name -> full names
        for node in tree.body:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            for target in targets:
                self.defined |= (
                    {n.id: node for n in ast.walk(target) if isinstance(n, ast.Name)}
                    if target
                    else {}
                )
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.defined[node.name] = node
        for inner in closure.nodes(tree):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                module = getattr(inner, "module", None)
                for alias in inner.names:
                    full = f"{module}.{alias.name}" if module else alias.name
                    self.bound.setdefault(alias.asname or alias.name, set()).add(full)

    def meaning(self, file: Path | None, name: str) -> list[_Place]:
        """Find where a name is defined; nothing for modules, local names and other libraries."""
        if name in self.defined and file is not None:
            return [(file, self.defined[name])]
        return [place for full in self.bound.get(name, ()) for place in _resolve(full)]


def _of_config(node: ast.Attribute) -> bool:
    """Tell whether an attribute is a configuration value, such as `run.config.data.questions`."""
    inner = node.value
    while isinstance(inner, ast.Attribute) and inner.attr != "config":
        inner = inner.value
    return "config" in (getattr(inner, "attr", ""), getattr(inner, "id", ""))


def _resolve(full: str) -> list[_Place]:
    """Find where "package.module.name" is defined."""
    module, _, name = full.rpartition(".")
    file = closure.file_of(module)
    return _names_of(file).meaning(file, name) if file else []


def _names_of(file: Path) -> _Names:
    return _read(file, file.stat().st_mtime_ns)


@cache
def _read(file: Path, changed: int) -> _Names:
    return _Names(ast.parse(file.read_text(encoding="utf-8")))


def _of_class(node: ast.ClassDef) -> tuple[list[ast.AST], list[ast.FunctionDef]]:
    """Split a class into the parts that always run and the methods that run when called."""
    always: list[ast.AST] = [*node.decorator_list, *node.bases, *node.keywords]
    methods = []
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and not part.name.startswith("__"):
            methods.append(part)
        else:
            always.append(part)
    return always, methods


def used(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk the nodes of a tree, without type annotations."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.AST):
                yield from used(node)
