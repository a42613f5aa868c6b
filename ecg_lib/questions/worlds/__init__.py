"""Worlds: rules for which ECGs each question is asked about.

The same ECG gives the same, true answer in every world. Only the choice of rows differs:

* In `ecgqa`, the answer decides, as in the program that made ECG-QA.
* In `nature`, severity decides: how ill the patient is.
* In `do`, the ECGs are drawn at random, which is the intervention do(question).

Each world is one file of this folder, defines the class `Asking` and is found by its file name.
"""

from importlib import import_module
from pkgutil import iter_modules

from ecg_lib.errors import DataError
from ecg_lib.questions.worlds.world import World

DEFAULT = "ecgqa"


def names() -> list[str]:
    """Return the names of all worlds."""
    return sorted(m.name for m in iter_modules(__path__) if m.name != "world")


def find_world(name: str = DEFAULT, strength: float = 1.0) -> World:
    """Return a world by its name.

    Parameters
    ----------
    name : str
        Name of the world's file, without `.py`.
    strength : float
        How strongly severity decides who is asked, in [0, 1]. Only `nature` uses it.

    Raises
    ------
    DataError
        There is no such world, or `strength` is outside [0, 1].
    """
    if name not in names():
        raise DataError(f"world {name!r}: unknown; use one of {', '.join(names())}")
    if not 0 <= strength <= 1:
        raise DataError(f"strength {strength}: must lie between 0 and 1")
    return import_module(f"ecg_lib.questions.worlds.{name}").Asking(float(strength))
