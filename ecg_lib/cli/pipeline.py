"""`python -m ecg_lib.cli.pipeline`: generate the pipeline files and run their stages.

Without a verb it writes dvc.yaml and pipelines/*/dvc.yaml from the notebooks' metadata and
code. `code` is a separate stage that DVC runs first. It writes a hash of each stage's code, without
comments and docstrings, to code/STAGE.txt. Editing a comment therefore reruns nothing, and editing
a function reruns only the stages that use it. `make paper` calls `run`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable

from ecg_lib import paths
from ecg_lib.config import load_config
from ecg_lib.disk import write_file
from ecg_lib.errors import EcgLibError
from ecg_lib.stages import MAIN, Stage, all_stages, needs, pipelines

CODE = "code"  # the first stage, and the folder it writes
_HEAD = """\
# Generated from the notebooks by `python -m ecg_lib.cli.pipeline`; edits here are lost.
# Stages carry the profile in their name (01_data@demo), so that DVC remembers each profile.
"""
_PROFILE, _PUBLISHED = "${profile}", "results/published"
_METRICS = "metrics.json"
_PLOTS = """
plots:
  - results/${profile}/random_ecg_differences.csv:
      template: drops
      x: value
      y: row
      x_label: points of accuracy
      title: Accuracy lost with a random ECG (${profile})
"""


def pipeline_files() -> dict[str, str]:
    """Return the file of each pipeline, relative to the checkout."""
    return {
        name: "dvc.yaml" if name == MAIN else f"pipelines/{name}/dvc.yaml" for name in pipelines()
    }


def rendered(pipeline: str) -> str:
    """Return the text of a pipeline's dvc.yaml."""
    own = [stage for stage in all_stages().values() if stage.pipeline == pipeline]
    main = pipeline == MAIN
    lines = [] if main else ["vars: [../../params.yaml]", ""]
    lines += ["stages:"]
    if main:
        lines += [
            f"  {CODE}:",
            "    desc: Hash of each stage's code, without comments",
            "    cmd: python -m ecg_lib.cli.pipeline code",
            "    always_changed: true",
            "    outs:",
            *(f"      - {_code(name)}: {{cache: false}}" for name in all_stages()),
        ]
    for stage in own:
        lines += [*([""] if lines[-1] != "stages:" else []), *_lines(stage)]
    return _HEAD + "\n".join(lines) + "\n" + (_PLOTS if main else "")


def _lines(stage: Stage) -> Iterable[str]:
    main = stage.pipeline == MAIN
    profiles = f'["{_PROFILE}"]' if main else f'"${{stages.{stage.key}}}"'
    yield f"  {stage.name}:"
    yield f"    matrix: {{profile: {profiles}}}"
    yield f"    desc: {json.dumps(stage.desc, ensure_ascii=False)}"
    yield from [] if main else ["    wdir: ../.."]
    yield f"    cmd: {stage.command}"
    yield "    deps:"
    yield from (f"      - {dep}" for dep in _deps(stage))
    yield f"    params: [{', '.join(sorted(stage.sections))}]"
    yield "    outs:"
    if stage.notebook:
        yield f"      - executed/{_PROFILE}/{stage.name}.ipynb"
    for folder in stage.makes:
        kept = ": {persist: true}" if folder.startswith("checkpoints/") else ""
        yield f"      - {_of_profile(folder)}{kept}"
    tables = [f"{name}.{end}" for name in stage.tables for end in ("csv", "md")]
    files = [f"results/{_PROFILE}/{name}" for name in [*tables, *stage.writes]]
    files += [f"figures/{_PROFILE}/{name}.png" for name in stage.figures]
    metrics = [file for file in files if file.endswith(f"/{_METRICS}")]
    yield from (f"      - {file}: {{cache: false}}" for file in files if file not in metrics)
    yield from ["    metrics:"] if metrics else []
    yield from (f"      - {file}: {{cache: false}}" for file in metrics)


def _deps(stage: Stage) -> list[str]:
    found = [f"notebooks/{stage.notebook}.ipynb"] if stage.notebook else []
    found += [_code(stage.name), *([_PUBLISHED] if stage.reads_published else [])]
    found += [_of_profile(folder) for folder in needs(stage)]
    return found + [f"results/{_PROFILE}/{table}.csv" for table in stage.reads]


def _of_profile(folder: str) -> str:
    """Insert the profile into a path: data/cohorts -> data/${profile}/cohorts."""
    room, _, name = folder.partition("/")
    return f"{room}/{_PROFILE}/{name}"


def _code(name: str) -> str:
    return f"{CODE}/{name}.txt"


def write() -> None:
    """Write the pipeline files (dvc.yaml)."""
    for pipeline, file in pipeline_files().items():
        path = paths.ROOT / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, rendered(pipeline))


def write_code() -> None:
    """Write the hash of each stage's code to code/STAGE.txt."""
    folder, profile = paths.ROOT / CODE, load_config().as_dict()
    for stage in all_stages().values():
        write_file(folder / f"{stage.name}.txt", stage.code_hash(profile) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Write the pipeline files from the notebooks, hash the code of the stages, or run them."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_lib.cli.pipeline", description=main.__doc__
    )
    parser.add_argument("verb", nargs="?", choices=("write", "code", "run"), default="write")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1 if shutil.which("nvidia-smi") else 2,
        help="stages to run at once, each with its share of the cores (default: 2, or 1 on a GPU)",
    )
    parser.add_argument(
        "--pipeline",
        choices=[name for name in pipelines() if name != MAIN],
        help="run only this pipeline and what it needs",
    )
    options = parser.parse_args(arguments)
    try:
        if options.verb == "run":
            from ecg_lib.cli.run_stages import run_all  # imports DVC, which takes a second

            run_all(options.jobs, options.pipeline)
        elif options.verb == "code":
            write_code()
        else:
            write()
    except EcgLibError as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
