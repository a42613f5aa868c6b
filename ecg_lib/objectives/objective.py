"""What every objective is: a file in this folder with its `Settings` and a class `Objective`.

An objective teaches an ECG encoder something: what reports say, what a simulator knows. Its file
defines `Settings`, a frozen dataclass of all its hyperparameters, and `Objective`, a module whose
forward takes one batch and returns a loss. `conf/objective/NAME.yaml` holds the values. A file of
your own elsewhere is named by its dotted path. `pretrain` is the one training loop.
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
from transformers import PreTrainedModel, TrainerCallback, set_seed

from ecg_lib.data.store import EcgStore
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.objectives.parts.clip import PretrainedClip
from ecg_lib.training.distributed import is_first, launched
from ecg_lib.training.fit import Schedule, fit
from ecg_lib.typed import typed

if TYPE_CHECKING:
    from ecg_lib.config import TextEncoder as TextSettings

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """What every objective must be told; a field without a default stands in its YAML file."""

    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float  # share of the steps
    bf16: bool = False


@dataclass(frozen=True)
class Given:
    """What an objective works with, beside its settings.

    Parameters
    ----------
    seed : of weights, order and random texts
    text : sizes of the text encoder, or the name of a pretrained one
    store : ECGs with their reports; None for objectives that draw their own
    train, valid : rows of the store; the loss of `valid` stands in the curve and decides nothing
    start : a CLIP to go on with, whose ECG encoder is taken; None: an untrained encoder
    """

    seed: int
    text: TextSettings
    store: EcgStore | None = None
    train: Sequence[int] = ()
    valid: Sequence[int] = ()
    start: PretrainedClip | None = None


class BaseObjective(nn.Module):
    """The parts of an objective that most share; an `Objective` adds `rows`, `collate`, `save`.

    `collate` draws from `self.generator` alone: its state is kept with a checkpoint, so that a
    training that was interrupted goes on with the random texts it would have had.
    """

    def __init__(self, encoder: PreTrainedModel, settings: BaseSettings, given: Given):
        super().__init__()
        self.settings, self.given = settings, given
        self.generator = torch.Generator().manual_seed(given.seed)

    def rows(self) -> tuple[list[dict], list[dict]]:
        """Rows to train on, and rows whose loss is only told."""
        raise NotImplementedError

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        """Rows -> a batch: exactly the arguments of `forward`."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write what was trained, so that `loading.load_encoder` finds the encoder there."""
        raise NotImplementedError

    def schedule(self, rows: int) -> Schedule:
        """Epochs, batches and rates of a training on so many rows, as the settings say."""
        batch = min(self.settings.batch_size, rows)
        return Schedule.of(self.settings, batch_size=batch, clip_norm=1.0, drop_last=True)

    def callbacks(self) -> Sequence[TrainerCallback]:
        """What happens after each step (a teacher that follows, a queue)."""
        return ()

    def companions(self) -> Sequence[str]:
        """Names or prefixes of frozen parts that change in training, kept with a checkpoint."""
        return ()

    def optimizer(self) -> torch.optim.Optimizer | None:
        """An optimiser in AdamW's place."""
        return None

    def finish(self) -> None:
        """What is left to do once the last step is done."""

    def get_extra_state(self) -> Tensor:
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        self.generator.set_state(state.cpu())


def store_of(given: Given) -> EcgStore:
    """The store of an objective that learns from ECGs with reports.

    Raises
    ------
    ConfigError
        None is given.
    """
    if given.store is None:
        raise ConfigError("this objective learns from ECGs with reports: give it a prepared store")
    return given.store


def names() -> list[str]:
    """Every objective of this folder."""
    return sorted(file.stem for file in _FOLDER.glob("*.py") if _defines_one(file))


def _defines_one(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.ClassDef) and node.name == "Objective" for node in body)


def find(name: str) -> ModuleType:
    """The module of an objective: of a file of this folder, or by the dotted path of one's own.

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
            f"no objective {name!r}; choose {', '.join(names())}, or the dotted path of your own"
        ) from error
    for part in ("Settings", "Objective"):
        if not hasattr(module, part):
            raise ConfigError(f"objective {name!r}: {path} defines no {part}")
    return module


def settings(values: Mapping[str, Any], where: str = "objective") -> Any:
    """Validate a section of the configuration against the `Settings` of the objective it names.

    Parameters
    ----------
    values : the objective's `name`, and its hyperparameters by field
    where : their origin, the beginning of an error's line

    Raises
    ------
    ConfigError
        The name is missing or unknown; a field is unknown, missing, of the wrong type or of an
        impossible value.
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
    build_encoder: Callable[[], PreTrainedModel],
    settings: BaseSettings,
    given: Given,
    folder: Path,
) -> None:
    """Teach an encoder by an objective; save it and its `curve.csv` below `folder`.

    Parameters
    ----------
    build_encoder : makes an untrained encoder; called after the seed is set, and only where
        nothing is given to start from

    Raises
    ------
    DataError
        No ECG is left to learn from.
    """
    set_seed(given.seed)
    encoder = given.start.clip.ecg_encoder if given.start else build_encoder()
    learner = find(name).Objective(encoder, settings, given)
    if launched() > 1 and torch.cuda.is_available():  # SyncBatchNorm knows GPUs only
        nn.SyncBatchNorm.convert_sync_batchnorm(learner)
    train, valid = learner.rows()
    if not train:
        raise DataError(f"{name}: no ECG to learn from; is there a report of some words?")
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
