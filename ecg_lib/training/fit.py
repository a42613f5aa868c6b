"""The training loop of this library: transformers' Trainer with settings that all runs share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from ecg_lib.training.averaging import Averaging

WEIGHTS = "model.safetensors"
_EXTRA_STATE = "_extra_state"  # torch's name for what `get_extra_state` returns
_ORDERS = MappingProxyType(
    {"random": "random", "by length": "group_by_length", "as given": "sequential"}
)


class Progress(TrainerCallback):
    """One progress bar per training run with the latest loss, instead of printed log entries."""

    def __init__(self, title: str):
        self.title, self.bar = title, None

    def on_train_begin(self, args, state, control, **kwargs):
        """Open the bar."""
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.title)

    def on_step_end(self, args, state, control, **kwargs):
        """Move the bar to the current step."""
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Show the latest loss."""
        if self.bar is not None and logs and "loss" in logs:
            self.bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        """Close the bar."""
        self.bar.close()


@dataclass(frozen=True)
class Schedule:
    """Length, batches, learning rate and order of a training run."""

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float = 1e-4
    warmup: float = 0.1  # share of the steps
    bf16: bool = False
    clip_norm: float = 0.0  # largest norm of the gradient; 0 = no clipping
    average: float = 0.0  # final share of the steps to average; above 0: constant learning rate
    order: str = "random"  # or "by length" (rows with `input_ids`), or "as given"
    drop_last: bool = False

    @classmethod
    def of(cls, settings: Any, **more: Any) -> Schedule:
        """Take each field from `settings` if they have it; `more` adds or replaces fields."""
        names = [field.name for field in fields(cls)]
        return cls(**{n: getattr(settings, n) for n in names if hasattr(settings, n)} | more)


class _Trainer(Trainer):
    """A Trainer whose checkpoints hold only what training changes.

    A frozen 7B model is thus not written every epoch. A checkpoint holds the trainable weights, the
    buffers (batch-norm statistics), a module's extra state (a random generator) and the frozen
    companions that a module names, such as a teacher that follows the student as a moving average.
    """

    def _changing(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        kept = {name for name, p in model.named_parameters() if p.requires_grad}
        kept |= {name for name, _ in model.named_buffers()}
        companions = getattr(model, "companions", tuple)
        more = tuple(companions())
        return {
            name: value.contiguous()
            for name, value in model.state_dict().items()
            if name in kept or name.endswith(_EXTRA_STATE) or name.startswith(more)
        }

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        place = output_dir or self.args.output_dir
        assert place is not None  # `fit` names a folder
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._changing(self.accelerator.unwrap_model(self.model)), folder / WEIGHTS)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Compute the validation loss of any model that returns one, whatever its labels' names."""
        with torch.no_grad():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach().mean(), None, None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        target = self.accelerator.unwrap_model(model or self.model)
        target.load_state_dict(load_file(Path(resume_from_checkpoint) / WEIGHTS), strict=False)


def fit(
    module: torch.nn.Module,
    rows: Sequence[dict],
    collate: Callable,
    folder: Path,
    schedule: Schedule,
    *,
    valid: Sequence[dict] = (),
    seed: int = 42,
    callbacks: Sequence[TrainerCallback] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> pd.DataFrame:
    """Train a module in place and return its learning curve.

    The default is AdamW with warm-up and a cosine schedule. An interrupted run resumes from its
    last epoch, whose checkpoint is in `folder`.

    Parameters
    ----------
    module : nn.Module
        Its forward takes what `collate` returns, and returns a `loss`. Its method `companions`, if
        any, names prefixes of frozen weights that change in training, to be kept in checkpoints.
    rows : sequence of dict
    collate : callable
        Turns rows into a batch.
    folder : Path
    schedule : Schedule
    valid : sequence of dict, optional
        Rows whose loss is recorded in the curve and has no effect on training.
    seed : int
    callbacks : sequence of TrainerCallback, optional
        Called after each step of the optimiser, with the module as `model`.
    optimizer : Optimizer, optional
        Used instead of AdamW, with its own weight decay.

    Returns
    -------
    DataFrame
        Columns step, epoch, loss, learning_rate and, if `valid` is given, valid_loss.
    """
    work = Path(folder) / "trainer"
    steps = max(1, int(schedule.epochs * len(rows) / schedule.batch_size))
    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=schedule.batch_size,
        per_device_eval_batch_size=schedule.batch_size,
        num_train_epochs=schedule.epochs,
        learning_rate=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        lr_scheduler_type="constant_with_warmup" if schedule.average else "cosine",
        warmup_steps=schedule.warmup,
        max_grad_norm=schedule.clip_norm,
        bf16=schedule.bf16,
        seed=seed,
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=max(1, steps // 40),
        eval_strategy="epoch" if valid else "no",
        prediction_loss_only=True,
        train_sampling_strategy=_ORDERS[schedule.order],
        remove_unused_columns=False,
        label_names=[],
        report_to=[],
        dataloader_drop_last=schedule.drop_last,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
        log_level="error",
        disable_tqdm=True,
    )
    averaging = [Averaging(schedule.average)] if schedule.average else []
    trainer = _Trainer(
        model=module,
        args=arguments,
        train_dataset=rows,
        eval_dataset=valid or None,
        data_collator=collate,
        optimizers=(optimizer, None),
        callbacks=[Progress(Path(folder).name.removesuffix(".partial")), *averaging, *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    last = get_last_checkpoint(str(work)) if work.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    for one in averaging:
        one.apply(module)
    shutil.rmtree(work, ignore_errors=True)  # checkpoints are only needed to resume
    module.eval()
    return curve(trainer.state.log_history)


def curve(log_history: Sequence[dict]) -> pd.DataFrame:
    """Return the Trainer's log as one tidy table."""
    frame = pd.DataFrame(log_history).rename(columns={"eval_loss": "valid_loss"})
    columns = [c for c in ("step", "epoch", "loss", "learning_rate", "valid_loss") if c in frame]
    keep = [c for c in ("loss", "valid_loss") if c in frame]
    return frame.dropna(subset=keep, how="all")[columns].reset_index(drop=True)
