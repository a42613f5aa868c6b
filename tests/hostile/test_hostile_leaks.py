"""No id, date or report of a credentialed data set stands in what is written for others to see."""

import pandas as pd
import pytest
from ecg_folders import write_mimic

from ecg_lib.blind_test import blind_test
from ecg_lib.blind_test.sources import from_rows
from ecg_lib.data.credentialed import without_ids
from ecg_lib.data.sources.mimic_iv_ecg import MimicIvEcg
from ecg_lib.data.write_store import write_store
from ecg_lib.evaluation.dialogue import Turn, write_case_study
from ecg_lib.report import style
from ecg_lib.report.cohort_table import cohort_cells
from ecg_lib.report.figures.case_study import CaseStudy, figure4_case_studies

WORDS = "as the zebra cart says"
STUDIES = range(41_234_501, 41_234_513)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaks")
    said = {s: ["Sinus rhythm", f"{WORDS} {s % 7}"] for s in STUDIES}
    return write_store(folder / "store", MimicIvEcg(write_mimic(folder / "mimic", said)))


def secrets(store):
    """Return what must not be found: ids with and without the cohort, dates, words of reports."""
    records = store.records
    dates = {date[:10] for date in records["recorded_at"]}
    return {*records["ecg_id"], *records["patient_id"], *map(str, STUDIES), *dates, WORDS, "zebra"}


def searched(folder):
    """Return the text of all files of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return "\n".join(path.read_bytes().decode("latin-1") for path in files)


def leaks(store, folder):
    text = searched(folder).lower()
    return sorted(secret for secret in secrets(store) if secret.lower() in text)


def test_the_search_finds_what_is_there(store):
    records = store.folder / "records.csv"
    store.records.to_csv(records)
    assert set(leaks(store, store.folder)) == secrets(store)
    records.unlink()


def test_a_case_study_names_no_credentialed_ecg(store, tmp_path):
    first, second = store.records["ecg_id"][:2]
    turn = Turn("Is it AF?", "no", "no")
    titles = {f"One ECG: {first}": [turn], f"Two ECGs: {first}, {second}": [turn]}
    write_case_study(tmp_path / "case_study.md", titles, "a test")
    shown = {f"B. An ECG ({e})": store.mv(e)[0] for e in (first, second)}
    figure = figure4_case_studies([CaseStudy(shown, [("Is it AF?", "no")])], "a model")
    style.save(figure, tmp_path, "figure4")
    drawn = " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
    assert leaks(store, tmp_path) == [] and "zebra" not in drawn
    assert (
        not [s for s in secrets(store) if s in drawn] and drawn.count("an ECG of mimic-iv-ecg") == 2
    )


def test_the_id_of_an_open_data_set_stays():
    assert without_ids("One ECG: ptbxl/00001") == "One ECG: ptbxl/00001"
    assert without_ids("mimic-iv-ecg/1, and mimic-iv-ecg/2") == (
        "an ECG of mimic-iv-ecg, and an ECG of mimic-iv-ecg"
    )


def test_the_cohort_s_table_counts_and_names_nobody(store, tmp_path):
    pd.DataFrame(cohort_cells({"MIMIC-IV-ECG": store})).to_csv(tmp_path / "cohort.csv")
    assert leaks(store, tmp_path) == []


def test_a_blind_test_writes_no_id_date_or_report(store, tmp_path):
    rows = pd.DataFrame(
        {
            "template_id": 1,
            "question_id": 1,
            "sample_id": range(len(store)),
            "question_type": "single-verify",
            "attribute_type": "scp_code",
            "question": "Does this ECG show sinus rhythm?",
            "answer": [["yes"] if k % 2 else ["no"] for k in range(len(store))],
            "ecg_id": [[ecg] for ecg in store.records["ecg_id"]],
            "attribute": [["sinus rhythm"]] * len(store),
        }
    )

    def blind(ecgs, questions):
        return ["no"] * len(questions)

    blind_test(blind, from_rows("toy", rows, store), tmp_path, resamples=5, progress=False)
    assert leaks(store, tmp_path) == []
