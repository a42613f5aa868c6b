"""Conversion of nested mappings into frozen dataclasses; errors name the field at fault."""

from __future__ import annotations

from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ecg_lib.errors import ConfigError

T = TypeVar("T")


def typed(kind: type[T], values: Any, before: str) -> T:
    """Validate a mapping against a dataclass and build it.

    Parameters
    ----------
    kind : type
        The dataclass.
    values : mapping
        Plain or from OmegaConf.
    before : str
        Text before the field in error messages, such as "params.yaml: " or "objective.".

    Raises
    ------
    ConfigError
        A field is unknown, missing or of the wrong type, or the dataclass itself rejects it.
    """
    try:
        schema = OmegaConf.structured(kind)
        _thaw(schema)  # the nodes of frozen dataclasses are read-only; the result is frozen again
        built = OmegaConf.to_object(OmegaConf.merge(schema, values))
        assert isinstance(built, kind)  # the schema names it
        return built
    except OmegaConfBaseException as error:
        field = f"{error.full_key}: " if getattr(error, "full_key", None) else ""
        raise ConfigError(f"{before}{field}{str(error).splitlines()[0]}") from error
    except ConfigError as error:
        raise ConfigError(f"{before}{error}") from error


def _thaw(node: Any) -> None:
    if OmegaConf.is_config(node):
        OmegaConf.set_readonly(node, False)
        for key in range(len(node)) if OmegaConf.is_list(node) else node:
            _thaw(node._get_node(key))
