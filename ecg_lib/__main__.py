"""The command `debiased-ecg`, also `python -m ecg_lib`, with its verbs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import ecg_lib
from ecg_lib.cli import (
    ask_command,
    blind_test_command,
    evaluate_command,
    plan_command,
    prepare_command,
)
from ecg_lib.cli.terminal import Parser, told
from ecg_lib.disk import refused
from ecg_lib.errors import EcgLibError

EPILOG = """exit codes: 0 done; 2 wrong input, with one line on stderr that says what to do;
130 interrupted. The paper's tables and figures come from `make paper`, not from here."""
_VERBS = {
    "prepare": prepare_command,
    "ask": ask_command,
    "evaluate": evaluate_command,
    "blind-test": blind_test_command,
    "plan": plan_command,
}


def parser() -> argparse.ArgumentParser:
    """Build the parser with all its verbs."""
    top = Parser(
        prog="debiased-ecg",
        epilog=EPILOG,
        description="De-biased multimodal electrocardiogram analysis: read ECGs, ask about them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {ecg_lib.__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, command in _VERBS.items():
        verb = verbs.add_parser(
            name, help=command.HELP, description=command.DESCRIPTION, epilog=command.EPILOG
        )
        verb.formatter_class = argparse.RawDescriptionHelpFormatter
        command.add_to(verb)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except (EcgLibError, OSError) as error:
        print(f"error: {refused(error) or told(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
