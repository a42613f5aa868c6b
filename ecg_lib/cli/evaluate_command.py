"""`debiased-ecg evaluate`: measure a saved encoder on a prepared store."""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from ecg_lib.cli import released_options
from ecg_lib.disk import write_file

HELP = "measure a saved encoder on a prepared store"
DESCRIPTION = """Measure a saved encoder on the ECGs of prepared stores. Every value is an AUC in
percent with a 95 % interval over patients; n counts ECGs that have the label."""
EPILOG = """examples:
  debiased-ecg evaluate zero-shot --model checkpoints/ptbxl/encoder/clip --cohort stores/ludb
  debiased-ecg evaluate linear-probe --model checkpoints/ptbxl/encoder/clip
      --train stores/ptbxl --test stores/ptbxl --share 0.01 0.1 1 --seeds 0 1 2 --baseline
  debiased-ecg evaluate linear-probe --task findings --model checkpoints/ptbxl/encoder/clip
      --train stores/ptbxl --test stores/ludb
  debiased-ecg evaluate linear-probe --task ptbxl_sub --released MERL/finetune/data_split
      --model checkpoints/ptbxl/encoder/clip --train stores/ptbxl --test stores/ptbxl
  debiased-ecg evaluate transfer --reader checkpoints/ptbxl/simulated/mv-0
      --cohort stores/ptbxl --out simulated_to_real.csv"""
_MOST_RESAMPLES, _MOST_EPOCHS = 1_000_000, 10_000
_MODEL = "folder of a saved CLIP or reader (notebook 02)"


def add_to(verb: argparse.ArgumentParser) -> None:
    """Add the verb's subcommands and their options to its parser."""
    raw = argparse.RawDescriptionHelpFormatter
    whats = verb.add_subparsers(dest="what", required=True, metavar="WHAT")

    transfer = whats.add_parser(
        "transfer",
        help="transfer from simulated to recorded ECGs",
        formatter_class=raw,
        description="Measure how an encoder trained on simulated ECGs alone reads "
        "recorded ones: each finding, by its supervised head and by text.",
    )
    transfer.add_argument(
        "--reader",
        required=True,
        action="append",
        metavar="DIR",
        help="folder of a saved reader; several are averaged (seeds)",
    )
    transfer.add_argument("--cohort", required=True, metavar="STORE", help="a prepared store")

    zero = whats.add_parser(
        "zero-shot",
        help="score labels by their texts",
        formatter_class=raw,
        description="Measure how well each ECG fits the texts of each label, by default as in "
        "CLIP's row of Table 4. Labels that the cohort cannot have are left out.",
    )
    zero.add_argument("--model", required=True, metavar="DIR", help=_MODEL)
    zero.add_argument("--cohort", required=True, metavar="STORE", help="a prepared store")
    zero.add_argument(
        "--prompt",
        default="{label}",
        metavar="TEXT",
        help="text with {label} in it (default: the bare label)",
    )
    zero.add_argument(
        "--trained",
        metavar="STORE",
        help="a prepared store that the model was trained on; tells how many of its ECGs the "
        "cohort holds, also under other names",
    )
    zero.add_argument(
        "--part",
        choices=("whole", "test"),
        default="whole",
        help="ECGs of the store: all that belong to the task, or its test part (default whole)",
    )
    _add_task(zero, "table4")

    probe = whats.add_parser(
        "linear-probe",
        help="logistic regression on frozen tokens",
        formatter_class=raw,
        description="Fit a logistic regression on the standardised [CLS], mean and maximum of "
        "the tokens. If --train and --test name one store, the task divides it: by PTB-XL's folds "
        "(9 and 10 for testing) or by its splits. The controls are the same regression on a random "
        "frozen encoder, and an encoder trained from scratch on the same labels.",
    )
    probe.add_argument("--model", required=True, metavar="DIR", help=f"{_MODEL}, or an ECG-LLM")
    probe.add_argument("--train", required=True, metavar="STORE", help="a prepared store")
    probe.add_argument(
        "--test", required=True, metavar="STORE", help="a prepared store, the same or another"
    )
    _add_task(probe, "superclasses")
    probe.add_argument(
        "--share",
        type=float,
        nargs="+",
        default=[0.01, 0.1, 1.0],
        metavar="S",
        help="shares of the training patients (default 0.01 0.1 1)",
    )
    probe.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        metavar="N",
        help="seeds that draw the patients of a share below 1; averaged (default 0 1 2)",
    )
    probe.add_argument(
        "--draw",
        choices=(released_options.PATIENTS, released_options.RELEASED),
        default=released_options.PATIENTS,
        help="what a share draws: patients, balanced by label (default), or records at random as "
        "in MERL's released code, once and with its seed",
    )
    probe.add_argument(
        "--baseline",
        action="store_true",
        help="also fit gradient boosting on hand-made features (20 ms per ECG)",
    )
    probe.add_argument(
        "--epochs",
        type=int,
        default=8,
        metavar="N",
        help="epochs of the encoder trained from scratch, the slow part (default 8; 0 skips it)",
    )

    for what, run in ((transfer, run_transfer), (zero, run_zero_shot), (probe, run_linear_probe)):
        what.add_argument("--out", metavar="FILE", help="also write the table as CSV")
        what.add_argument(
            "--resamples",
            type=int,
            default=1000,
            metavar="N",
            help="bootstrap draws (default 1000)",
        )
        what.set_defaults(run=run)

    defects = whats.add_parser(
        "label-defects",
        help=released_options.HELP,
        formatter_class=raw,
        description=released_options.DESCRIPTION,
    )
    released_options.add_defects(defects)
    defects.set_defaults(run=run_label_defects)


def _add_task(verb: argparse.ArgumentParser, default: str) -> None:
    verb.add_argument(
        "--task",
        "--labels",
        default=default,
        metavar="NAME",
        help=f"a file of ecg_lib/evaluation/tasks: labels, texts, split (default {default})",
    )
    released_options.add_files(verb)


def run_transfer(options: argparse.Namespace) -> None:
    """Measure how encoders trained on simulated ECGs read the findings of recorded ones."""
    from ecg_lib.data.write_store import open_whole
    from ecg_lib.errors import DataError
    from ecg_lib.evaluation.transfer import transfer_table
    from ecg_lib.objectives.findings_and_text import FindingsAndText
    from ecg_lib.sealed import checked

    for folder in options.reader:
        if not (Path(folder) / "findings.json").is_file():
            raise DataError(
                f"--reader {folder}: no findings.json there; give the folder that "
                "notebook 02 saved, e.g. checkpoints/demo/simulated/mv-0"
            )
    _check(options)
    store = open_whole(options.cohort)
    readers = [
        FindingsAndText.from_pretrained(checked(folder, "train it again"))
        for folder in options.reader
    ]
    scaled = {reader.clip.ecg_encoder.config.ecg_input.normalisation for reader in readers}
    if len(scaled) > 1:
        raise DataError(
            f"--reader: the readers were trained with {' and '.join(sorted(scaled))}; "
            "give readers that share one normalisation"
        )
    title = store.manifest["source"]
    table = transfer_table(
        {scaled.pop(): readers}, {title: store}, options.resamples, seed=0, min_positives=10
    )
    _show(table, options.out)


def run_zero_shot(options: argparse.Namespace) -> None:
    """Measure how well text prompts rank the ECGs of a store for each label."""
    import numpy as np
    import pandas as pd
    import torch

    from ecg_lib.data.write_store import open_whole
    from ecg_lib.errors import DataError
    from ecg_lib.evaluation.label_prompt import check_prompt, filled
    from ecg_lib.evaluation.macro_means import mean_cells
    from ecg_lib.evaluation.probe import encoder_features
    from ecg_lib.evaluation.text_scores import text_scores
    from ecg_lib.evaluation.zero_shot import auc_table, share_seen
    from ecg_lib.objectives.loading import load_clip

    _check(options)
    check_prompt(options.prompt, "--prompt")
    task = released_options.chosen(_task(options.task), options)
    store = open_whole(options.cohort)
    released_options.tell(task, store)
    asked = options.part == "test"
    rows = task.test_rows(store) if asked else np.flatnonzero(task.members(store.records))
    if not len(rows):
        kind = "test ECG" if asked else "ECG"
        raise DataError(
            f"--cohort {store.folder}: no {kind} of task {task.name}; give another store"
        )
    records = store.records.iloc[rows]
    if options.trained:
        ids, known = records["ecg_id"], open_whole(options.trained)
        share = share_seen(store, ids.tolist(), known, known.records["ecg_id"].tolist())
        if share:
            told = f"{round(share * len(ids)):,} of {len(ids):,} ECGs of {store.folder} are also in"
            print(f"warning: {told} {known.folder}: the model has seen them", file=sys.stderr)
    clip, tokenizer = load_clip(options.model)
    targets = task.targets(records)
    texts = {
        label: [filled(options.prompt, text) for text in texts]
        for label, texts in task.prompts.items()
        if targets[label].notna().any()
    }
    features = encoder_features(store, clip.ecg_encoder, rows)
    cls = torch.from_numpy(features[:, : clip.ecg_encoder.config.width])
    scores = text_scores(cls, clip, tokenizer, texts)
    patients = records["patient_id"]
    table = auc_table(scores, targets, options.resamples, 0, 10, patients)
    cells = table.rename(columns={"column": "label"}).to_dict("records")
    sure = [label for label in scores if targets[label].notna().all()]
    means = mean_cells(
        *(targets[sure].to_numpy(bool), scores[sure].to_numpy()[None], task.means),
        *(options.resamples, 0, patients),
    )
    _show(pd.DataFrame([*means, *cells]), options.out)


def run_linear_probe(options: argparse.Namespace) -> None:
    """Probe an encoder and its controls, and hand-made features on request."""
    import pandas as pd

    from ecg_lib.data.write_store import open_whole
    from ecg_lib.errors import DataError
    from ecg_lib.evaluation.probe import Draw, drawn_rows, part_of, probe_table
    from ecg_lib.evaluation.released_draw import SEED, released_draw
    from ecg_lib.experiments.controls import readings
    from ecg_lib.objectives.loading import load_encoder

    _check(options)
    if not all(0 < share <= 1 for share in options.share):
        raise DataError(f"--share is {options.share}; give shares above 0 and up to 1")
    if not all(0 <= seed < 2**32 for seed in options.seeds):
        raise DataError(f"--seeds is {options.seeds}; give numbers from 0 to {2**32 - 1}")
    if not 0 <= options.epochs <= _MOST_EPOCHS:
        raise DataError(f"--epochs is {options.epochs}; give 0 to {_MOST_EPOCHS:,}")
    train = open_whole(options.train)
    test = train if Path(options.test) == Path(options.train) else open_whole(options.test)
    task = released_options.chosen(_task(options.task), options)
    released_options.tell(task, train, test)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        stores, rows, tables = (train, test), task.rows(train, test), []
    for line in told:
        print(f"warning: {line.message}", file=sys.stderr)
    draw: Draw = drawn_rows
    seeds = options.seeds
    if options.draw == released_options.RELEASED:
        draw, seeds = released_draw(task, train.records.iloc[rows[0]]), [SEED]
    encoder = load_encoder(options.model)
    for name, (features, reading) in readings(
        encoder, stores, rows, options.epochs, options.baseline
    ).items():
        known, asked = (
            part_of(store, own, features(store, own), task)
            for store, own in zip(stores, rows, strict=True)
        )
        drawn = options.share, seeds, options.resamples
        table = probe_table(known, asked, *drawn, reading=reading, draw=draw, means=task.means)
        tables.append(table.assign(reading=name))
    _show(pd.concat(tables, ignore_index=True), options.out)


def run_label_defects(options: argparse.Namespace) -> None:
    """Show what the defects of published label files are worth."""
    _show(released_options.defects(options), options.out)


def _task(name: str) -> Any:
    """Load an evaluation set; what its reader trips over becomes one line."""
    import yaml

    from ecg_lib.errors import DataError, EcgLibError
    from ecg_lib.evaluation.task import load_task

    try:
        return load_task(f"{name}.yaml")
    except EcgLibError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"--task {name}: {name}.yaml cannot be read ({told}); mend it") from error


def _check(options: argparse.Namespace) -> None:
    from transformers.utils import logging

    from ecg_lib.errors import DataError

    logging.disable_progress_bar()
    if not 2 <= options.resamples <= _MOST_RESAMPLES:
        raise DataError(f"--resamples is {options.resamples}; give 2 to {_MOST_RESAMPLES:,}")


def _show(table: Any, out: str | None) -> None:
    """Print a table; with `out`, also write it atomically as CSV."""
    if out:
        write_file(out, partial(table.to_csv, index=False))
    decimals = dict.fromkeys(("value", "ci_low", "ci_high", "ceiling"), 1)
    print(table.round(decimals).to_string(index=False))
