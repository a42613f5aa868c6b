"""transformers' Trainer with the habits that all trainings here share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from ecg_lib.training.averaging import Averaging

WEIGHTS = "model.safetensors"


class Rows(torch.utils.data.Dataset):
    """A list of prepared rows (dictionaries); those with `input_ids` can be grouped by length."""

    def __init__(self, rows: Sequence[dict]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.rows[index]


class Progress(TrainerCallback):
    """One bar a training, with the latest loss, instead of a printed line a log entry."""

    def __init__(self, title: str):
        self.title, self.bar = title, None

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.title)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.bar is not None and logs and "loss" in logs:
            self.bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


class _Trainer(Trainer):
    """Checkpoints hold trainable weights only: a frozen 7B model is not written every epoch."""

    def _trainable(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        kept = {name for name, p in model.named_parameters() if p.requires_grad}
        kept |= {name for name, _ in model.named_buffers()}  # batch-norm statistics
        return {n: v.contiguous() for n, v in model.state_dict().items() if n in kept}

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._trainable(self.accelerator.unwrap_model(self.model)), folder / WEIGHTS)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """The held-out loss, of any model that gives one: labels may have any name, or none."""
        with torch.no_grad():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach().mean(), None, None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        target = self.accelerator.unwrap_model(model or self.model)
        target.load_state_dict(load_file(Path(resume_from_checkpoint) / WEIGHTS), strict=False)


def fit(
    model: torch.nn.Module,
    rows: Sequence[dict],
    collate: Callable,
    folder: Path,
    *,
    epochs: float,
    batch_size: int,
    learning_rate: float,
    weight_decay: float = 1e-4,
    warmup: float = 0.1,
    seed: int = 42,
    bf16: bool = False,
    group_by_length: bool = False,
    valid: Sequence[dict] | None = None,
    clip_norm: float = 0.0,
    drop_last: bool = False,
    average: float = 0.0,
    in_order: bool = False,
    optimizer: torch.optim.Optimizer | None = None,
) -> pd.DataFrame:
    """Train in place: AdamW, cosine with warm-up; return the learning curve.

    An interrupted run resumes from its last epoch in `folder`.

    Parameters
    ----------
    average : above 0, the rate stays constant after the warm-up and the weights become the mean
        over this share of the steps, the last ones; batch norm is then the caller's to renew.
    in_order : rows are taken as they come, not shuffled.
    optimizer : in AdamW's place; it brings its own decay.

    Returns
    -------
    DataFrame with columns step, epoch, loss, learning_rate and, where `valid` is given, valid_loss.
    """
    work = Path(folder) / "trainer"
    steps = max(1, int(epochs * len(rows) / batch_size))
    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        lr_scheduler_type="constant_with_warmup" if average else "cosine",
        warmup_steps=warmup,
        max_grad_norm=clip_norm,
        bf16=bf16,
        seed=seed,
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=max(1, steps // 40),
        eval_strategy="epoch" if valid else "no",
        prediction_loss_only=True,
        train_sampling_strategy="sequential"
        if in_order
        else "group_by_length"
        if group_by_length
        else "random",
        remove_unused_columns=False,
        label_names=[],
        report_to=[],
        dataloader_drop_last=drop_last,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
        log_level="error",
        disable_tqdm=True,
    )
    averaging = Averaging(average)
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=Rows(rows),
        eval_dataset=Rows(valid) if valid else None,
        data_collator=collate,
        optimizers=(optimizer, None),
        callbacks=[
            Progress(Path(folder).name.removesuffix(".partial")),
            *([averaging] if average else []),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    last = get_last_checkpoint(str(work)) if work.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    averaging.apply(model)
    shutil.rmtree(work, ignore_errors=True)  # only needed to resume
    model.eval()
    return curve(trainer.state.log_history)


def curve(log_history: Sequence[dict]) -> pd.DataFrame:
    """The Trainer's log as one tidy table."""
    frame = pd.DataFrame(log_history).rename(columns={"eval_loss": "valid_loss"})
    columns = [c for c in ("step", "epoch", "loss", "learning_rate", "valid_loss") if c in frame]
    keep = [c for c in ("loss", "valid_loss") if c in frame]
    return frame.dropna(subset=keep, how="all")[columns].reset_index(drop=True)
