"""A dress rehearsal of the paper profile: its folders, its kind of models, all notebooks, tiny."""

import hashlib
from types import SimpleNamespace

import pytest
from paper_folders import write_data_root
from paper_models import save_bert, save_llama
from pipeline_fixtures import make_clone

from ecg_lib.questions.ecgqa import read_ecgqa

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rehearsal")]
SIZES = """
data.workers=1 evaluation.resamples=50 evaluation.examples=150 evaluation.normals=20
encoder.width=32 encoder.depth=2 encoder.heads=2 encoder.mlp=64
contrastive.width=32 contrastive.batch_size=16 contrastive.epochs=20
simulated.ecgs=64 simulated.batch_size=16
stage1.epochs=1 stage2.epochs=1 fusion.width=16 fusion.depth=1 fusion.heads=2 fusion.epochs=1
questions.per_answer=2 questions.per_answer_test=1
""".split()


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A clone in which `dvc repro` has run the paper profile; only sizes and places are set."""
    data = tmp_path_factory.mktemp("data")
    counts = write_data_root(data)
    texts = read_ecgqa(data / "ecg-qa" / "ecgqa")["question"].tolist()
    llama = save_llama(data / "models" / "llama", texts)
    bert = save_bert(data / "models" / "bert", texts)
    clone = make_clone(tmp_path_factory.mktemp("paper"))
    places = [f"data.root={data}", f"llm.name_or_path={llama}", f"text_encoder.name_or_path={bert}"]
    clone.run("python", "-m", "ecg_lib.config", "paper", *places, *SIZES)
    before = digest(llama)
    clone.run("dvc", "repro")
    return SimpleNamespace(clone=clone, data=data, counts=counts, llama=llama, before=before)


def digest(folder):
    """File -> digest of all files of a folder."""
    return {file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*")) if file.is_file()}  # fmt: skip


def test_the_frozen_language_model_is_the_saved_one(paper):
    assert digest(paper.llama) == paper.before
