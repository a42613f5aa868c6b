"""Stages of the pipelines, derived from the notebooks: what each reads, makes and depends on.

Only what the code cannot tell is listed by hand. A notebook's metadata `ecg_lib` holds its `desc`
and, if there are any, the folders it `makes`, the other result files it `writes` and the tables of
other stages it `reads`. `pipelines/steps.yaml` holds the same for steps without a notebook.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

import yaml

from ecg_lib import closure, paths
from ecg_lib.config import Config
from ecg_lib.errors import ConfigError
from ecg_lib.reached import reached, used

STEPS = "pipelines/steps.yaml"
MAIN, STUDIES = "debiased", "studies"  # folders of notebooks; each folder is a pipeline
_SECTIONS = frozenset(field.name for field in fields(Config)) - {"threads", "stages"}
_ALWAYS = frozenset({"profile", "label", "seed"})  # printed on every result
_CHECKS = frozenset({"config.py", "config_check.py"})  # they read the whole profile to validate it
# Parts of a profile whose `name` is a file, and the folder of the library that holds it.
_CHOICES = MappingProxyType({"encoder": "encoders", "objective": "objectives"})
# Methods of an Experiment that name a folder, and its parent folder.
_ROOMS = MappingProxyType({"checkpoints": "checkpoints", "below": "checkpoints", "data": "data"})


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline; `source` is the code it runs, as Python."""

    name: str
    pipeline: str
    command: str
    source: str
    notebook: str | None = None
    desc: str = ""  # what it does, in one line
    makes: Sequence[str] = ()  # folders that it writes, "data/NAME" or "checkpoints/NAME"
    reads: Sequence[str] = ()  # tables of other stages
    writes: Sequence[str] = ()  # result files other than tables and figures

    @property
    def key(self) -> str:
        """The entry of `stages` in a profile that asks for it: its own, or its paper's."""
        return self.name if self.pipeline == STUDIES else self.pipeline

    @cached_property
    def tables(self) -> list[str]:
        """Names of the tables that it writes, from `run.table("NAME", ...)`."""
        return self._written("table", 0)

    @cached_property
    def figures(self) -> list[str]:
        """Names of the figures that it writes, from `run.figure(figure, "NAME")`."""
        return self._written("figure", 1)

    def _written(self, method: str, position: int) -> list[str]:
        names = []
        for node in ast.walk(ast.parse(self.source)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != method or getattr(node.func.value, "id", "") != "run":
                continue
            name = node.args[position] if len(node.args) > position else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                raise ConfigError(
                    f"{self.name}: `{ast.unparse(node)[:50]}` must name its table or figure as "
                    "a plain string, because the pipeline is generated from it"
                )
            names.append(name.value)
        return names

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        return [node for tree in reached(self.source, _CHECKS) for node in used(tree)]

    @cached_property
    def sections(self) -> set[str]:
        """Sections of the profile that its code reads."""
        read = {
            node.attr
            for node in self._nodes
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        }
        if any(map(_reads_by_name, self._nodes)):
            read |= self._texts
        return (read & _SECTIONS) | _ALWAYS

    @cached_property
    def _texts(self) -> set[str]:
        return {text for n in self._nodes if (text := _text(n)) is not None}

    @cached_property
    def opened(self) -> set[str]:
        """Folders that its code opens, "data/NAME" or "checkpoints/NAME", including its own."""
        return {
            f"{room}/{text}" for room, name in self._places if (text := _text(name)) is not None
        }

    @cached_property
    def folders(self) -> set[str]:
        """Folders that it may open; if a variable names the folder, any string in the code."""
        joined = (text for n in self._nodes if (text := _joined(n)) is not None)
        found = self.opened | {f"checkpoints/{text}" for text in joined}
        for room, name in self._places:
            if not isinstance(name, ast.Constant | ast.Starred):
                found |= {f"{room}/{text}" for text in self._texts}
        return found

    @cached_property
    def _places(self) -> list[tuple[str, ast.AST]]:
        """Parent folder and first argument of each call that opens an Experiment's folder."""
        return [
            (_ROOMS[node.func.attr], node.args[0])
            for node in self._nodes
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _ROOMS
            and node.args
        ]

    @property
    def reads_published(self) -> bool:
        """Whether it reads the paper's own numbers."""
        return any(
            isinstance(n, ast.Name | ast.Attribute)
            and getattr(n, "attr", getattr(n, "id", "")) == "PAPER_RESULTS"
            for n in self._nodes
        )

    def code_hash(self, profile: Mapping[str, Any]) -> str:
        """Hash its code, all library code that this imports, and its encoder and objectives.

        Parameters
        ----------
        profile : mapping
            The configuration as plain mappings, which name the files of encoder and objectives.
        """
        sections = self.sections | ({"encoder"} & parameters(self))
        chosen = {name: profile[name] for name in sections if name in profile}
        return closure.code_hash(self.source, *sorted(set(_chosen(chosen))))


def _chosen(values: Mapping[str, Any], room: str = "") -> Iterator[str]:
    """Yield an import for each encoder and objective of a profile; dotted names stay unchanged."""
    name = values.get("name")
    if room in _CHOICES and name:
        yield f"import {name if '.' in name else f'{closure.PACKAGE.name}.{_CHOICES[room]}.{name}'}"
    for key, part in values.items():
        if isinstance(part, Mapping):
            yield from _chosen(part, key)


def _joined(node: ast.AST) -> str | None:
    """Return the name in `path / "name"`; None for any other node."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _text(node.right)
    return None


def _text(node: ast.AST) -> str | None:
    """Return the value of a string; None for any other node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def _reads_by_name(node: ast.AST) -> bool:
    """Tell whether a node is `getattr(config, name)`, which may read any section the code names."""
    return (
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "getattr"
        and ast.unparse(node.args[0]).endswith("config")
    )


@cache
def pipelines() -> list[str]:
    """Return the folders of notebooks: the first paper's, the other papers', and the studies'."""
    holding = {file.parent.name for file in paths.NOTEBOOKS.glob("*/*.ipynb")}
    return [MAIN, *sorted(holding - {MAIN, STUDIES}), STUDIES]


@cache
def all_stages() -> dict[str, Stage]:
    """Return all stages by name, each after those whose folders it may open; studies come last."""
    found: list[Stage] = []
    steps = yaml.safe_load((paths.ROOT / STEPS).read_text(encoding="utf-8"))
    for folder in pipelines():
        for file in sorted((paths.NOTEBOOKS / folder).glob("*.ipynb")):
            found += [_step(n, step) for n, step in steps.items() if step["before"] == file.stem]
            found.append(notebook_stage(f"{folder}/{file.stem}"))
    return {stage.name: stage for stage in found}


def notebook_stage(notebook: str) -> Stage:
    """Return the stage of a notebook, given as a path below notebooks/ without suffix.

    Raises
    ------
    ConfigError
        There is no such notebook, or its metadata lacks `desc`.
    """
    file = paths.NOTEBOOKS / f"{notebook}.ipynb"
    if not file.is_file():
        raise ConfigError(f"notebooks/{notebook}.ipynb: no such notebook; name one in notebooks/")
    try:
        declared = json.loads(file.read_text(encoding="utf-8"))["metadata"].get("ecg_lib", {})
        source = closure.notebook_source(file)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"notebooks/{notebook}.ipynb: no notebook ({type(error).__name__}); restore it with git"
        ) from error
    if not declared.get("desc"):
        raise ConfigError(
            f"notebooks/{notebook}.ipynb: metadata ecg_lib.desc is missing; add a description"
        )
    pipeline, _, name = notebook.partition("/")
    command = f"python -m ecg_lib.cli.notebook {notebook}"
    return Stage(name, pipeline, command, source, notebook, **_declared(declared))


def _step(name: str, step: dict[str, Any]) -> Stage:
    module, _, function = step["function"].partition(":")
    source = (
        "from ecg_lib.experiments.experiment import Experiment\n"
        f"from {module} import {function}\n{function}(Experiment.open())"
    )
    return Stage(name, MAIN, step["command"], source, **_declared(step))


def _declared(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: values[k] for k in ("desc", "makes", "reads", "writes") if k in values}


def maker(name: str) -> str | None:
    """Name the stage that makes a folder or a table, or None."""
    for stage in all_stages().values():
        if name in {*stage.makes, *stage.tables}:
            return stage.name
    return None


def needs(stage: Stage) -> list[str]:
    """List the folders of earlier stages that a stage opens.

    Of other pipelines only the main one counts, and of studies none: a profile may lack them.
    """
    earlier: list[str] = []
    for other in all_stages().values():
        if other.name == stage.name:
            break
        if other.pipeline != STUDIES and other.pipeline in (MAIN, stage.pipeline):
            earlier += other.makes
    return [folder for folder in earlier if folder in stage.folders]


def ancestors(stage: Stage) -> list[Stage]:
    """Return a stage and all stages that it builds on."""
    found, new = {}, [stage]
    while new:
        stage = new.pop()
        if stage.name not in found:
            found[stage.name] = stage
            before = map(maker, [*needs(stage), *stage.reads])
            new += [all_stages()[name] for name in before if name]
    return list(found.values())


def parameters(stage: Stage) -> set[str]:
    """Return the sections that a stage's results depend on, directly or through other stages."""
    return set().union(*(each.sections for each in ancestors(stage)))
