"""ECG encoders, found by the name of their file.

>>> encoder = build("stem_vit", {"width": 96, "depth": 2, "heads": 4}, EcgInput(rate=500))
"""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EcgInput
from ecg_lib.errors import ConfigError, DataError


def names() -> list[str]:
    """The encoders in this folder: the files that define one."""
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in files if _defined(f"{__name__}.{name}"))


def find(name: str) -> type[EcgEncoder]:
    """The model of an encoder's file.

    Parameters
    ----------
    name : of a file in this folder ("stem_vit"), or the dotted name of a module of your own

    Raises
    ------
    ConfigError
        There is no such module, or it defines no encoder, or several.
    """
    module = name if "." in name else f"{__name__}.{name}"
    try:
        found = _defined(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the file is there, but something that it imports is not
        found = []
    if len(found) != 1:
        raise ConfigError(
            f"encoder.name is {name!r}, which defines {len(found) or 'no'} encoders; choose "
            f"{', '.join(names())}, or the dotted name of a module that defines one"
        )
    return found[0]


def configure(name: str, settings: Mapping[str, Any], ecg_input: EcgInput) -> EcgEncoderConfig:
    """The config of an encoder; see `build`."""
    kind = find(name).config_class
    known = inspect.signature(kind.__init__, eval_str=True).parameters
    known = {k: p for k, p in known.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    own = {k: value for k, value in settings.items() if k != "name"}
    for setting, value in own.items():
        if setting not in known or setting in ("self", "ecg_input"):
            choices = ", ".join(k for k in known if k not in ("self", "ecg_input"))
            raise ConfigError(f"encoder.{setting}: {name} has no such setting; it has {choices}")
        wanted = known[setting].annotation
        if inspect.isclass(wanted) and not _is_a(value, wanted):
            raise ConfigError(f"encoder.{setting} is {value!r}; give {wanted.__name__}")
    try:
        return kind(ecg_input=ecg_input, **own)
    except ValueError as error:
        raise ConfigError(f"encoder.{error}") from error


def build(name: str, settings: Mapping[str, Any], ecg_input: EcgInput) -> EcgEncoder:
    """An untrained encoder.

    Parameters
    ----------
    name : as for `find`
    settings : keywords of its config; what is left out has its default, `name` is passed over
    ecg_input : what it shall read

    Raises
    ------
    ConfigError
        There is no such encoder, or a setting is unknown, of the wrong type or impossible.
    """
    return find(name)(configure(name, settings, ecg_input))


def load(folder: str | Path) -> EcgEncoder:
    """A saved encoder of any kind, ready for evaluation.

    The module that its `config.json` names is imported, wherever it is installed.

    Raises
    ------
    DataError
        The folder holds no saved encoder, its module is missing, or a weight is.
    """
    told = _told(folder)
    try:
        find(told.get("module") or str(told.get("model_type")))
    except ConfigError as error:
        raise DataError(f"{folder}: {error}") from error
    encoder, loaded = AutoModel.from_pretrained(folder, output_loading_info=True)
    if loaded["missing_keys"]:  # they would hold random numbers
        raise DataError(f"{folder}: weights of {min(loaded['missing_keys'])} are missing")
    return encoder.eval()


def input_of(folder: str | Path) -> EcgInput:
    """What a saved encoder reads, without loading it.

    Raises
    ------
    DataError
        The folder holds no saved encoder.
    """
    return EcgInput(**_told(folder).get("ecg_input", {}))


def _told(folder: str | Path) -> dict[str, Any]:
    file = Path(folder, "config.json")
    if not file.is_file():
        raise DataError(f"{folder}: no saved encoder (config.json is missing)")
    return json.loads(file.read_text(encoding="utf-8"))


def _defined(module: str) -> list[type[EcgEncoder]]:
    """The encoders that a module defines, as opposed to those that it imports."""
    return [
        value
        for value in vars(import_module(module)).values()
        if inspect.isclass(value)
        and issubclass(value, EcgEncoder)
        and value is not EcgEncoder
        and value.__module__ == module
    ]


def _is_a(value: Any, wanted: type) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)
