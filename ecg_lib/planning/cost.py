"""Operations and bytes of one training step, counted from the shapes of a model.

Forward and backward run on PyTorch's meta device, so nothing is computed. Frozen weights count as
autograd treats them: a gradient passes through a frozen layer, but the layer gets none itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ecg_lib.ecg_llm.frozen_llm import embeddings_of
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.projector import FACTOR
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.objectives.parts.clip import EcgClip

ADAM = 8  # bytes per trained weight: two moments in fp32


@dataclass(frozen=True)
class Cost:
    """Cost of training on one sample; a multiplication and an addition count as two operations."""

    parameters: int
    trainable: int
    forward_flops: int
    step_flops: int  # forward and backward
    weight_bytes: int
    gradient_bytes: int
    optimiser_bytes: int
    activation_bytes: int  # held for backward, per sample, with plain attention
    checkpointed_flops: int | None = None  # step_flops with gradient checkpointing
    checkpointed_bytes: int | None = None  # activation_bytes with gradient checkpointing

    @property
    def state_bytes(self) -> int:
        """Bytes of weights, gradients and optimiser, which do not depend on the batch size."""
        return self.weight_bytes + self.gradient_bytes + self.optimiser_bytes


class _Saved:
    """Bytes that autograd keeps for backward, per layer; each storage counts once."""

    def __init__(self, model: nn.Module, layers: nn.ModuleList | None, counter: FlopCounterMode):
        self.counter, self.layer_flops = counter, 0
        self.own = {p.untyped_storage()._cdata for p in model.parameters()}
        self.kept: list[Tensor] = []  # kept alive, so that no storage address is reused
        self.bytes: dict[int | None, int] = {None: 0}
        self.now: int | None = None
        self.hooks = []
        for i, layer in enumerate(layers or ()):
            self.hooks.append(layer.register_forward_pre_hook(lambda *_, i=i: self._enter(i)))
            self.hooks.append(layer.register_forward_hook(lambda *_: self._enter(None)))

    def _enter(self, layer: int | None) -> None:
        self.layer_flops += self.counter.get_total_flops() * (1 if layer is None else -1)
        self.now = layer

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.own:
            self.own.add(storage._cdata)
            self.kept.append(tensor)
            self.bytes[self.now] = self.bytes.get(self.now, 0) + storage.nbytes()
        return tensor

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()


def cost_of(
    model: nn.Module,
    loss: Callable[[], Tensor],
    layers: nn.ModuleList | None = None,
    input_bytes: int = 0,
) -> Cost:
    """Count the cost of one sample.

    Parameters
    ----------
    model : nn.Module
        In training mode, on the meta device. On a real device it is actually run.
    loss : callable
        The forward pass of one sample.
    layers : nn.ModuleList, optional
        The layers that gradient checkpointing would run again in backward.
    input_bytes : int
        Size of the input of one such layer, which is all that checkpointing keeps of it.
    """
    counter = FlopCounterMode(display=False)
    saved = _Saved(model, layers, counter)
    with counter, saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        value = loss()
        forward = counter.get_total_flops()
        value.backward()
        step = counter.get_total_flops()
    saved.close()
    again = within = None
    if layers is not None:
        own = [size for layer, size in saved.bytes.items() if layer is not None]
        within = saved.bytes[None] + input_bytes * len(own) + max(own, default=0)
        again = step + saved.layer_flops
    weights = list(model.parameters())
    trained = [p for p in weights if p.requires_grad]
    return Cost(
        parameters=sum(p.numel() for p in weights),
        trainable=sum(p.numel() for p in trained),
        forward_flops=forward,
        step_flops=step,
        weight_bytes=sum(p.numel() * p.element_size() for p in weights),
        gradient_bytes=sum(p.numel() * p.element_size() for p in trained),
        optimiser_bytes=ADAM * sum(p.numel() for p in trained),
        activation_bytes=sum(saved.bytes.values()),
        checkpointed_flops=again,
        checkpointed_bytes=within,
    )


def clip_cost(clip: EcgClip, text_tokens: int, bf16: bool) -> Cost:
    """Count the cost of one ECG-report pair of contrastive pretraining.

    The (B, B) products of the loss are left out.

    Parameters
    ----------
    clip : EcgClip
        On the meta device; with `bf16` it is converted in place.
    text_tokens : int
        Tokens of the report.
    bf16 : bool
        Whether activations are in bfloat16; weights and optimiser stay in fp32.
    """
    device = clip.log_scale.device
    words = torch.zeros(1, text_tokens, dtype=torch.long, device=device)

    def loss(dtype: torch.dtype) -> Tensor:
        # transformers does not inspect a 4-D mask; the values of a meta tensor cannot be read.
        mask = torch.zeros(1, 1, text_tokens, text_tokens, dtype=dtype, device=device)
        hidden = clip.text_encoder.backbone(input_ids=words, attention_mask=mask).last_hidden_state
        ecg = torch.zeros(1, *clip.ecg_encoder.config.ecg_input.shape, dtype=dtype, device=device)
        text = clip.text_projection(hidden.mean(1))
        return (clip.ecg_projection(clip.ecg_encoder(ecg).cls) * text).sum() * clip.log_scale

    cost = cost_of(clip.train(), lambda: loss(torch.float32))
    if not bf16:
        return cost
    half = cost_of(clip.to(torch.bfloat16), lambda: loss(torch.bfloat16))  # weights stay in fp32
    return Cost(**{**vars(cost), "activation_bytes": half.activation_bytes})


def stage_cost(model: EcgLlm, slots: int, words: int, answer: int) -> Cost:
    """Count the cost of one question row of stage 1 or 2.

    The encoder's tokens are cached, so the encoder takes memory but no time.

    Parameters
    ----------
    model : EcgLlm
        On the meta device.
    slots : int
        ECG tokens.
    words : int
        Text tokens, including the answer.
    answer : int
        Tokens of the answer, which carry the loss.
    """
    device, lm = model.device, model.base_lm
    length, encoder = slots + words, model.encoder.config
    decoder, table = lm.get_decoder(), embeddings_of(lm)
    dtype = table.weight.dtype

    def loss() -> Tensor:
        ids = torch.zeros(1, words, dtype=torch.long, device=device)
        tokens = torch.zeros(1, FACTOR * slots, encoder.width, device=device)
        ecg = model.projector(tokens).to(dtype)
        mask = torch.zeros(1, 1, length, length, dtype=dtype, device=device)
        hidden = decoder(
            inputs_embeds=torch.cat([ecg, table(ids)], dim=1), attention_mask=mask, use_cache=False
        ).last_hidden_state
        return lm.get_output_embeddings()(hidden[:, -answer:]).float().logsumexp(-1).sum()

    return cost_of(
        model.train(), loss, decoder.layers, length * table.embedding_dim * dtype.itemsize
    )


def encode_flops(encoder: EcgEncoder) -> int:
    """Count the operations to encode one ECG."""
    ecg = torch.zeros(1, *encoder.config.ecg_input.shape, device=encoder.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder.eval()(ecg)
    return counter.get_total_flops()
