"""`make torture`: kill, starve and double every kind of work, and compare with a quiet run.

Each step of `jobs.py` runs once undisturbed. Then it is killed (`kill -9` of its process group) at
seeded moments and run again; it is run with a full disk and again with space; and twice at the same
time. After each, every file must be what it was undisturbed, bit for bit, with nothing left over.
A difference, an error without file and cure, or a hanging process is a loss.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import forked
import jobs
from forked import Fault

MEGABYTE = 1 << 20


@dataclass
class Report:
    """What was done and what was lost."""

    done: Counter = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def tell(self, kind: str, step: str, where: str, lost: list[str]) -> None:
        """Count a fault and print it with what it cost."""
        self.done[f"{kind}, {step}"] += 1
        self.losses += [f"{kind}, {step}, {where}: {what}" for what in lost]
        cost = "nothing lost" if not lost else f"LOST: {'; '.join(lost[:4])}"
        print(f"{kind:12} {step:15} {where[:90]}: {cost}", flush=True)


class Stage:
    """A step, with what lies below the root before and after it has run undisturbed."""

    def __init__(self, name, work, root, before, keep):
        self.name, self.work, self.root, self.before = name, work, root, before
        forked.restore(before, root)
        ended = forked.run(work, root, Fault(offline=True))
        if ended.status:
            raise SystemExit(f"{name}: fails even undisturbed:\n{ended.said[-3000:]}")
        self.events, self.after = ended.events, keep
        shutil.copytree(root, keep, symlinks=True)
        self.old, self.wanted = forked.tree(before), forked.tree(keep)

    def again(self) -> list[str]:
        """Run the step to its end and return what differs from the undisturbed run."""
        ended = forked.run(self.work, self.root)
        if ended.status:
            return [f"the rerun failed: {ended.last[:300]}"]
        return forked.differences(self.wanted, forked.tree(self.root))

    def half_written(self) -> list[str]:
        """Return final files that are neither as before nor as after, while something is wrong."""
        found = forked.tree(self.root)
        hidden = re.compile(r"(^|/)\.|\.partial/|\.tmp$")
        good = {name: {self.old.get(name), self.wanted.get(name)} for name in found}
        wrong = [n for n, h in found.items() if h and not hidden.search(n) and h not in good[n]]
        lost = [n for n, h in self.old.items() if h and n not in found and n in self.wanted]
        return [f"half-written: {n}" for n in wrong] + [f"gone: {n}" for n in lost]


def moments(events: list[str], count: int, rng: random.Random) -> list[int]:
    """Draw moments: first one of every kind of event, then any, so that rare ones are met."""
    kinds: dict[str, list[int]] = {}
    for at, event in enumerate(events):
        kinds.setdefault(event.split(" ")[0], []).append(at)
    chosen = [rng.choice(kinds[kind]) for kind in sorted(kinds)]
    rng.shuffle(chosen)
    rest = [at for at in range(len(events)) if at not in chosen]
    return sorted((chosen + rng.sample(rest, max(0, min(len(rest), count - len(chosen)))))[:count])


def kill(stage: Stage, count: int, rng: random.Random, report: Report) -> None:
    """Kill a step at seeded moments; every second time within the writing of a file."""
    for number, at in enumerate(moments(stage.events, count, rng)):
        fault = Fault(at=at, torn=bool(number % 2))
        forked.restore(stage.before, stage.root)
        ended = forked.run(stage.work, stage.root, fault)
        lost = [] if ended.status == -9 else [f"not killed: {ended.last[:200]}"]
        lost += stage.again()
        where = f"event {at + 1} of {len(stage.events)} ({stage.events[at]})"
        report.tell("kill -9", stage.name, where + ", torn" * fault.torn, lost)


def kill_parallel(folder, stage, report) -> None:
    """Kill a preparation with two processes once some of its parts are there."""
    for parts in (1, 5, 9):
        forked.restore(stage.before, stage.root)

        def work(root: Path) -> None:
            jobs.prepare_in_parallel(root, folder)

        started = forked.start(work, stage.root)
        place = stage.root / "data"
        until = time.monotonic() + 60
        while len(list(place.glob(".files.parts-*/part-*"))) < parts and time.monotonic() < until:
            time.sleep(0.005)
        os.killpg(started[0], 9)
        ended = forked.end(started)
        lost = [] if ended.status in (-9, 0) else [f"not killed: {ended.last[:200]}"]
        report.tell(
            "kill -9", "prepare, 2 jobs", f"{parts} of 12 parts there", lost + stage.again()
        )


def one_line(ended: forked.Ended, root: Path) -> list[str]:
    """Return what is wrong with an error that should be one line with file and cure."""
    if ended.status == 0:
        return []
    if ended.status != 2:
        return [f"status {ended.status} instead of one line: {ended.last[:300]}"]
    last = ended.last
    lost = [] if str(root) in last else [f"names no file: {last[:300]}"]
    return lost + ([] if "; free some" in last else [f"names no cure: {last[:300]}"])


def starve(stage: Stage, count: int, rng: random.Random, report: Report) -> None:
    """Let no file be opened for writing from a moment on, as on a full disk."""
    opened = [at for at, event in enumerate(stage.events) if event.startswith("open")]
    for at in sorted(rng.sample(opened, min(count, len(opened)))):
        forked.restore(stage.before, stage.root)
        ended = forked.run(stage.work, stage.root, Fault(at=at, full=True))
        lost = one_line(ended, stage.root) + stage.half_written()
        where = f"from event {at + 1} of {len(stage.events)} ({stage.events[at]})"
        report.tell("ENOSPC", stage.name, where, lost + stage.again())


def used(folder: Path) -> int:
    """Return the bytes that a folder takes on a tmpfs."""
    return sum(-(-p.lstat().st_size // 4096) * 4096 + 4096 for p in folder.rglob("*"))


@contextlib.contextmanager
def small_disk(root: Path):
    """Mount a tmpfs at the root and yield a function that sets its size, or None if refused."""
    root.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", root], capture_output=True
    )
    if made.returncode:
        yield None
        return

    def resize(size: int) -> bool:
        command = ["mount", "-o", f"remount,size={size}", root]
        return not subprocess.run(command, capture_output=True).returncode

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", root], check=True)


def fill(stage: Stage, count: int, rng: random.Random, report: Report, resize) -> None:
    """Run a step on a disk that has room for a share of what it writes."""
    before, after = used(stage.before), used(stage.after)
    for number in range(count):
        share = (number + rng.random()) / count
        resize(64 * MEGABYTE)
        forked.restore(stage.before, stage.root)
        told = shutil.disk_usage(stage.root).used
        if not resize(told + 4096 + int(share * (after - before))):
            report.skipped.append(f"disk full, {stage.name}: the disk could not be made smaller")
            continue
        ended = forked.run(stage.work, stage.root)
        lost = one_line(ended, stage.root) + stage.half_written()
        resize(64 * MEGABYTE)
        report.tell("disk full", stage.name, f"room for {share:.0%}", lost + stage.again())


def double(stage: Stage, delay: float, report: Report) -> None:
    """Run a step twice at the same time."""
    forked.restore(stage.before, stage.root)
    first = forked.start(stage.work, stage.root)
    time.sleep(delay)
    second = forked.start(stage.work, stage.root)
    lost = []
    for ended in (forked.end(first), forked.end(second)):
        if ended.status:
            lost.append(f"status {ended.status}: {ended.last[:300]}")
    lost += forked.differences(stage.wanted, forked.tree(stage.root))
    report.tell("two runs", stage.name, f"{delay:.2f} s apart", lost)


def main() -> int:
    """Torture every step within the time and return the number of losses, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="*", help="only these")
    parser.add_argument("--kills", type=int, default=8, help="per step")
    parser.add_argument("--full", type=int, default=3, help="full disks per step and way")
    parser.add_argument("--twice", type=int, default=2, help="double runs per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=22, help="no new step begins after these")
    parser.add_argument("--quick", action="store_true", help="three small steps instead of all")
    parser.add_argument("--json", type=Path, help="also write what was done here")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unmounts and deletes, too
    began, rng, report = time.monotonic(), random.Random(options.seed), Report()
    base = Path(tempfile.mkdtemp(prefix="torture-"))
    os.environ["TMPDIR"] = str(base / "tmp")
    tempfile.tempdir = None
    (base / "tmp").mkdir()
    folder, root = jobs.write_inputs(base / "inputs"), base / "root"
    before = base / "before"
    steps = (jobs.quick_steps if options.quick else jobs.steps)(folder)
    before.mkdir()
    (before / "ecg_lib").symlink_to(Path(jobs.paths.__file__).parent)
    try:
        with small_disk(root) as resize:
            if resize is None:
                report.skipped.append("mounting a small disk is refused: writing fails instead")
            for number, (name, work) in enumerate(steps.items()):
                stage = Stage(name, work, root, before, base / f"after-{number}")
                before = stage.after
                if options.steps and name not in options.steps:
                    continue
                if time.monotonic() - began > 60 * options.minutes:
                    report.skipped.append(f"{name}: no time left")
                    continue
                kill(stage, options.kills, rng, report)
                if name == "prepare" and options.kills > 4:
                    kill_parallel(folder, stage, report)
                starve(stage, options.full, rng, report)
                if resize is not None:
                    fill(stage, options.full, rng, report, resize)
                for _ in range(options.twice):
                    double(stage, rng.random() * 0.5, report)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    for line in report.skipped:
        print(f"skipped: {line}")
    for line in report.losses:
        print(f"LOSS: {line}")
    kinds = Counter()
    for what, n in report.done.items():
        kinds[what.split(", ")[0]] += n
    if options.json:
        options.json.write_text(json.dumps({"done": report.done, "losses": report.losses}))
    told = ", ".join(f"{n} x {kind}" for kind, n in kinds.items())
    print(
        f"torture: {sum(kinds.values())} faults ({told}), seed {options.seed}, "
        f"{len(report.losses)} losses, {time.monotonic() - began:.0f} s "
        f"({sum(os.times()[:4]):.0f} s of processors)"
    )
    return min(1, len(report.losses))


if __name__ == "__main__":
    sys.exit(main())
