"""A Llama small enough to be pretrained beside the notebooks, in the role of LLaMA-2-7B."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def train_byte_pairs(
    texts: Iterable[str], vocabulary: int, phrases: Iterable[str] = ()
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokeniser; digits are single tokens, as in Llama.

    Each of the `phrases` of several words, such as "left bundle branch block", is one token more: a
    model this small would spend its depth on spelling them.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Strip(left=True, right=False),
            normalizers.Prepend(" "),
            normalizers.Replace(Regex(r"^ (?=[.,;:?!])"), ""),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(
        [AddedToken(f" {p}", normalized=True) for p in sorted({p for p in phrases if " " in p})]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def tiny_llama(
    tokenizer: PreTrainedTokenizerFast,
    width: int,
    depth: int,
    heads: int,
    max_positions: int = 1024,
) -> LlamaForCausalLM:
    """A Llama with random weights: rotary positions, RMS norm, SwiGLU, tied embeddings.

    Half of the heads of a layer start with keys equal to queries, so that a token attends to its
    like: finding in a report the name that is asked about is what such a model learns last. After
    the mimetic initialisation of Trockman and Kolter (2023, arXiv:2305.09828), who do it in all.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        initializer_range=width**-0.5,  # Llama's 0.02 leaves attention this narrow uniform for long
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    alike = heads // 2 * width // heads
    with torch.no_grad():
        for layer in model.model.layers:
            attention = layer.self_attn
            attention.k_proj.weight[:alike] = attention.q_proj.weight[:alike]
    return model
