"""`python -m ecg_lib evaluate`: measure a saved encoder on a prepared store."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """Measure how well an encoder trained on simulated ECGs alone (what notebook 10 saves
below checkpoints/<profile>/simulated/) reads the ECGs of a store: AUC of each finding with a 95 %
interval, by its supervised head and zero-shot by text."""
EPILOG = """example: python -m ecg_lib evaluate transfer --cohort stores/ptbxl
           --reader checkpoints/ptbxl/simulated/mv-0/reader --out simulated_to_real.csv"""


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("evaluate", help="measure a saved encoder on a prepared store",
                            description=DESCRIPTION, epilog=EPILOG,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    verb.add_argument("what", choices=["transfer"], help="transfer: simulated to recorded ECGs")
    verb.add_argument("--reader", required=True, action="append", metavar="DIR",
                      help="folder of a saved reader; several are averaged (seeds)")
    verb.add_argument("--cohort", required=True, metavar="STORE", help="folder of a prepared store")
    verb.add_argument("--out", metavar="FILE", help="also write the table as CSV")
    verb.add_argument("--resamples", type=int, default=1000, metavar="N",
                      help="bootstrap draws (default 1000)")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the table, and write it if asked to."""
    from ecg_lib.cohorts.store import EcgStore  # torch, pandas: not for --help
    from ecg_lib.errors import DataError
    from ecg_lib.evaluation.simulated_to_real import transfer_table
    from ecg_lib.models.reader import EcgReader

    for folder in options.reader:
        if not (Path(folder) / "findings.json").is_file():
            raise DataError(f"--reader {folder}: no findings.json there; give the folder that "
                            "notebook 10 saved, e.g. checkpoints/demo/simulated/mv-0/reader")
    if options.resamples < 2:
        raise DataError(f"--resamples is {options.resamples}; give 2 or more")
    store = EcgStore.open(options.cohort)
    readers = [EcgReader.from_pretrained(folder) for folder in options.reader]
    scaled = {reader.clip.ecg_encoder.config.normalisation for reader in readers}
    if len(scaled) > 1:
        raise DataError(f"--reader: trained with {' and '.join(sorted(scaled))}; do not mix them")
    title = store.manifest["source"]
    table = transfer_table({scaled.pop(): readers}, {title: store}, options.resamples, seed=0,
                           min_positives=10)
    if options.out:
        table.to_csv(options.out, index=False)
    print(table.round(1).to_string(index=False))
