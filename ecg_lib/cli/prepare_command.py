"""`python -m ecg_lib prepare`: a downloaded data set becomes a store."""

from __future__ import annotations

import argparse
import json

DESCRIPTION = """Read a cohort's files into a store: signals.npy (100 Hz, first 10 s, by lead name),
records.parquet, quarantine.csv (what was left out, and why) and manifest.json. An interrupted
preparation goes on where it stopped; an older store is replaced only at the end."""
COHORTS = "ptbxl, mimic_iv_ecg, ludb, cpsc, cpsc2018, shaoxing, georgia, challenge"
EPILOG = f"""cohorts: {COHORTS}
example: python -m ecg_lib prepare ptbxl --source ~/ptb-xl-1.0.3 --out stores/ptbxl --workers 8"""


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "prepare",
        help="read a downloaded data set into a store",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("cohort", metavar="COHORT", help="which data set it is, see below")
    verb.add_argument(
        "--source",
        required=True,
        metavar="DIR",
        help="folder of the unpacked data set, or up to two levels above",
    )
    verb.add_argument("--out", required=True, metavar="DIR", help="folder of the store")
    verb.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that read (default 1); the store is the same for any number",
    )
    verb.add_argument(
        "--ecgqa",
        metavar="DIR",
        help="ptbxl only: folder of ECG-QA, whose splits then replace the folds",
    )
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Prepare and print what came of it."""
    from ecg_lib.data import prepare
    from ecg_lib.data.store import summary
    from ecg_lib.errors import DataError

    known = sorted(set(prepare.SOURCES) - {prepare.SIMULATED})
    if options.cohort not in known:
        raise DataError(f"unknown cohort {options.cohort!r}: choose one of {', '.join(known)}")
    if options.workers < 1:
        raise DataError(f"--workers is {options.workers}; give 1 or more")
    extra = {}
    if options.ecgqa:
        if options.cohort != "ptbxl":
            raise DataError(f"--ecgqa belongs to ptbxl, not to {options.cohort}")
        extra["ecgqa_root"] = prepare.find_cohort(options.ecgqa, "ecgqa")
    store = prepare.prepare(options.cohort, options.source, options.out, options.workers, **extra)
    if options.json:
        told = {name: store.manifest[name] for name in ("source", "version", "counts", "reasons")}
        print(json.dumps({"folder": str(store.folder), **told, "hash": store.hash}))
    else:
        print(summary(store))
