"""Worlds of asking: who is asked what. Each world is one file of this room, found by its name.

``ecgqa`` asks as the program did that made ECG-QA: by answer. In ``nature`` severity decides who
is asked what. In ``do`` a lot decides. A file defines the class ``Asking`` and needs no list.
"""

from importlib import import_module
from pkgutil import iter_modules

from ecg_lib.errors import DataError
from ecg_lib.questions.worlds.world import World

DEFAULT = "ecgqa"


def names() -> list[str]:
    """The worlds of this room."""
    return sorted(m.name for m in iter_modules(__path__) if m.name != "world")


def find_world(name: str = DEFAULT, strength: float = 1.0) -> World:
    """A world by its name.

    Parameters
    ----------
    name : the name of its file
    strength : in [0, 1]; how strongly severity decides who is asked (``nature`` alone reads it)

    Raises
    ------
    DataError
        No such world, or an impossible strength.
    """
    if name not in names():
        raise DataError(f"world {name!r}: unknown; use one of {', '.join(names())}")
    if not 0 <= strength <= 1:
        raise DataError(f"strength {strength}: must lie between 0 and 1")
    return import_module(f"ecg_lib.questions.worlds.{name}").Asking(float(strength))
