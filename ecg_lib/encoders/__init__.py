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
    """Return the names of the files in this folder that define an encoder."""
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in files if _defined(f"{__name__}.{name}"))


def find(name: str) -> type[EcgEncoder]:
    """Return the encoder class that a file defines.

    Parameters
    ----------
    name : str
        A file in this folder ("stem_vit"), or the dotted name of a module of your own.

    Raises
    ------
    ConfigError
        There is no such module, or it defines no encoder or more than one.
    """
    module = name if "." in name else f"{__name__}.{name}"
    try:
        found = _defined(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the file exists, but one of its imports is missing
        found = []
    if len(found) != 1:
        raise ConfigError(
            f"encoder.name is {name!r}, which defines {len(found) or 'no'} encoders; choose "
            f"{', '.join(names())}, or the dotted name of a module that defines one"
        )
    return found[0]


def configure(name: str, settings: Mapping[str, Any], ecg_input: EcgInput) -> EcgEncoderConfig:
    """Return the validated config of an encoder; parameters and errors are those of `build`."""
    kind = find(name).config_class
    taken = inspect.signature(kind.__init__, eval_str=True).parameters
    known = {k: p for k, p in taken.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    own = {k: value for k, value in settings.items() if k != "name"}
    for setting, value in own.items():
        if setting not in known or setting in ("self", "ecg_input"):
            choices = ", ".join(k for k in known if k not in ("self", "ecg_input"))
            raise ConfigError(f"encoder.{setting}: {name} has no such setting; use {choices}")
        wanted = known[setting].annotation
        if inspect.isclass(wanted) and not _is_a(value, wanted):
            raise ConfigError(f"encoder.{setting} is {value!r}; give {wanted.__name__}")
    try:
        return kind(ecg_input=ecg_input, **own)
    except ValueError as error:
        raise ConfigError(f"encoder.{error}") from error


def build(name: str, settings: Mapping[str, Any], ecg_input: EcgInput) -> EcgEncoder:
    """Build an untrained encoder.

    Parameters
    ----------
    name : str
        As for `find`.
    settings : mapping
        Keyword arguments of the encoder's config; missing ones take their defaults. The key
        `name` is ignored.
    ecg_input : EcgInput
        The signal that the encoder will read.

    Raises
    ------
    ConfigError
        There is no such encoder, or a setting is unknown, of the wrong type or impossible.
    """
    return find(name)(configure(name, settings, ecg_input))


def load(folder: str | Path) -> EcgEncoder:
    """Load a saved encoder of any kind, in evaluation mode.

    The encoder's `config.json` names the module that defines it. That module is imported, so it
    must be installed.

    Raises
    ------
    DataError
        The folder holds no saved encoder, or its module or one of its weights is missing.
    """
    told = _told(folder)
    try:
        find(told.get("module") or str(told.get("model_type")))
    except ConfigError as error:
        raise DataError(f"{folder}: {error}") from error
    encoder, loaded = AutoModel.from_pretrained(folder, output_loading_info=True)
    if loaded["missing_keys"]:  # transformers would fill them with random numbers
        raise DataError(
            f"{folder}: weights of {min(loaded['missing_keys'])} are missing; save it again"
        )
    return encoder.eval()


def input_of(folder: str | Path) -> EcgInput:
    """Return the input specification of a saved encoder without loading its weights.

    Raises
    ------
    DataError
        The folder holds no saved encoder.
    """
    return EcgInput(**_told(folder).get("ecg_input", {}))


def _told(folder: str | Path) -> dict[str, Any]:
    file = Path(folder, "config.json")
    if not file.is_file():
        raise DataError(f"{folder}: no saved encoder (config.json is missing); give another folder")
    return json.loads(file.read_text(encoding="utf-8"))


def _defined(module: str) -> list[type[EcgEncoder]]:
    """Return the encoder classes that a module defines itself, not those it imports."""
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
