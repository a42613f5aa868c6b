"""The ways in which causal language models of transformers differ, and one answer to each.

Architectures differ in what follows the output layer, in how far their positions reach, in the
names of their layers and in whether questions can share a beginning. Model folders also carry
settings for generation. The rest of the library calls these functions and knows no architecture.
`lm` is a causal language model of transformers, without PEFT's wrapper.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from ecg_lib.errors import ConfigError, DataError

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase

_SOFT_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
_NEAR = {torch.float32: 1e-3, torch.float64: 1e-6}  # relative to the largest logit
_COARSE = 0.05  # the same for half precision


def final_logits(lm: Any, hidden: Tensor) -> Tensor:
    """Turn last hidden states into the logits that the language model itself would return.

    Some models scale or cap the output layer's logits: Cohere, Granite, Gemma 2.

    Parameters
    ----------
    lm : PreTrainedModel
    hidden : (..., H)

    Returns
    -------
    (..., V)
    """
    logits = lm.get_output_embeddings()(hidden)
    settings = _settings(lm)
    if (factor := getattr(lm, "logit_scale", None)) is not None:
        logits = logits * factor
    if (divisor := getattr(settings, "logits_scaling", None)) is not None:
        logits = logits / divisor
    for name in _SOFT_CAPS:
        if (cap := getattr(settings, name, None)) is not None:
            logits = torch.tanh(logits / cap) * cap
    return logits


def decode_states(
    lm: Any, inputs_embeds: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None
) -> Tensor:
    """Return the last hidden states (B, L, H) of embedded tokens (B, L, H), without a cache.

    A model that derives its positions from the mask alone, such as BLOOM, gets no `position_ids`.
    """
    decoder = lm.get_decoder()
    given = {"position_ids": position_ids} if _takes_positions(decoder) else {}
    return decoder(
        inputs_embeds=inputs_embeds, attention_mask=attention_mask, use_cache=False, **given
    ).last_hidden_state


def plain_generation(lm: Any) -> Any:
    """Return a view of a language model without the generation settings of its folder.

    `generation_config.json` may ask for sampling, beams, penalties or forced tokens, and
    transformers applies each one that the caller does not override. The view shares all weights and
    keeps only the ids of special tokens. The model itself is not changed.
    """
    own = getattr(lm, "generation_config", None)
    if own is None:
        return lm
    view: Any = copy.copy(lm)
    view.generation_config = GenerationConfig(
        bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id
    )
    return view


def most_positions(lm: Any) -> int | None:
    """Return how many positions a language model has; None if nothing limits them."""
    return getattr(_settings(lm), "max_position_embeddings", None)


def check_fits(lm: Any, length: int, new_tokens: int = 0) -> None:
    """Check that a prompt and its answer have positions in the language model.

    Beyond its last position a model with learned positions stops with an index error, and one with
    rotary positions answers nonsense.

    Raises
    ------
    DataError
        The prompt, or the prompt with its answer, is too long.
    """
    limit = most_positions(lm)
    if limit is None or length + new_tokens <= limit:
        return
    answer = f" and an answer of up to {new_tokens}" if new_tokens else ""
    raise DataError(
        f"a prompt of {length} tokens{answer} exceeds the {limit} positions of the language model; "
        "shorten the question, ask for fewer new tokens or use a language model with more positions"
    )


def check_positions(lm: Any, position_ids: Tensor, packed: bool) -> None:
    """Check that all positions (B, L) exist, and in packed rows also lie in the attention window.

    Only a batch that is long enough to be at fault is read back from the GPU.

    Raises
    ------
    DataError
        A prompt is too long for the language model, or for its attention window if questions are
        packed: a packed row's mask does not know the window.
    """
    limit, window = most_positions(lm), attention_window(lm) if packed else None
    length = position_ids.shape[-1]
    if limit is not None and length > limit:
        check_fits(lm, int(position_ids.max()) + 1)
    if window is not None and length > window and int(position_ids.max()) >= window:
        raise DataError(
            f"a prompt of {int(position_ids.max()) + 1} tokens exceeds the attention window of "
            f"{window} tokens, so questions cannot share it; shorten the question or set "
            "questions_per_ecg=1"
        )


def attention_window(lm: Any) -> int | None:
    """Return over how many tokens the layers with a sliding window look back; None without one."""
    settings = _settings(lm)
    window = getattr(settings, "sliding_window", None)
    kinds = getattr(settings, "layer_types", None)
    sliding = kinds is None or any(kind == "sliding_attention" for kind in kinds)
    return window if sliding and getattr(settings, "use_sliding_window", True) else None


def shares_prefix(lm: Any) -> bool:
    """Return whether many questions can continue one beginning, packed or from a cache.

    It takes a 4-D mask and position ids, which recurrent models, ALiBi and flash attention lack.
    """
    settings = _settings(lm)
    attention = getattr(settings, "_attn_implementation", None) or "eager"
    kinds = {*(getattr(settings, "layer_types", None) or ())}
    return (
        _takes_positions(lm.get_decoder())
        and not getattr(lm, "_is_stateful", False)
        and not getattr(settings, "alibi", False)
        and attention in ("eager", "sdpa")
        and kinds <= {"full_attention", "sliding_attention"}
    )


def check_lora(lm: nn.Module, lora: LoraConfig) -> None:
    """Check that the language model has every layer that LoRA is to adapt.

    Layers have other names in other architectures. The paper adapts Llama's `q_proj` and `k_proj`.
    GPT-2 computes queries, keys and values in one layer, `c_attn`; GPT-NeoX and BLOOM call theirs
    `query_key_value`. Nothing is translated, because adapting a joint layer also adapts the values.

    Raises
    ------
    ConfigError
        A name is no layer; PEFT would leave it out if another name is one.
    """
    if not isinstance(lora.target_modules, (list, set, tuple)):
        return  # a pattern or "all-linear", which PEFT resolves
    layers = [name for name, module in lm.named_modules() if _adaptable(module)]
    for name in sorted(lora.target_modules):
        if not any(layer == name or layer.endswith(f".{name}") for layer in layers):
            raise ConfigError(
                f"lora.target_modules: {type(lm).__name__} has no layer {name!r}; choose from "
                f"{', '.join(_own_names(layers))}"
            )


@torch.no_grad()
def check_usable(lm: Any, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
    """Check on two tokens that embeddings and hidden states give the language model's own logits.

    Raises
    ------
    DataError
        They do not, because the architecture does something that this library does not know; or
        the tokenizer has tokens without a row in the embedding table.
    """
    table = lm.get_input_embeddings()
    if tokenizer is not None:
        _check_vocabulary(tokenizer, table.weight.shape[0])
    ids = torch.tensor([[0, 1]], device=lm.device)
    ours = final_logits(lm, decode_states(lm, table(ids), None, None)).float()
    own = lm(input_ids=ids).logits.float()
    near = _NEAR.get(table.weight.dtype, _COARSE) * max(1.0, float(own.abs().max()))
    if ours.shape != own.shape or not torch.allclose(ours, own, rtol=0, atol=near):
        raise DataError(
            f"{type(lm).__name__} does not compute its logits from input embeddings and output "
            "layer alone, so ECGs cannot be put into its prompts; use another language model"
        )


def _check_vocabulary(tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Refuse tokens without a row, unless they are special tokens that no text contains."""
    needed = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    missing = [
        str(token)
        for i, token in tokenizer.added_tokens_decoder.items()
        if i >= rows and (i in needed or not token.special)
    ]
    if missing:
        raise DataError(
            f"the tokenizer's {missing[0]!r} has no row in the language model's embedding table of "
            f"{rows}; call resize_token_embeddings(len(tokenizer)) and save the model again"
        )


def _adaptable(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _own_names(layers: Iterable[str]) -> Sequence[str]:
    """Return the last parts of the names of layers that occur below others, in order."""
    return list(dict.fromkeys(name.rpartition(".")[2] for name in layers if "." in name))


def _settings(lm: Any) -> Any:
    """Return the config of the text model, which a model of several kinds of input nests."""
    return lm.config.get_text_config()


def _takes_positions(decoder: Any) -> bool:
    return "position_ids" in inspect.signature(type(decoder).forward).parameters
