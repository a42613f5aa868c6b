"""The recipes of docs/extending.md, carried out: its files are written, its commands are run."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
from pipeline_fixtures import REPO, make_clone

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import EcgStore
from ecg_lib.signal.leads import LEADS

PAGE = (REPO / "docs" / "extending.md").read_text("utf-8")
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.S)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
TITLES = ("An encoder", "An objective", "A cohort", "A task")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extending")]


def recipe(title):
    """Files (path -> text) and commands of a section of the page."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = [text for language, text in BLOCK.findall(section) if not language]
    commands = [line for text in blocks for line in text.splitlines()]
    return dict(FILE.findall(section)), commands


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A checkout with the files of all four recipes, and a data set in the recipe's layout."""
    made = make_clone(tmp_path_factory.mktemp("extended"))
    for title in TITLES:
        for name, text in recipe(title)[0].items():
            assert not (made.folder / name).exists(), f"{name} exists: the recipe would edit it"
            (made.folder / name).write_text(text)
    write_csv_files(made.folder / "my-data")
    return made


def write_csv_files(folder):
    """Forty simulated ECGs as CSV, some with a bundle branch block; one file is missing."""
    cohort = SimulatedCohort(patients=400, seed=3)
    blocked = [i for i, labels in cohort.labels_only() if {"CLBBB", "CRBBB", "IRBBB"} & set(labels)]
    plain = [i for i, labels in cohort.labels_only() if "NORM" in labels]
    rows = []
    (folder / "signals").mkdir(parents=True)
    for at, item in enumerate([*blocked[:30], *plain[:30]]):
        record = cohort.read(item)
        name = f"ecg{at:03d}"
        table = pd.DataFrame(record.signal.T, columns=list(LEADS))
        table[list(reversed(LEADS))].to_csv(folder / "signals" / f"{name}.csv", index=False)
        split = "test" if at % 2 else "train"
        codes = ";".join(record.labels)
        rows.append((name, f"p{at}", 100, record.report, codes, split))
    rows.append(("lost", "p-lost", 100, "sinus rhythm", "SR", "train"))
    columns = ["name", "patient", "hz", "report", "codes", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "my_ecgs.csv", index=False)


def carry_out(clone, title):
    """Run the commands of a recipe; what they printed."""
    commands = recipe(title)[1]
    assert commands
    return "\n".join(clone.run(*shlex.split(command)).stdout for command in commands)


def test_an_encoder_is_trained_and_keeps_its_contract(clone):
    told = carry_out(clone, "An encoder")
    assert re.search(r"\d+ passed", told) and "failed" not in told
    saved = clone.folder / "checkpoints" / "smoke" / "encoder" / "clip"
    assert '"windows"' in "".join(file.read_text() for file in saved.rglob("config.json"))


def test_an_objective_keeps_its_contract(clone):
    told = carry_out(clone, "An objective")
    assert re.search(r"\d+ passed", told) and "failed" not in told


def test_a_cohort_is_prepared_and_a_missing_file_costs_itself_alone(clone):
    carry_out(clone, "A cohort")
    store = EcgStore.open(clone.folder / "store")
    assert len(store) == 60
    lost = pd.read_csv(clone.folder / "store" / "quarantine.csv")
    assert lost["record"].tolist() == ["millivolt_csv/lost"]
    written = pd.read_csv(clone.folder / "my-data" / "signals" / "ecg000.csv")
    np.testing.assert_allclose(store.mv(0)[0], written[list(LEADS)].to_numpy().T, atol=5.1e-4)


def test_a_task_is_measured_with_the_encoder_on_the_cohort(clone):
    if not (clone.folder / "store").exists():  # run on its own
        carry_out(clone, "An encoder")
        carry_out(clone, "A cohort")
    told = carry_out(clone, "A task")
    assert "LBBB" in told and "RBBB" in told


def test_no_recipe_edits_a_file(clone):
    changed = clone.run("git", "status", "--porcelain").stdout.splitlines()
    assert {line for line in changed if not line.startswith("??")} <= {" M params.yaml"}
