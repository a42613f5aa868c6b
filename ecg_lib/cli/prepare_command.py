"""`debiased-ecg prepare`: turn a downloaded data set into a store."""

from __future__ import annotations

import argparse
import json
import os

HELP = "read a downloaded data set into a store"
DESCRIPTION = """Read a cohort's files into a store: signals.npy (first 10 s, leads by name),
records.parquet, quarantine.csv (what was left out, and why) and manifest.json. An interrupted
preparation continues where it stopped; an older store is replaced only at the end."""
EPILOG = """example:
  debiased-ecg prepare ptbxl --source ~/ptb-xl-1.0.3 --out stores/ptbxl --workers 8"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help text with the known cohorts, listed only on --help because that takes a second."""

    def add_text(self, text: str | None) -> None:
        super().add_text(f"cohorts: {', '.join(_cohorts())}\n{text}" if text is EPILOG else text)


def add_to(verb: argparse.ArgumentParser) -> None:
    """Add the verb's options to its parser."""
    verb.formatter_class = _Help
    verb.add_argument(
        "cohort", metavar="COHORT", help="name of the data set, one of those listed below"
    )
    verb.add_argument(
        "--source",
        required=True,
        metavar="DIR",
        help="folder of the unpacked data set, or one up to two levels above it",
    )
    verb.add_argument("--out", required=True, metavar="DIR", help="folder of the store")
    verb.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="number of reading processes (default 1); the store does not depend on it",
    )
    verb.add_argument(
        "--rate",
        type=int,
        metavar="HZ",
        help="sampling rate of the store (default 100); each rate needs a folder of its own",
    )
    verb.add_argument(
        "--ecgqa",
        metavar="DIR",
        help="ptbxl only: folder of ECG-QA, whose splits then replace the folds",
    )
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Prepare the store and print a summary."""
    from ecg_lib.data import prepare
    from ecg_lib.data.printable import printable
    from ecg_lib.data.store import summary
    from ecg_lib.errors import DataError

    known = _cohorts()
    if options.cohort not in known:
        raise DataError(f"unknown cohort {options.cohort!r}; choose one of {', '.join(known)}")
    most = 4 * (os.cpu_count() or 1)
    if not 1 <= options.workers <= most:
        raise DataError(f"--workers is {options.workers}; give 1 to {most}, 4 per core")
    extra = {} if options.rate is None else {"rate": options.rate}
    if options.ecgqa:
        if options.cohort != "ptbxl":
            raise DataError(f"--ecgqa works only with ptbxl; leave it out for {options.cohort}")
        extra["ecgqa_root"] = prepare.find_cohort(options.ecgqa, "ecgqa")
    store = prepare.prepare(options.cohort, options.source, options.out, options.workers, **extra)
    if options.json:
        names = ("source", "version", "rate", "counts", "reasons")
        told = {name: store.manifest[name] for name in names}
        print(json.dumps({"folder": str(store.folder), **told, "hash": store.hash}))
    else:
        print(printable(summary(store)))


def _cohorts() -> list[str]:
    """List the names of the cohorts that are read from a folder."""
    from ecg_lib.data.prepare import sources

    return [name for name, kind in sources().items() if kind.SIGNATURE]
