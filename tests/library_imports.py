"""What of ecg_lib a piece of code uses, directly or through others: files, configuration."""

import ast
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
# These know every room: they are followed function by function.
NAMES = tuple(f"experiments/{f.name}" for f in (REPO / "ecg_lib" / "experiments").glob("*.py"))
WORKFLOWS = {REPO / "ecg_lib" / name for name in NAMES}


def files_used(source: str) -> set[Path]:
    """Files that the source imports, what those import, and so on.

    Of the workflows only the functions that the source calls count, and what these use.
    """
    tree = ast.parse(source)
    used, new = set(), _files(_bound(tree))
    if WORKFLOWS & new:
        for file, nodes in _workflow_nodes(tree).items():
            mentioned = {n.id for n in nodes if isinstance(n, ast.Name)}
            bound = _bound(ast.parse(file.read_text()))
            new |= _files({name: bound[name] for name in mentioned & set(bound)})
            if nodes:
                used.add(file)
    new -= WORKFLOWS  # their own imports are followed above
    while new := new - used:
        used |= new
        new = {f for file in new for f in _files(_bound(ast.parse(file.read_text())))}
    return used


def sections_used(source: str) -> set[str]:
    """Fields of `config` that the source reads, itself or through functions of the workflow."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    if WORKFLOWS & _files(_bound(tree)):
        nodes += [node for part in _workflow_nodes(tree).values() for node in part]
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "config"
    }


def _workflow_nodes(tree: ast.AST) -> dict[Path, list[ast.AST]]:
    """By workflow: syntax nodes of the functions that a tree calls, and of those they call."""
    defined = {
        node.name: (file, node)
        for file in sorted(WORKFLOWS)
        for node in ast.parse(file.read_text()).body
        if hasattr(node, "name")
    }
    bound = _bound(tree)
    others = {
        name for name in bound if (files := _files({name: bound[name]})) and not files & WORKFLOWS
    }  # what is called of these is no workflow's
    called = {
        n.attr if isinstance(n, ast.Attribute) else n.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute | ast.Name)
        and getattr(getattr(n, "value", None), "id", None) not in others
    }
    reached, nodes = set(), {file: [] for file in WORKFLOWS}
    while new := (called & set(defined)) - reached:
        reached |= new
        for file, node in map(defined.get, new):
            nodes[file] += ast.walk(node)
        called = {n.id for part in nodes.values() for n in part if isinstance(n, ast.Name)}
    return nodes


def _bound(tree: ast.AST) -> dict[str, set[str]]:
    """Names that import statements anywhere in a tree bind -> modules they may stand for."""
    names: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.setdefault(alias.asname or alias.name, set()).add(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                modules = {node.module, f"{node.module}.{alias.name}"}
                names.setdefault(alias.asname or alias.name, set()).update(modules)
    return names


def _files(names: dict[str, set[str]]) -> set[Path]:
    files = set()
    for module in set().union(*names.values()):
        parts = module.split(".")
        if parts[0] == "ecg_lib":
            for depth in range(2, len(parts) + 1):  # importing a module imports what it lies in
                path = REPO.joinpath(*parts[:depth])
                files |= {path.with_suffix(".py"), path / "__init__.py"}
    return {file for file in files if file.is_file()}
