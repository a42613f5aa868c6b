"""Test that a user's own encoder can be a file anywhere, without edits to the project."""

import shutil
import sys
from dataclasses import replace

import pytest
import torch

from ecg_lib import closure, encoders, paths
from ecg_lib.config import compose, from_mapping
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.ecg_llm.finetune import new_model
from ecg_lib.encoders.base import EcgInput
from ecg_lib.errors import ConfigError
from ecg_lib.experiments.encoder_pretraining import pretrain_encoder
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

SOURCE = '''"""A linear layer over windows of an ECG."""

import torch
from transformers import AutoConfig, AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EncoderOutput, without_absent


class WindowsConfig(EcgEncoderConfig):
    model_type = "windows"

    def __init__(self, tokens: int = 8, width: int = 12, **kwargs):
        if not 0 < tokens <= 16:
            raise ValueError(f"tokens is {tokens}; give 1 to 16")
        self.tokens, self.width = tokens, width
        super().__init__(**kwargs)


class Windows(EcgEncoder):
    config_class = WindowsConfig

    def __init__(self, config):
        super().__init__(config)
        leads, samples = config.ecg_input.shape
        self.size = samples // config.tokens
        self.mix = torch.nn.Linear(leads * self.size, config.width)
        self.post_init()

    def forward(self, ecg, lead_mask=None):
        ecg = without_absent(ecg, lead_mask)[..., : self.size * self.config.tokens]
        windows = ecg.unflatten(-1, (self.config.tokens, self.size)).transpose(1, 2).flatten(2)
        tokens = self.mix(windows)
        return EncoderOutput(tokens=tokens, cls=tokens.mean(1))


AutoConfig.register("windows", WindowsConfig)
AutoModel.register(WindowsConfig, Windows)
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A third-party package with an encoder in it, on the Python path."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "their_models").mkdir()
    (folder / "their_models" / "__init__.py").touch()
    (folder / "their_models" / "windows.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder
    sys.modules.pop("their_models.windows", None)


NAME = "their_models.windows"


def test_it_is_built_saved_and_found_again_by_its_dotted_name(package, tmp_path):
    model = encoders.build(NAME, {"name": NAME, "tokens": 4}, EcgInput(rate=500))
    model.save_pretrained(tmp_path)
    again = encoders.load(tmp_path)
    assert type(again).__name__ == "Windows" and again.config.ecg_input.rate == 500
    ecg = torch.randn(2, 12, 5000)
    assert torch.equal(again(ecg).tokens, model(ecg).tokens)


def test_its_settings_are_judged_by_its_own_config(package):
    smoke = compose("smoke").as_dict()
    for settings, named in (
        ({"width": 8, "depth": 2}, r"encoder\.depth.*tokens, width"),
        ({"tokens": 17}, r"encoder\.tokens is 17; give 1 to 16"),
        ({"tokens": 6}, "6 ECG tokens cannot be grouped in fours"),
        ({"tokens": True}, r"encoder\.tokens is True; give int"),
    ):
        with pytest.raises(ConfigError, match=rf"^mine: .*{named}") as caught:
            from_mapping(smoke | {"encoder": {"name": NAME} | settings}, "mine")
        assert "\n" not in str(caught.value)


def test_its_code_counts_in_the_keys_of_what_it_trains(package):
    before = closure.code_hash(encoders.find(NAME))
    file = package / "their_models" / "windows.py"
    file.write_text(SOURCE.replace("tokens.mean(1)", "tokens.amax(1)"))
    try:
        assert closure.code_hash(encoders.find(NAME)) != before
    finally:
        file.write_text(SOURCE)


def test_a_profile_trains_it_and_an_llm_sees_its_tokens(package, tmp_path, monkeypatch):
    """The encoder has its own file in `conf/encoder`, as a user would add it."""
    conf = tmp_path / "conf"
    shutil.copytree(paths.CONF, conf)
    (conf / "encoder" / "windows.yaml").write_text(f"name: {NAME}\ntokens: 8\nwidth: 16\n")
    monkeypatch.setattr(paths, "CONF", conf)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "ecg_lib").symlink_to(closure.PACKAGE)
    config = compose("smoke", ["encoder=windows"])
    assert config.encoder == {"name": NAME, "tokens": 8, "width": 16}
    cohort = SimulatedCohort(patients=60, seed=config.seed)
    run = LlmExperiment.of(config)
    store = write_store(run.store_folder(config.data.questions), cohort)
    pretrain_encoder(run, store)
    assert type(run.clip.ecg_encoder).__name__ == "Windows"
    assert run.tokens.tokens.shape == (len(store), 8, 16)
    tokenizer = train_byte_pairs(["yes no not sure", "Is there a finding in this ECG?"], 380)
    tiny_llama(tokenizer, width=16, depth=1, heads=2).save_pretrained(tmp_path / "llm")
    tokenizer.save_pretrained(tmp_path / "llm")
    lora = replace(config.lora, dropout=0.0)
    model, processor = new_model(run.clip.ecg_encoder, tmp_path / "llm", lora, "float32", 0)
    batch = processor.batch([processor.example("Is this a normal ECG?", "yes", 1)])
    batch["ecg_tokens"] = run.tokens.get(store.records["ecg_id"].head(1).tolist())
    assert processor.slots == 2 and model(**batch).loss.isfinite()
