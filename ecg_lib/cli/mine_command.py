"""`debiased-ecg mine`: find the entities that reports assert, as labels for pre-training."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HELP = "find the entities that reports assert, as labels for pre-training"
DESCRIPTION = """Mine the reports of prepared stores, or of a text file with one report on each
line, by the library's lexicon or by a language model behind an OpenAI-compatible endpoint. The
folder then holds entities.json, labels.parquet and mentions.parquet. The model's answers are kept
and not asked for again, so that an interrupted run goes on, and a finished one repeats
without it."""
EPILOG = """examples:
  debiased-ecg mine --store stores/ptbxl --out entities/ptbxl
  debiased-ecg mine --text reports.txt --out entities/mine --endpoint http://localhost:8000/v1
      --endpoint-model Llama-3.1-70B-Instruct --key-variable MY_KEY"""


def add_to(verb: argparse.ArgumentParser) -> None:
    """Add the verb's options to its parser."""
    sources = verb.add_mutually_exclusive_group(required=True)
    sources.add_argument("--store", metavar="DIR", action="append", help="may be given repeatedly")
    sources.add_argument("--text", metavar="FILE", help="UTF-8, one report on each line")
    verb.add_argument("--out", metavar="DIR", required=True, help="folder of the entities")
    verb.add_argument("--endpoint", metavar="URL", help="up to and without /chat/completions")
    verb.add_argument(
        "--endpoint-model",
        metavar="NAME",
        help="name of the model there; without --endpoint, answers that were kept are used",
    )
    verb.add_argument("--key-variable", metavar="NAME", help="environment variable with the key")
    verb.add_argument(
        "--answers", metavar="FILE", help="where answers are kept (default OUT/answers.jsonl)"
    )
    verb.add_argument("--timeout", type=float, default=120.0, metavar="S", help="(default 120)")
    verb.add_argument("--tries", type=int, default=3, metavar="N", help="(default 3)")
    verb.add_argument("--workers", type=int, default=4, metavar="N", help="requests at once")
    verb.add_argument("--no-verify", action="store_true", help="leave out the second request")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Mine the reports and print a summary."""
    from ecg_lib.entities.mining import mine_to_folder

    reports = _reports(options)
    asker = _asker(options)
    entities = mine_to_folder(reports, options.out, asker, not options.no_verify)
    distinct = len({report for report in reports if report.strip()})
    above = len(entities.superclass)
    print(
        f"{len(entities.names)} entities, {above} of them superclasses, from {distinct:,} reports"
    )
    if asker is not None and (dropped := sum(asker.unreadable.values())):
        print(f"{dropped} answers could not be read and were dropped")
    print(f"saved in {options.out}")


def _reports(options: argparse.Namespace) -> list[str]:
    from ecg_lib.data.source_files import read_text
    from ecg_lib.data.write_store import open_whole

    if options.text:
        return read_text(options.text, "a text file with one report on each line").splitlines()
    return [text for store in options.store for text in open_whole(store).records["report"]]


def _asker(options: argparse.Namespace):
    from ecg_lib.chat_endpoint import ChatEndpoint
    from ecg_lib.entities.asker import Asker
    from ecg_lib.errors import DataError

    if not options.endpoint_model:
        if options.endpoint:
            raise DataError("--endpoint-model is missing: name the model at the endpoint")
        return None
    for option, value in (("timeout", options.timeout), ("tries", options.tries)):
        if not value > 0:
            raise DataError(f"--{option} is {value}; give more than 0")
    if not 1 <= options.workers <= 256:
        raise DataError(f"--workers is {options.workers}; give a number from 1 to 256")
    endpoint = None
    if options.endpoint:
        key = os.environ.get(options.key_variable) if options.key_variable else None
        if options.key_variable and not key:
            raise DataError(f"--key-variable: {options.key_variable} is not set; export the key")
        endpoint = ChatEndpoint(
            options.endpoint, options.endpoint_model, key, options.timeout, options.tries
        )
    answers = options.answers or Path(options.out) / "answers.jsonl"
    workers = options.workers
    return Asker(options.endpoint_model, answers, endpoint, workers=workers, progress=True)
