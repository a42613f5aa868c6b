"""Test MERL's encoders: the published numbers of parameters, their pooling and absent leads."""

import pytest
import torch

from ecg_lib import encoders, paths
from ecg_lib.config import compose, compose_values
from ecg_lib.encoders.base import EcgInput
from ecg_lib.errors import ConfigError

AT_500 = EcgInput(rate=500)
SIZES = {  # width, heads -> millions of parameters at 500 Hz, from the authors' code
    "tiny": (192, 3, 5.47),
    "small": (384, 6, 21.6),
    "middle": (512, 8, 38.2),
    "base": (768, 12, 85.6),
}


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("size", SIZES)
def test_vits_have_the_published_number_of_parameters(size):
    width, heads, millions = SIZES[size]
    settings = {"patch": 50, "width": width, "heads": heads, "mlp": 4 * width}
    config = encoders.configure("merl_vit", settings, AT_500)
    with torch.device("meta"):
        model = encoders.find("merl_vit")(config)
    assert config.tokens == 100
    assert round(parameters(model) / 1e6, 2 if millions < 10 else 1) == millions


def test_the_resnet_has_the_published_number_of_parameters_and_map():
    model = encoders.build("resnet1d", {}, AT_500).eval()
    assert round(parameters(model) / 1e6, 2) == 3.85
    output = model(torch.randn(1, 12, 5000))
    assert output.tokens.shape == (1, 313, 512) == (1, model.config.tokens, model.config.width)


@pytest.mark.parametrize("samples", [1000, 999, 500, 17, 16, 1])
def test_the_resnet_says_how_many_tokens_it_gives(samples):
    reads = EcgInput(rate=100, seconds=samples / 100)
    model = encoders.build("resnet1d", {"channels": 2}, reads).eval()
    assert model(torch.randn(1, 12, samples)).tokens.shape == (1, model.config.tokens, 16)


def test_the_pooled_vectors_are_what_merl_probes():
    ecg = torch.randn(2, 12, 1000)
    resnet = encoders.build("resnet1d", {"channels": 4}, EcgInput()).eval()
    output = resnet(ecg)
    assert torch.allclose(output.cls, output.tokens.mean(1), atol=1e-6)
    assert output.tokens.min() >= 0  # the last step of a block is a ReLU
    vit = encoders.build("merl_vit", {"width": 32, "depth": 1, "mlp": 64}, EcgInput()).eval()
    output = vit(ecg)
    mean = output.tokens.mean(1)
    centred = mean - mean.mean(1, keepdim=True)
    by_hand = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(output.cls, by_hand, atol=1e-5)


@pytest.mark.parametrize("name", ["merl_vit", "resnet1d"])
def test_an_absent_lead_leaves_the_sum_of_the_first_convolution(name):
    """Its kernels could as well be 0, since the convolution has no bias."""
    model = encoders.build(
        name, compose_values("smoke", [f"encoder={name}_tiny"]).encoder, EcgInput()
    )
    ecg, mask = torch.randn(2, 12, 1000), torch.ones(2, 12, dtype=torch.bool)
    mask[:, 3] = False
    masked = model.eval()(ecg, mask).cls
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Conv1d))
    assert first.bias is None
    with torch.no_grad():
        first.weight[:, 3] = 0
    assert torch.allclose(model(ecg).cls, masked, atol=1e-6)


def test_positions_have_the_recovered_spread():
    vit = encoders.build("merl_vit", {"depth": 1}, EcgInput())
    assert vit.positions.std().item() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize(
    ("name", "wrong", "named"),
    [
        ("merl_vit", {"patch": 30}, r"encoder\.patch is 30; .* 1, 2, 4, 5, 8, 10"),
        ("merl_vit", {"heads": 0}, r"encoder\.heads is 0"),
        ("merl_vit", {"dropout": -0.1}, r"encoder\.dropout is -0\.1"),
        ("resnet1d", {"channels": 0}, r"encoder\.channels is 0"),
    ],
)
def test_an_impossible_setting_is_named(name, wrong, named):
    with pytest.raises(ConfigError, match=named):
        encoders.configure(name, wrong, EcgInput())


FILES = sorted(file.stem for file in (paths.CONF / "encoder").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES)
def test_every_file_of_settings_fits_a_profile_without_an_llm(file):
    config = compose("demo", [f"encoder={file}", "arms=[]", "stages.nature=[]"])
    assert config.encoder["name"] == encoders.find(config.encoder["name"]).config_class.model_type


def test_an_llm_needs_tokens_in_fours_and_a_study_of_arms_needs_arms():
    with pytest.raises(ConfigError, match="63 ECG tokens cannot be grouped in fours"):
        compose("demo", ["encoder=resnet1d"])
    with pytest.raises(ConfigError, match="arms is empty, but stages.nature asks"):
        compose("demo", ["arms=[]"])
    with pytest.raises(ConfigError, match="arms lacks 'de-biased'"):
        compose("demo", ["arms=[none]"])
