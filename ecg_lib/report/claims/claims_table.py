"""The paper's claims, each with a verdict read from the tables of one profile.

`write_claims` takes our numbers from `results/<profile>/*.csv` and from nowhere else, so a verdict
can be no newer and no better than the numbers beside it. The claims are in `claim_list.py`, the
rules for the verdicts in `verdicts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from ecg_lib.disk import write_file
from ecg_lib.paths import PAPER_RESULTS
from ecg_lib.report.claims.claim_list import CLAIMS, Claim, Setting, Tables, rule_of
from ecg_lib.report.claims.verdicts import (
    FAILS,
    HOLDS,
    MARGIN,
    MIN_N,
    UNTESTABLE,
    Number,
    Verdict,
    above_zero,
)
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.reference import NUMBERS, PAPER_LABEL, STAMPS
from ecg_lib.report.tables import format_cell

_MOST = 7  # a claim's Markdown line shows at most so many numbers; the CSV has all
_JUDGED = ("claim", "statement", "place", "verdict", "why")
COLUMNS = (*_JUDGED, "source", "measure", *NUMBERS, "table", "row", "column", *STAMPS)


_NOTES = (
    "Values are percent or percentage points; in brackets: 95 % interval; n: number of cases "
    "behind the value. Differences are paired by question; the bootstrap draws whole patients.",
    f"**{HOLDS}**: the interval excludes zero in the claimed direction (of several: all, or more "
    "than half where the claim says 'most'); if no difference is claimed: it lies within "
    f"{MARGIN:.0f} points of zero. **{FAILS}**: our numbers do not show it; 'why' tells whether "
    f"they show the opposite. **{UNTESTABLE}**: a number is missing, comes from fewer than {MIN_N} "
    f"questions, has an interval with room for zero and for more than {MARGIN:.0f} points, or can "
    "only show what the simulation put in. 'ours' in the second column: the "
    "paper does not test this, but its claims need it.",
    "Intervals cover the variation between questions, not between training runs: one run per arm.",
)


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and the numbers it rests on."""

    claim: Claim
    verdict: Verdict
    ours: Sequence[Number]
    paper: Sequence[Number]


def judge(claim: Claim, tables: Tables, setting: Setting) -> Judged:
    """Find a claim's numbers and apply its rule, unless the setting cannot test it."""
    ours, paper = claim.ours(tables), claim.paper(tables)
    if claim.needs and getattr(setting, claim.needs) is not claim.wanted:
        verdict = Verdict(UNTESTABLE, claim.otherwise)
    elif not ours:
        verdict = Verdict(UNTESTABLE, "this profile has no such number")
    elif claim.provided and above_zero(claim.provided(tables)).verdict != HOLDS:
        verdict = Verdict(UNTESTABLE, claim.otherwise)
    else:
        verdict = rule_of(claim, paper)(ours)
    return Judged(claim, verdict, ours, paper)


def write_claims(
    folder: Path,
    setting: Setting,
    label: str,
    provenance: Provenance,
    published: Path = PAPER_RESULTS,
) -> pd.DataFrame:
    """Judge every claim by the tables in `folder`; write claims.csv and claims.md there.

    Parameters
    ----------
    folder : Path
        `results/<profile>`, with the tables that the notebooks have written.
    setting : Setting
        Properties of the profile that decide whether a claim can be tested.
    label : str
        What our numbers come from, such as "simulated cohort, tiny LLM".
    published : Path
        Folder of the published numbers.

    Returns
    -------
    DataFrame
        One row per claim: claim, place, verdict, ours, paper, why.
    """
    tables = Tables(folder, published, setting.seen)
    judged = [judge(claim, tables, setting) for claim in CLAIMS]
    lines = provenance.stamp(pd.DataFrame(line for one in judged for line in _lines(one)))
    write_file(
        folder / "claims.csv",
        lines[list(COLUMNS)].to_csv(index=False, lineterminator="\n", float_format="%.6g"),
    )
    summary = pd.DataFrame(map(_summary, judged))
    write_file(folder / "claims.md", _markdown(summary, label, provenance))
    return summary


def _lines(one: Judged) -> list[dict[str, object]]:
    """Return one line per number; a claim without numbers gets a single line."""
    claim, verdict = one.claim, one.verdict
    told = (claim.key, claim.statement, claim.place, verdict.verdict, verdict.why)
    head = dict(zip(_JUDGED, told, strict=True))
    numbers = [("ours", n) for n in one.ours] + [("paper", n) for n in one.paper]
    names = {"name": "measure", "low": "ci_low", "high": "ci_high"}
    return [
        {**head, "source": source, **{names.get(k, k): v for k, v in asdict(n).items()}}
        for source, n in numbers
    ] or [head]


def _summary(one: Judged) -> dict[str, str]:
    return {
        "claim": one.claim.statement,
        "place": one.claim.place,
        "verdict": one.verdict.verdict,
        "ours": _told(one.ours),
        "paper": _told(one.paper),
        "why": one.verdict.why,
    }


def _told(numbers: Sequence[Number]) -> str:
    if len(numbers) > _MOST:
        up = sum(n.value > 0 for n in numbers)
        return f"{up} of {len(numbers)} values above zero"
    return "; ".join(f"{n.name} {format_cell(n.value, n.n, n.low, n.high)}" for n in numbers)


def _markdown(summary: pd.DataFrame, label: str, provenance: Provenance) -> str:
    counts = summary["verdict"].value_counts()
    told = [f"{name.replace('_', ' ')} `{getattr(provenance, name)}`" for name in STAMPS]
    tally = ", ".join(f"{v}: {counts.get(v, 0)}" for v in (HOLDS, FAILS, UNTESTABLE))
    head = ["claim", "where", "verdict", f"ours ({label})", f"paper ({PAPER_LABEL})", "why"]
    rows = [
        [c.claim, c.place, f"**{c.verdict}**", c.ours, c.paper, c.why] for c in summary.itertuples()
    ]
    table = ["| " + " | ".join(t.replace("|", "\\|") for t in row) + " |" for row in [head, *rows]]
    table.insert(1, "|" + ":--|" * len(head))
    parts = ["# The paper's claims, judged by our own numbers"]
    parts += [f"{len(summary)} claims. {tally[0].upper()}{tally[1:]}.", "\n".join(table)]
    return "\n\n".join([*parts, *_NOTES, f"Produced with {', '.join(told)}."]) + "\n"
