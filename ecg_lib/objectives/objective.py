"""The contract of a pretraining objective, and the training loop that all objectives share.

An objective teaches an ECG encoder something, such as what reports say or what a simulator knows.
It is one file in this folder. The file defines `Settings`, a frozen dataclass of all its
hyperparameters, and `Objective`, a module whose forward takes one batch and returns a loss.
`conf/objective/NAME.yaml` holds the values. An objective of your own may lie elsewhere; name it by
its dotted path. `pretrain` is the training loop.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, set_seed

from ecg_lib.data.store import EcgStore
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.objectives.parts.clip import PretrainedClip
from ecg_lib.training.distributed import is_first, launched
from ecg_lib.training.fit import Schedule, fit
from ecg_lib.typed import typed

if TYPE_CHECKING:
    import numpy as np

    from ecg_lib.config import TextEncoder as TextSettings
    from ecg_lib.encoders.base import EcgEncoder

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """Hyperparameters of every objective; its YAML file gives the fields without a default."""

    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float  # share of the steps
    bf16: bool = False


@dataclass(frozen=True)
class Given:
    """The inputs of an objective besides its settings.

    Parameters
    ----------
    seed : int
        Random seed of the weights, the order of the rows and the random texts.
    text : TextSettings
        Sizes of the text encoder, or the name of a pretrained one.
    store : EcgStore, optional
        ECGs with their reports; None for objectives that simulate their own.
    train, valid : sequences of int
        Rows of the store. The loss on `valid` is recorded in the learning curve and has no effect
        on training.
    start : PretrainedClip, optional
        A CLIP whose training is continued; None starts from an untrained encoder.
    """

    seed: int
    text: TextSettings
    store: EcgStore | None = None
    train: Sequence[int] | np.ndarray = ()
    valid: Sequence[int] | np.ndarray = ()
    start: PretrainedClip | None = None


class BaseObjective(nn.Module):
    """Base class of the objectives; an `Objective` adds `rows`, `collate`, `save` and `forward`.

    `collate` must draw random numbers from `self.generator` only. A checkpoint stores the state of
    this generator, so a training run that resumes draws the same random texts as one that was never
    interrupted.
    """

    def __init__(self, encoder: EcgEncoder, settings: BaseSettings, given: Given):
        super().__init__()
        self.settings, self.given = settings, given
        self.generator = torch.Generator().manual_seed(given.seed)

    def rows(self) -> tuple[list[dict], list[dict]]:
        """Return the rows to train on, and the rows whose loss is only recorded."""
        raise NotImplementedError

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        """Turn rows into a batch: a dictionary with exactly the arguments of `forward`."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the trained model so that `loading.load_encoder` finds its encoder in `folder`."""
        raise NotImplementedError

    def schedule(self, rows: int) -> Schedule:
        """Return the training schedule for a number of rows, as the settings say."""
        batch = min(self.settings.batch_size, rows)
        return Schedule.of(self.settings, batch_size=batch, clip_norm=1.0, drop_last=True)

    def callbacks(self) -> Sequence[TrainerCallback]:
        """Return callbacks to run after each step, e.g. to update a teacher or a queue."""
        return ()

    def companions(self) -> Sequence[str]:
        """Return names or prefixes of frozen weights that change in training.

        Checkpoints store them as well.
        """
        return ()

    def optimizer(self) -> torch.optim.Optimizer | None:
        """Return an optimiser to use instead of AdamW, or None for AdamW."""
        return None

    def finish(self) -> None:
        """Do what is left to do after the last step."""

    def get_extra_state(self) -> Tensor:
        """Return the state of the random generator, for a checkpoint."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the state of the random generator from a checkpoint."""
        self.generator.set_state(state.cpu())


def store_of(given: Given) -> EcgStore:
    """Return the store, for an objective that learns from ECGs with reports.

    Raises
    ------
    ConfigError
        `given` has no store.
    """
    if given.store is None:
        raise ConfigError("this objective learns from ECGs with reports: give it a prepared store")
    return given.store


def names() -> list[str]:
    """Return the names of the objectives in this folder."""
    return sorted(file.stem for file in _FOLDER.glob("*.py") if _defines_one(file))


def _defines_one(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.ClassDef) and node.name == "Objective" for node in body)


def find(name: str) -> ModuleType:
    """Import the module of an objective.

    Parameters
    ----------
    name : str
        A file in this folder, or the dotted path of a module of your own.

    Raises
    ------
    ConfigError
        There is no such module, or it lacks `Settings` or `Objective`.
    """
    path = name if "." in name else f"{__package__}.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if not error.name or not f"{path}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(
            f"no objective {name!r}; choose {', '.join(names())}, or your own by its dotted path"
        ) from error
    for part in ("Settings", "Objective"):
        if not hasattr(module, part):
            raise ConfigError(f"objective {name!r}: {path} defines no {part}; add that class")
    return module


def settings(values: Mapping[str, Any], where: str = "objective") -> Any:
    """Validate a section of the configuration against the `Settings` of the objective it names.

    Parameters
    ----------
    values : mapping
        The objective's `name`, and its hyperparameters by field.
    where : str
        Origin of the values, with which an error message begins.

    Returns
    -------
    Settings
        Those of the objective's module.

    Raises
    ------
    ConfigError
        The name is missing or unknown, or a field is unknown, missing, of the wrong type or
        impossible.
    """
    own = dict(values)
    name = own.pop("name", None)
    if not name:
        raise ConfigError(f"{where}.name is missing; choose {', '.join(names())}")
    try:
        kind = find(name).Settings
    except ConfigError as error:
        raise ConfigError(f"{where}.name: {error}") from error
    return typed(kind, own, f"{where}.")


def pretrain(
    name: str,
    build_encoder: Callable[[], EcgEncoder],
    settings: BaseSettings,
    given: Given,
    folder: Path,
) -> None:
    """Pretrain an encoder with an objective; save it and its `curve.csv` in `folder`.

    Parameters
    ----------
    name : str
        As for `find`.
    build_encoder : callable
        Builds an untrained encoder. It is called after the seed is set, and only if `given.start`
        is None.
    settings : BaseSettings
        The objective's `Settings`.
    given : Given
    folder : Path

    Raises
    ------
    DataError
        No ECG is left to learn from.
    """
    set_seed(given.seed)
    encoder = given.start.clip.ecg_encoder if given.start else build_encoder()
    learner = find(name).Objective(encoder, settings, given)
    if launched() > 1 and torch.cuda.is_available():  # SyncBatchNorm works on GPUs only
        nn.SyncBatchNorm.convert_sync_batchnorm(learner)
    train, valid = learner.rows()
    if not train:
        raise DataError(f"{name}: no ECG to learn from; give ECGs whose reports state something")
    history = fit(
        learner,
        train,
        learner.collate,
        folder,
        learner.schedule(len(train)),
        valid=valid,
        seed=given.seed,
        callbacks=learner.callbacks(),
        optimizer=learner.optimizer(),
    )
    learner.finish()
    if is_first():
        learner.save(folder)
        history.to_csv(folder / "curve.csv", index=False)
