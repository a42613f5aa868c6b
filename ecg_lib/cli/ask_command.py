"""`debiased-ecg ask`: one question about one or two ECGs of your own."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

from ecg_lib import paths

DISCLAIMER = "for research and teaching, not for diagnosis"
HELP = "ask a trained model about a recording"
DESCRIPTION = f"""Ask a trained model about a WFDB record (.hea with .dat or .mat; any sampling
rate, leads by name, the first 10 s). The answer goes to stdout, the model's name to stderr.
{DISCLAIMER.capitalize()}."""
EPILOG = """examples:
  debiased-ecg ask records100/00000/00001_lr "Does this ECG show atrial fibrillation?"
  debiased-ecg ask first "Which finding is new in the recent ECG?" --second recent"""


def add_to(verb: argparse.ArgumentParser) -> None:
    """Add the verb's options to its parser."""
    verb.add_argument("record", metavar="RECORD", help="path of the record, with or without suffix")
    verb.add_argument("question", metavar="QUESTION", help="in English, in quotation marks")
    verb.add_argument(
        "--second",
        metavar="RECORD",
        help="a later ECG to compare: the first RECORD is the previous ECG, this the recent one",
    )
    verb.add_argument(
        "--model",
        metavar="DIR",
        help="folder of a saved ECG-LLM (default: the newest finished "
        "checkpoints/*/stage2/de-biased)",
    )
    verb.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: answer, p_yes (null unless it is a yes/no "
        "question), model, question, records, disclaimer",
    )
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Read the ECGs, ask the question and print the answer."""
    from transformers.utils import logging  # imports torch, which takes seconds: not for --help

    from ecg_lib.ecg_llm.ask import ask, load_model, model_reads, newest_model, read_ecg
    from ecg_lib.errors import DataError

    question = " ".join(options.question.split())
    if not question:
        raise DataError("QUESTION is empty; ask one in English, in quotation marks")
    records = [record for record in (options.record, options.second) if record]
    folder = Path(options.model or newest_model(paths.ROOT / "checkpoints"))
    rate = model_reads(folder).rate
    signals = [read_ecg(record, rate) for record in records]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn about their own internals
        model, processor = load_model(folder)
        answer = ask(model, processor, signals, question)
    who = f"{folder} ({_label(folder, model.config.language_model)})"
    if options.json:
        told = {"answer": answer.text, "p_yes": answer.p_yes, "model": who, "question": question}
        print(json.dumps(told | {"records": records, "disclaimer": DISCLAIMER}))
    else:
        print(answer.text or "(no answer)")
        if answer.p_yes is not None:
            print(f"P(yes) = {answer.p_yes:.3f}")
    print(f"answered by {who}; {DISCLAIMER}", file=sys.stderr)


def _label(folder: Path, language_model: str) -> str:
    """Return the label that the profile gives its numbers, or else the language model's name."""
    import yaml

    profile = paths.CONF / "profile" / f"{folder.resolve().parent.parent.name}.yaml"
    label = yaml.safe_load(profile.read_text()).get("label") if profile.is_file() else None
    name = Path(language_model).name if Path(language_model).is_dir() else language_model
    return label or f"language model {name}"
