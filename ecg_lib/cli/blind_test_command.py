"""`debiased-ecg blind-test`: test whether a model looks at the ECG."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

HELP = "test whether a model's answers depend on the ECG"
DESCRIPTION = """Ask a model the same questions with the right ECG, another patient's, an equally
ill patient's, noise, a flat line and nothing, and judge it. Nothing is trained."""
EPILOG = """examples:
  debiased-ecg blind-test run --profile data/demo --model checkpoints/demo/stage2/de-biased
  debiased-ecg blind-test run --csv questions.csv --records records --python my_model:answer
  debiased-ecg blind-test run --benchmark ptbxl.jsonl --store stores/ptbxl
      --endpoint http://localhost:8000/v1 --endpoint-model llava --send image
  debiased-ecg blind-test export --ecgqa ecgqa --store stores/ptbxl --out questions
  debiased-ecg blind-test score questions --answers answers.jsonl --out result"""
_LIMITS = {  # option -> least and greatest value, and what it is
    "resamples": (2, 1_000_000, "a number"),
    "simulate": (1, 1_000_000, "a number of patients"),
    "max_rows": (0, 1_000_000_000, "a number of rows, or 0 for all,"),
    "seed": (0, 2**32 - 1, "a number"),
}
KEY_VARIABLE = "OPENAI_API_KEY"


def add_to(verb: argparse.ArgumentParser) -> None:
    """Add the verb's subcommands and their options to its parser."""
    raw = argparse.RawDescriptionHelpFormatter
    whats = verb.add_subparsers(dest="what", required=True, metavar="WHAT")

    run = whats.add_parser(
        "run",
        help="ask a model that can be called from here",
        formatter_class=raw,
        description="Ask a model and judge it. An interrupted run continues where it stopped.",
    )
    _add_questions(run)
    models = run.add_mutually_exclusive_group(required=True)
    models.add_argument("--model", metavar="DIR", help="folder of a saved ECG-LLM of this library")
    models.add_argument(
        "--python",
        metavar="MODULE:NAME",
        help="a function answer(ecgs, questions) -> texts, in a module on the path or in this "
        "folder",
    )
    models.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible endpoint")
    models.add_argument(
        "--known",
        choices=("always-no", "question-only", "ill-only", "true-labels"),
        help="a model whose verdict is known before, to see the test at work",
    )
    run.add_argument("--endpoint-model", metavar="NAME", help="name of the model there")
    run.add_argument(
        "--send",
        choices=("image", "numbers"),
        default="image",
        help=f"how the endpoint gets the ECG (default image); its key is read from {KEY_VARIABLE}",
    )
    _add_result(run)
    run.set_defaults(run=run_test)

    export = whats.add_parser(
        "export",
        help="write questions and ECGs for a model that runs elsewhere",
        formatter_class=raw,
        description="Write questions.jsonl, the ECGs that it names, and a key for `score`.",
    )
    _add_questions(export)
    export.add_argument("--out", metavar="DIR", required=True, help="an empty or new folder")
    export.add_argument("--pictures", action="store_true", help="each ECG also as PNG")
    export.set_defaults(run=run_export)

    score = whats.add_parser(
        "score",
        help="judge answers that were made elsewhere",
        formatter_class=raw,
        description='Judge JSON lines {"id": 0, "answer": "yes", "p_yes": 0.9}.',
    )
    score.add_argument("exported", metavar="DIR", help="the folder that `export` wrote")
    score.add_argument("--answers", metavar="FILE", required=True, help="JSON lines")
    _add_result(score)
    score.set_defaults(run=run_score)


def _add_result(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--name", help="the model's name in the table")
    verb.add_argument("--out", metavar="DIR", default="blind_test", help="(default blind_test)")
    verb.add_argument(
        "--resamples", type=int, default=1000, metavar="N", help="bootstrap draws (default 1000)"
    )


def _add_questions(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("questions (one of)")
    sets = group.add_mutually_exclusive_group(required=True)
    sets.add_argument("--profile", metavar="DIR", help="data folder of a finished profile")
    sets.add_argument("--ecgqa", metavar="DIR", help="an ECG-QA release; needs --store")
    sets.add_argument("--benchmark", metavar="FILE", help="ECG-Reasoning-Benchmark; needs --store")
    sets.add_argument(
        "--world", choices=("ecgqa", "nature", "do"), help="built from labels; needs --store"
    )
    sets.add_argument("--csv", metavar="FILE", help="record, question, answer, patient_id, ...")
    verb.add_argument("--store", metavar="DIR", help="a prepared store with the ECGs")
    verb.add_argument(
        "--simulate",
        type=int,
        metavar="N",
        help="with --world, if --store does not exist: fill it with N simulated patients",
    )
    verb.add_argument("--records", metavar="DIR", help="WFDB records of --csv (default: beside it)")
    verb.add_argument("--only", metavar="REGEX", help="only questions with this in their text")
    verb.add_argument("--split", default="test", help="of ECG-QA or a profile (default test)")
    verb.add_argument(
        "--max-rows", type=int, default=1000, metavar="N", help="rows drawn (default 1000; 0: all)"
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="of rows and donors")


def run_test(options: argparse.Namespace) -> None:
    """Ask a model and write the result."""
    from ecg_lib.blind_test.run import blind_test

    _check(options)
    questions = _questions(options)
    result = blind_test(
        _model(options, questions),
        questions,
        options.out,
        name=options.name,
        max_rows=options.max_rows or None,
        seed=options.seed,
        resamples=options.resamples,
    )
    _tell(result, options.out)


def run_export(options: argparse.Namespace) -> None:
    """Write questions, ECGs and key."""
    from ecg_lib.blind_test.blind_plan import Plan
    from ecg_lib.blind_test.exchange import export
    from ecg_lib.errors import DataError

    _check(options)
    if Path(options.out).exists() and any(Path(options.out).iterdir()):
        raise DataError(f"--out {options.out}: the folder is not empty; give a new one")
    questions = _questions(options)
    plan = Plan.of(questions, options.max_rows or None, options.seed)
    file = export(questions, plan, options.out, options.pictures)
    print(
        f"{len(plan.requests):,} questions in {file}; keep {Path(options.out) / 'key'} to yourself"
    )


def run_score(options: argparse.Namespace) -> None:
    """Judge answers that were made elsewhere."""
    from ecg_lib.blind_test.exchange import score

    _check(options)
    result = score(options.exported, options.answers, options.name or "model", options.resamples)
    result.write(options.out)
    _tell(result, options.out)


def _check(options: argparse.Namespace) -> None:
    from ecg_lib.errors import DataError

    for name, (low, high, what) in _LIMITS.items():
        value = getattr(options, name, None)
        if value is not None and not low <= value <= high:
            option = f"--{name.replace('_', '-')}"
            raise DataError(f"{option} is {value}; give {what} from {low} to {high:,}")


def _questions(options: argparse.Namespace):
    questions = _all_questions(options)
    return questions.only(options.only) if options.only else questions


def _all_questions(options: argparse.Namespace):
    from ecg_lib.blind_test import sources
    from ecg_lib.data.write_store import open_whole
    from ecg_lib.errors import DataError

    if options.profile:
        return sources.from_profile(options.profile, options.split)
    if options.csv:
        return sources.from_csv(options.csv, options.records)
    if not options.store:
        raise DataError("--store is missing; name a prepared store with the ECGs")
    if options.world and options.simulate and not Path(options.store).exists():
        from ecg_lib.data.simulated.cohort import SimulatedCohort
        from ecg_lib.data.write_store import write_store

        write_store(options.store, SimulatedCohort(options.simulate, options.seed))
    store = open_whole(options.store)
    if options.ecgqa:
        return sources.from_ecgqa(options.ecgqa, store, options.split)
    if options.benchmark:
        return sources.from_benchmark(options.benchmark, store)
    return sources.from_world(options.world, store, seed=options.seed, split=options.split)


def _model(options: argparse.Namespace, questions):
    from ecg_lib.errors import DataError

    if options.known:
        from ecg_lib.blind_test.blind_models import KNOWN

        return KNOWN[options.known](questions)
    if options.model:
        from transformers.utils import logging

        from ecg_lib.blind_test.our_model import OurModel

        logging.disable_progress_bar()
        return OurModel.load(options.model)
    if options.endpoint:
        from ecg_lib.blind_test.endpoint import Endpoint

        if not options.endpoint_model:
            raise DataError("--endpoint-model is missing: name the model at the endpoint")
        key = os.environ.get(KEY_VARIABLE)
        return Endpoint(options.endpoint, options.endpoint_model, options.send, questions.rate, key)
    module, _, name = options.python.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name or "answer")
    except (Exception, SystemExit) as error:  # whatever the user's module does
        raise DataError(
            f"--python {options.python}: cannot be imported ({type(error).__name__}: {error}); "
            "name a module on the path or in this folder"
        ) from error
    if not callable(found):
        raise DataError(f"--python {options.python}: name a function answer(ecgs, questions)")
    return found


def _tell(result, out: str) -> None:
    from ecg_lib.blind_test.blind_report import wide
    from ecg_lib.blind_test.weighing import ALL, DO, WITHIN

    table = wide(result.table)
    print(table[[name for name in (ALL, DO, WITHIN) if name in table]].to_string())
    print(f"\n{result.verdict}\nTable, figure and replies are in {out}.")
