"""Test that every encoder keeps the contract of `encoders.base`; files are found, not listed."""

import json
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModel

from ecg_lib import encoders, paths
from ecg_lib.config import compose_values
from ecg_lib.encoders.base import EcgEncoder, EcgInput
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.signal.leads import LEADS

NAMES = encoders.names()
every_encoder = pytest.mark.parametrize("name", NAMES)


def settings_of(name):
    """Return the smallest settings of an encoder in `conf/encoder`."""
    tiny = (paths.CONF / "encoder" / f"{name}_tiny.yaml").is_file()
    chosen = f"encoder={name}{'_tiny' if tiny else ''}"
    return OmegaConf.to_container(compose_values("smoke", [chosen]).encoder, resolve=True)


def small(name, seed=0, **reads):
    torch.manual_seed(seed)
    return encoders.build(name, settings_of(name), EcgInput(**reads)).eval()


def ecgs(model, count=2, seed=5):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, *model.config.ecg_input.shape, generator=draw)


def same(one, other, **close):
    assert torch.allclose(one.tokens, other.tokens, **close)
    assert torch.allclose(one.cls, other.cls, **close)
    assert (one.token_mask is None) == (other.token_mask is None)
    assert one.token_mask is None or torch.equal(one.token_mask, other.token_mask)


def test_the_paper_s_encoder_is_found_and_what_defines_none_is_not():
    assert "stem_vit" in NAMES
    assert not {"base", "token_cache", "text_encoder"} & set(NAMES)


@every_encoder
def test_an_encoder_is_named_as_its_file_and_can_be_chosen(name):
    model = encoders.find(name)
    assert issubclass(model, EcgEncoder) and model.config_class.model_type == name
    assert model.config_class().ecg_input == EcgInput()  # transformers builds one with no arguments
    assert settings_of(name)["name"] == name


@every_encoder
def test_tokens_and_global_vector_have_the_shapes_that_the_config_says(name):
    model = small(name)
    output, (n, width) = model(ecgs(model, 3)), (model.config.tokens, model.config.width)
    assert output.tokens.shape == (3, n, width) and output.cls.shape == (3, width)
    assert output.tokens.isfinite().all() and output.cls.isfinite().all()
    if output.token_mask is not None:
        assert output.token_mask.shape == (3, n) and output.token_mask.dtype == torch.bool


@every_encoder
def test_an_ecg_is_encoded_the_same_alone_and_among_others(name):
    model = small(name)
    batch = ecgs(model, 3)
    alone = model(batch[1:2])
    assert torch.allclose(model(batch).tokens[1:2], alone.tokens, atol=1e-5)
    assert torch.allclose(model(batch).cls[1:2], alone.cls, atol=1e-5)


@every_encoder
def test_what_an_absent_lead_holds_does_not_matter(name):
    model = small(name)
    ecg, mask = ecgs(model), torch.ones(2, len(LEADS), dtype=torch.bool)
    same(model(ecg, lead_mask=mask), model(ecg))
    mask[0, LEADS.index("V3")] = False
    masked = model(ecg, lead_mask=mask)
    assert not torch.allclose(masked.cls[0], model(ecg).cls[0], atol=1e-6)
    assert torch.allclose(masked.cls[1], model(ecg).cls[1], atol=1e-6)
    noisy = ecg.clone()
    noisy[0, LEADS.index("V3")] = float("nan")
    same(model(noisy, lead_mask=mask), masked)


@every_encoder
def test_an_encoder_and_what_it_reads_survive_saving(name, tmp_path):
    model = small(name, normalisation="mv")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert json.loads((tmp_path / "config.json").read_text())["ecg_input"]["rate"] == 100
    assert encoders.input_of(tmp_path) == model.config.ecg_input
    for again in (encoders.load(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(again) is type(model) and not again.training
        assert again.config.ecg_input == model.config.ecg_input == EcgInput(normalisation="mv")
        assert weights_hash(again) == weights_hash(model)
        same(again(ecgs(model)), model(ecgs(model)), rtol=0, atol=0)


@every_encoder
def test_a_few_steps_lower_a_loss_and_every_weight_has_a_gradient(name):
    model = small(name).train()
    ecg, target = ecgs(model, 4), torch.randn(4, model.config.width)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(20):
        output = model(ecg)
        loss = (output.cls - target).square().mean() + output.tokens.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@every_encoder
def test_a_frozen_encoder_keeps_every_byte_while_something_on_top_learns(name):
    model = small(name).requires_grad_(False)
    before, top = weights_hash(model), torch.nn.Linear(model.config.width, 1)
    optimiser = torch.optim.SGD(top.parameters(), 0.1)
    top(model(ecgs(model)).tokens).square().mean().backward()
    optimiser.step()
    assert weights_hash(model) == before


@every_encoder
@pytest.mark.parametrize("reads", [{"rate": 500}, {"leads": ("II", "V1", "V5")}])
def test_other_rates_and_leads_work_or_are_refused_by_the_config(name, reads):
    try:
        model = small(name, **reads)
    except ConfigError:
        pytest.skip(f"{name} does not take {reads}")
    ecg = ecgs(model)
    assert ecg.shape[1:] == EcgInput(**reads).shape
    assert model(ecg).tokens.shape == (2, model.config.tokens, model.config.width)


@every_encoder
def test_an_unknown_setting_is_named_in_one_line(name):
    with pytest.raises(ConfigError, match=r"encoder\.colour") as caught:
        encoders.build(name, settings_of(name) | {"colour": "red"}, EcgInput())
    assert "\n" not in str(caught.value)


def test_a_saved_encoder_is_loaded_where_nothing_has_imported_its_file(tmp_path):
    small("stem_vit").save_pretrained(tmp_path)
    code = f"from ecg_lib import encoders; print(type(encoders.load({str(tmp_path)!r})).__name__)"
    run = [sys.executable, "-c", code]
    told = subprocess.run(run, cwd=paths.ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "StemVit"


def test_a_folder_without_an_encoder_or_with_half_of_one_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"config\.json"):
        encoders.load(tmp_path)
    model = small("stem_vit")
    state = model.state_dict()
    model.save_pretrained(tmp_path, state_dict={k: v for k, v in state.items() if k != "cls"})
    with pytest.raises(DataError, match="cls"):  # not filled with random numbers
        encoders.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard_of"}))
    with pytest.raises(DataError, match="unheard_of"):
        encoders.load(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"leads": ("I", "X")}, "leads are I, X"),
        ({"leads": ("I", "I")}, "give each at most once"),
        ({"normalisation": "zscore"}, "zscore"),
        ({"seconds": 0}, "no sample"),
    ],
)
def test_an_input_that_cannot_be_is_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        EcgInput(**wrong)


def test_input_settings_outside_ecg_input_are_refused():
    with pytest.raises(TypeError, match="normalisation"):
        encoders.find("stem_vit").config_class(normalisation="mv")
