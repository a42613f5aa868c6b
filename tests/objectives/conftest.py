"""Stand-ins for rooms that may be absent: labels by plain words, and plain draws of masks."""

import sys
from importlib.util import find_spec
from types import ModuleType

import entity_stand_in
import lead_masks_stand_in


def _stand_in(name, own):
    """Put a module in place of one that does not exist; an existing one is used as it is."""
    try:
        found = find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found:
        return
    package, _, _ = name.rpartition(".")
    for missing in (package, name):
        sys.modules.setdefault(missing, ModuleType(missing))
    vars(sys.modules[name]).update({k: v for k, v in vars(own).items() if not k.startswith("_")})


_stand_in("ecg_lib.entities.entity_labels", entity_stand_in)
_stand_in("ecg_lib.objectives.parts.lead_masks", lead_masks_stand_in)
