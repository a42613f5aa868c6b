"""Define the facets that say in which of the twelve leads wave forms and noise are seen.

A facet is a set of things known about one ECG (`ecg_lib.questions.facets`). A record locates its
findings in `form_leads` (code -> leads) and `noise` (kind -> leads). If a finding is present but
its leads are not given, the facets that depend on them are None.
"""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

from ecg_lib.knowledge.findings import load_findings
from ecg_lib.questions.vocabulary import REGIONS, answers_in

Facet = frozenset[str] | None
Leads = dict[str, Facet] | None  # finding -> its leads; None if the cohort locates no findings
# Forms read from beats, intervals or several leads at once. If a cohort names no leads for one of
# these, what a single lead shows is still known.
_WHOLE_TRACING = frozenset({"PAC", "PVC", "PRC(S)", "LPR", "LNGQT", "VCLVH", "HVOLT", "LVOLT"})


@lru_cache(maxsize=1)
def _forms() -> dict[str, str]:
    table = load_findings()
    return {c: table.at[c, "name"] for c, kinds in table["kinds"].items() if "form" in kinds}


def _leads(names: Collection[str]) -> Facet:
    return frozenset(f"lead {name}" for name in names) or None


def _noise(labels: Mapping[str, float], attributes: Mapping) -> Leads:
    told = attributes.get("noise")
    return None if told is None else {kind: _leads(names) for kind, names in told.items()}


def _form(labels: Mapping[str, float], attributes: Mapping) -> Leads:
    told = attributes.get("form_leads")
    if told is None:
        return None
    names = _forms()
    return {names[c]: _leads(told.get(c, ())) for c in (*labels, *told) if c in names}


def _where(read: Callable[[Mapping, Mapping], Leads], finding: str, regions: bool = False):
    """Return the facet of the leads, and if asked for the regions, that show one finding."""

    def facet(labels: Mapping[str, float], attributes: Mapping) -> Facet:
        known = read(labels, attributes)
        leads = None if known is None else known.get(finding, frozenset())
        if leads is None or not regions:
            return leads
        return leads | {region for region, own in REGIONS.items() if leads & set(own)}

    return facet


def _what(read: Callable[[Mapping, Mapping], Leads], lead: str):
    """Return the facet of the findings that one lead shows."""
    whole = {_forms()[code] for code in _WHOLE_TRACING}

    def facet(labels: Mapping[str, float], attributes: Mapping) -> Facet:
        known = read(labels, attributes)
        if known is None or any(v is None and name not in whole for name, v in known.items()):
            return None
        return frozenset(name for name, leads in known.items() if leads and lead in leads)

    return facet


def place_facets() -> dict[str, Callable[[Mapping, Mapping], Facet]]:
    """Return the facets `leads of`, `places of` a finding and `form in`, `noise in` a lead by name.

    Places are leads and the two regions (limb and chest leads). A region shows what any of its six
    leads shows.
    """
    noises, forms = answers_in("noise"), _forms().values()
    table = {f"leads of {kind}": _where(_noise, kind) for kind in noises}
    table |= {f"leads of {name}": _where(_form, name) for name in forms}
    table |= {f"places of {name}": _where(_form, name, regions=True) for name in forms}
    for lead in answers_in("lead"):
        table |= {f"form in {lead}": _what(_form, lead), f"noise in {lead}": _what(_noise, lead)}
    return table
