"""Read a configuration from YAML without what could grow, nest or run."""

from __future__ import annotations

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ecg_lib.errors import ConfigError

_MOST_CHARACTERS, _DEEPEST = 100_000, 50
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def read_yaml(path: Path) -> DictConfig:
    """Read a mapping from a YAML file.

    Raises
    ------
    ConfigError
        The file is not YAML in UTF-8, holds no mapping, or uses a tag or an alias. Tags could make
        objects of any class, and a few aliases of aliases grow to any size.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _MOST_CHARACTERS:
            raise ConfigError(
                f"{path.name}: longer than {_MOST_CHARACTERS:,} characters; shorten it"
            )
        depth = 0
        for token in yaml.scan(text, yaml.SafeLoader):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > _DEEPEST:
                raise ConfigError(f"{path.name}: nested more than {_DEEPEST} deep; flatten it")
            if isinstance(token, (yaml.AliasToken, yaml.TagToken)):
                raise ConfigError(
                    f"{path.name}, line {token.start_mark.line + 1}: aliases (*name) and tags "
                    "(!name) are not read; write the value out"
                )
        values = OmegaConf.create(text)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, AssertionError) as error:
        if isinstance(error, ConfigError):
            raise
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path.name}: not YAML ({told}); mend it, or compose it again"
        ) from error
    if not isinstance(values, DictConfig):
        raise ConfigError(f"{path.name}: no fields; compose it with `make params PROFILE=demo`")
    return values
