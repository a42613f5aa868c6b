"""`python -m ecg_lib benchmark`: how fast a profile's models are on this machine."""

from __future__ import annotations

import argparse

DESCRIPTION = """Measure what `plan` only computes: samples and tokens a second, share of the GPU's
peak, memory. Models have the profile's sizes and random weights; nothing is downloaded. The table
goes to results/benchmarks/, named after the hardware."""
EPILOG = """examples:
  python -m ecg_lib benchmark paper
  python -m ecg_lib benchmark paper --batch 16 --ecgs 2 encoder.patch=5"""
_GIVEN = (
    ("--batch", "rows a step (default 64, the paper's)"),
    ("--steps", "steps that are timed (default 10)"),
    ("--warm-up", "steps before, not timed (default 3)"),
    ("--ecgs", "ECGs a question is about, 1 or 2 (default 1)"),
    ("--words", "text tokens of a question with its answer (default 56)"),
    ("--answer", "tokens of the answer (default 8)"),
)


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "benchmark",
        help="how fast a profile's models are here",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("profile", metavar="PROFILE", help="a file of conf/profile, e.g. paper")
    verb.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="changes to the profile")
    for option, told in _GIVEN:
        verb.add_argument(option, type=int, metavar="N", help=told)
    verb.add_argument("--device", metavar="NAME", help="cuda, cuda:1, cpu (default: a GPU if any)")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    import re

    import torch  # not for --help

    from ecg_lib import paths
    from ecg_lib.config import compose
    from ecg_lib.training.benchmark import Load, benchmark, device_name

    names = [option.removeprefix("--").replace("-", "_") for option, _ in _GIVEN]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    config = compose(options.profile, ["data.root=.", *options.overrides])
    table = benchmark(config, Load(**given), device)
    hardware = device_name(device)
    table = table.assign(
        profile=config.profile,
        changes=" ".join(options.overrides),
        hardware=hardware,
        torch=torch.__version__,
    )
    print(f"{config.profile} on {hardware}\n{table.iloc[:, :8].round(2).to_string(index=False)}")
    folder = paths.results_dir("benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{config.profile} {hardware}".lower()).strip("-")
    table.to_csv(folder / f"{name}.csv.tmp", index=False)
    (folder / f"{name}.csv.tmp").replace(folder / f"{name}.csv")
    print(f"written to results/benchmarks/{name}.csv")
