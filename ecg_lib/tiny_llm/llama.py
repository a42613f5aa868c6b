"""A Llama small enough to pretrain along with the notebooks; it stands in for LLaMA-2-7B."""

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
    """Train a byte-level BPE tokeniser in which every digit is a token, as in Llama.

    Each of the `phrases` that has several words, such as "left bundle branch block", becomes an
    extra token. A model this small would otherwise spend its depth on spelling them.
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
    """Build a Llama with random weights: rotary positions, RMS norm, SwiGLU, tied embeddings.

    In each layer, half of the heads start with key weights equal to query weights, so that a token
    attends to similar tokens. Finding the name in a report that a question asks about is what such
    a model learns last. This follows the mimetic initialisation of Trockman and Kolter (2023,
    arXiv:2305.09828), who apply it to all heads.
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
        initializer_range=width**-0.5,  # Llama's 0.02 would keep narrow attention uniform for long
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
