"""The command `debiased-ecg`, also `python -m ecg_lib`, with its verbs."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import ecg_lib
from ecg_lib import cli
from ecg_lib.cli.terminal import Parser, told
from ecg_lib.disk import refused
from ecg_lib.errors import EcgLibError

EPILOG = """exit codes: 0 done; 2 wrong input, with one line on stderr that says what to do;
130 interrupted. The paper's tables and figures come from `make paper`, not from here."""
_END = "_command"


def verbs() -> dict[str, ModuleType]:
    """Return the commands by name: the files of `cli` that end in `_command`."""
    files = [m.name for m in pkgutil.iter_modules(cli.__path__) if m.name.endswith(_END)]
    return {
        name.removesuffix(_END).replace("_", "-"): importlib.import_module(f"{cli.__name__}.{name}")
        for name in files
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
    places = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, command in verbs().items():
        verb = places.add_parser(
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
