"""Test the query network: what a score depends on, where it looks, and how it starts."""

import pytest
import torch
from torch import nn

from ecg_lib.errors import ConfigError
from ecg_lib.objectives.parts.query_network import QueryNetwork, QuerySizes

W, D, N, Q = 12, 10, 7, 5  # text width, token width, tokens, queries


def network(seed=0, **sizes):
    """Build a small network whose weights are large enough that everything matters."""
    torch.manual_seed(seed)
    small = {"layers": 2, "heads": 2, "head_width": 8, "width": 16, "hidden": 32} | sizes
    made = QueryNetwork(W, D, QuerySizes(**small)).eval()
    for module in made.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.4)
    return made


@pytest.fixture
def names():
    return torch.randn(Q, W, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens():
    return torch.randn(3, N, D, generator=torch.Generator().manual_seed(2))


MASK = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [False, True] * 3 + [True]])


def test_a_logit_for_each_ecg_and_query(names, tokens):
    logits = network()(names, tokens)
    assert logits.shape == (3, Q)
    assert logits.std(0).min() > 1e-2 and logits.std(1).min() > 1e-2


def test_independent_queries_do_not_see_each_other(names, tokens):
    made = network(self_attention=False)
    whole = made(names, tokens, MASK)
    for asked in ([2], [0, 4], [4, 1, 3]):
        torch.testing.assert_close(made(names[asked], tokens, MASK), whole[:, asked])


def test_with_self_attention_a_score_depends_on_what_else_is_asked(names, tokens):
    made = network(self_attention=True)
    whole = made(names, tokens, MASK)
    assert (made(names[[2]], tokens, MASK) - whole[:, [2]]).abs().max() > 1e-2


def test_the_order_of_queries_and_of_tokens_does_not_matter(names, tokens):
    made, whole = network(), network()(names, tokens)
    order = [3, 0, 4, 2, 1]
    torch.testing.assert_close(made(names[order], tokens), whole[:, order])
    torch.testing.assert_close(made(names, tokens[:, [6, 2, 0, 5, 1, 4, 3]]), whole)


def test_masked_tokens_are_as_if_dropped(names, tokens):
    made = network()
    masked = made(names, tokens, MASK)
    for row in range(3):
        alone = made(names, tokens[row : row + 1, MASK[row]])
        torch.testing.assert_close(masked[row : row + 1], alone)
    other = tokens.masked_fill(~MASK[..., None], 100.0)
    torch.testing.assert_close(made(names, other, MASK), masked)
    assert (made(names, other) - made(names, tokens)).abs().max() > 1e-2


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_attention_sums_to_one_over_the_valid_tokens(names, tokens, layer):
    looks = network().attention(names, tokens, MASK, layer)
    assert looks.shape == (3, Q, N)
    torch.testing.assert_close(looks.sum(-1), torch.ones(3, Q))
    assert (looks.transpose(1, 2)[~MASK] == 0).all() and (looks >= 0).all()
    assert (looks[0] - 1 / N).abs().max() > 1e-2


def test_the_map_is_the_attention_that_forward_applies(names, tokens):
    made = network(heads=1, layers=1)
    seen = []
    across = made.layers[0].across
    hook = across.register_forward_hook(lambda _, given, out: seen.append((given, out)))
    made(names, tokens, MASK)
    hook.remove()
    ((_, keys, _), out), looks = seen[0], made.attention(names, tokens, MASK)
    torch.testing.assert_close(across.out(looks @ across.value(keys)), out)


def test_the_map_averages_over_heads(names, tokens):
    made = network(layers=1)
    looks = made.attention(names, tokens)
    layer = made.layers[0]
    queries = layer.norm_across(layer.gather(made.query_in(names)[None]))
    q, k = layer.across.query(queries)[0], layer.across.key(made.token_in(tokens[:1]))[0]
    each = [(q[:, h] @ k[:, h].T / 8**0.5).softmax(-1) for h in (slice(0, 8), slice(8, 16))]
    torch.testing.assert_close(looks[0], (each[0] + each[1]) / 2)


def test_any_number_of_heads_fits_any_width(names, tokens):
    made = network(heads=5, head_width=64, width=16)
    assert made.layers[0].across.query.weight.shape == (320, 16)
    assert made(names, tokens).shape == (3, Q)


def test_the_sizes_are_the_paper_s():
    made = QueryNetwork(768, 192, QuerySizes())
    first = made.layers[0]
    assert len(made.layers) == 4 and made.query_in.weight.shape == (256, 768)
    assert made.token_in.weight.shape == (256, 192)
    assert first.across.query.weight.shape == (256, 256) and first.among.heads == 4
    assert first.forward_part[1].out_features == 1024 and made.dropout.p == 0.1


def test_it_starts_at_the_rate_of_the_labels():
    torch.manual_seed(0)
    made = QueryNetwork(768, 192, QuerySizes()).eval()
    made.set_rate(0.03)
    assert made.head.bias.item() == pytest.approx(-3.4761, abs=1e-4)  # log(0.03 / 0.97)
    rate = made(torch.randn(20, 768), torch.randn(8, 37, 192)).sigmoid()
    assert 0.015 < rate.mean() < 0.06
    for name, weight in made.named_parameters():
        if name.endswith("weight") and weight.ndim == 2 and weight.numel() > 1000:
            assert weight.std().item() == pytest.approx(0.02, rel=0.1), name
        if name.endswith("bias") and "head" not in name:
            assert not weight.any(), name
    for impossible in (0.0, 1.0):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            made.set_rate(impossible)


def test_dropout_acts_in_training_only(names, tokens):
    made = network(dropout=0.5)
    torch.testing.assert_close(made(names, tokens), made(names, tokens))
    made.train()
    assert (made(names, tokens) - made(names, tokens)).abs().max() > 1e-2


@pytest.mark.parametrize("mistake", [{"layers": 0}, {"head_width": 0}, {"dropout": 1.0}])
def test_impossible_sizes_are_named(mistake):
    with pytest.raises(ConfigError, match=f"query_network.{next(iter(mistake))} is"):
        QuerySizes(**mistake)
