"""Make the questions of a profile: built from labels, read from ECG-QA, or both (notebook 03)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ecg_lib.data.folders import locate
from ecg_lib.data.prepare import find_cohort
from ecg_lib.data.store import EcgStore
from ecg_lib.disk import sweep, writing
from ecg_lib.errors import DataError
from ecg_lib.experiments.cohorts import source_folder
from ecg_lib.questions import reasoning_benchmark
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.draw import Sizes
from ecg_lib.questions.ecgqa_rows import expected_counts, keep_known, read_ecg_ids, read_ecgqa
from ecg_lib.questions.schema import SPLITS, empty_rows, write_split
from ecg_lib.questions.worlds import find_world
from ecg_lib.questions.worlds.world import World
from ecg_lib.sealed import SEAL, seal

_SPECIFIC, _CONSECUTIVE = (1, 23), (43, 44, 45, 46)  # ECG-QA's templates

if TYPE_CHECKING:
    from ecg_lib.config import Config
    from ecg_lib.experiments.experiment import Experiment


def make_questions(run: Experiment) -> dict[str, pd.DataFrame]:
    """Build question rows from labels and/or read them from ECG-QA; write all splits to disk."""
    config = run.config
    tables: dict[str, pd.DataFrame] = {}
    if config.questions.built:
        tables = built_questions(config, run.store)
    if config.questions.ecgqa:
        root = source_folder(config, "ecgqa")
        for split in SPLITS:
            tables[split] = _join(tables.get(split), _ecgqa_rows(root, split, run.store))
    folder = run.data("questions")
    with writing(folder):
        (folder / SEAL).unlink(missing_ok=True)
        sweep(folder)
        for split, rows in tables.items():
            write_split(rows, folder, split)
        seal(folder)
    return tables


def built_questions(config: Config, store: EcgStore) -> dict[str, pd.DataFrame]:
    """Build the question rows of all splits from labels, without writing them."""
    settings = config.questions
    world = find_world(settings.world, settings.strength)
    sizes = {
        split: _sizes(world, n, settings.comparisons)
        for split, n in zip(
            SPLITS, [settings.per_answer, *2 * [settings.per_answer_test]], strict=True
        )
    }
    return build_questions(store.records, sizes, world, config.seed, settings.templates or None)


def _sizes(world: World, per_answer: int, comparisons: float | None) -> Sizes:
    """Return a world's sizes; `comparisons` sets its comparisons as a share of other questions."""
    sizes = world.sizes(per_answer)
    if comparisons is None:
        return sizes
    n = max(1, round(per_answer * comparisons))
    return replace(sizes, comparison_verify=n, comparison_query=n)


def rows_by_world(run: Experiment) -> dict[str, pd.DataFrame]:
    """Return verify rows of the training split in every world, by title, to compare the worlds.

    Each world asks the same patients questions about one ECG that a single finding decides. The
    world of ECG-QA also asks consecutive comparisons. If the release is available, its own verify
    rows about one ECG are added.
    """
    config = run.config
    worlds = {
        "ecgqa": find_world("ecgqa"),
        "nature, strength 0": find_world("nature", 0.0),
        "nature, strength 1": find_world("nature", 1.0),
        "do(question)": find_world("do"),
    }

    def asked(world: World, templates: list[int]) -> pd.DataFrame:
        sizes = {split: world.sizes(config.questions.per_answer) for split in SPLITS}
        return build_questions(run.store.records, sizes, world, config.seed, templates)["train"]

    tables = {title: asked(world, list(_SPECIFIC)) for title, world in worlds.items()}
    tables["ecgqa, two ECGs in time"] = asked(worlds["ecgqa"], list(_CONSECUTIVE))
    if config.questions.ecgqa:
        own = _ecgqa_rows(source_folder(config, "ecgqa"), "train", run.store)
        assert own is not None  # only the other splits may be missing
        tables["ECG-QA's own rows"] = own[own["question_type"] == "single-verify"]
    return {title: rows for title, rows in tables.items() if len(rows)}


def _ecgqa_rows(root: Path, split: str, store: EcgStore) -> pd.DataFrame | None:
    try:
        rows = read_ecgqa(root, split=split)
    except DataError:
        if split == "train":
            raise
        return None  # a partial copy of ECG-QA may lack valid or test
    return keep_known(rows, set(store.records["ecg_id"]))[0]


def ecgqa_splits(config: Config) -> dict[str, str]:
    """Return the split of each ECG that ECG-QA lists; empty if the profile does not use ECG-QA."""
    if not config.questions.ecgqa:
        return {}
    root = source_folder(config, "ecgqa")
    return {e: s for s in SPLITS for e in read_ecg_ids(root, "ptbxl", s)}


def ecgqa_counts(run: Experiment) -> pd.DataFrame:
    """Count ECG-QA's rows per split: in the release, in the local copy, and kept.

    A row is kept if its ECGs are in the store. A split without local rows has no line, and the
    table is empty if the profile does not use ECG-QA.
    """
    config, lines = run.config, {}
    for split in SPLITS if config.questions.ecgqa else ():
        try:
            rows = read_ecgqa(source_folder(config, "ecgqa"), split=split)
        except DataError:
            continue
        known = keep_known(rows, set(run.store.records["ecg_id"]))[1]
        release = expected_counts(rows, "ptbxl", split)["expected"]
        lines[split] = {
            "in the release": release,
            "at hand": len(rows),
            "kept": known["kept"],
            "dropped": known["dropped"],
            "unknown ECGs": known["unknown_ecgs"],
        }
    return pd.DataFrame(lines).T


def benchmark_floor(run: Experiment) -> pd.DataFrame:
    """Return the accuracy that readers without an ECG reach on ECG-Reasoning-Benchmark.

    Columns are those of `ecg_lib.questions.reasoning_benchmark.question_floor`. The table is empty
    if the profile has no data folder, or the folder lacks the benchmark or PTB-XL's table.
    """
    root = run.config.data.root
    try:
        if not root:
            raise DataError("no data root")
        folder = locate(root, reasoning_benchmark.SIGNATURE, reasoning_benchmark.NAME)
        table = pd.read_csv(find_cohort(root, "ptbxl") / "ptbxl_database.csv")
    except DataError:
        return pd.DataFrame(columns=["kind", "reader", "n", "value", "ci_low", "ci_high"])
    patients = table["patient_id"].set_axis("ptbxl/" + table["ecg_id"].astype(str).str.zfill(5))
    rows = reasoning_benchmark.read_benchmark(folder / reasoning_benchmark.SIGNATURE)
    return reasoning_benchmark.question_floor(rows, patients, run.config.seed)


def _join(built: pd.DataFrame | None, real: pd.DataFrame | None) -> pd.DataFrame:
    """Join two question sets, shifting the ids of the second past those of the first."""
    parts = [part for part in (built, real) if part is not None and len(part)]
    if len(parts) == 2:
        second = parts[1].copy()
        for column in ("sample_id", "question_id"):
            second[column] += int(parts[0][column].max()) + 1
        parts[1] = second
    return pd.concat(parts, ignore_index=True) if parts else empty_rows()
