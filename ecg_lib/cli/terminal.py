"""What the command line prints: errors in one line, and no control characters of a file."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ecg_lib.data.printable import printable


class Parser(argparse.ArgumentParser):
    """A parser that refuses wrong arguments in one line, as every other error is told."""

    def error(self, message: str) -> NoReturn:
        """Print the message and where the options are explained; exit with code 2."""
        self.exit(2, f"error: {printable(message)}; see `{self.prog} --help`\n")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Refuse `--out=--`, of which Python before 3.13 makes an empty list."""
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {action.option_strings[0]}: is --; write it as ./--")
        return super()._get_values(action, arg_strings)


def told(error: Exception) -> str:
    """Return what to print for an error; the system's own errors get their file and a cure."""
    if isinstance(error, OSError) and error.filename is not None:
        reason = (error.strerror or type(error).__name__).lower()
        return printable(f"{error.filename}: {reason}; check the path and its permissions")
    return printable(str(error))
