"""The text encoder for contrastive pretraining: a BERT from the hub, or a small untrained one."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)


def train_report_tokens(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a lower-casing byte-pair tokenizer on reports, with BERT's special tokens.

    BERT's own WordPiece is not used because its trainer numbers pieces in the order of a hash map,
    so two runs with the same seed would differ.

    Parameters
    ----------
    texts : iterable of str
        Reports.
    vocabulary : int
        Size of the vocabulary.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def small_bert(vocabulary: int, width: int, depth: int, heads: int, max_tokens: int) -> BertModel:
    """Build a BERT with random weights, small enough to train together with the ECG encoder."""
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=max(max_tokens, 16),
        hidden_dropout_prob=0.0,  # small and trained for few epochs: no need to regularise
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    return BertModel(config, add_pooling_layer=False)


class TextEncoder(nn.Module):
    """A transformer whose last hidden states are averaged over the tokens of a text."""

    def __init__(self, backbone: PreTrainedModel):
        super().__init__()
        self.backbone = backbone

    @property
    def width(self) -> int:
        """Size W of a text's vector."""
        return self.backbone.config.hidden_size

    @classmethod
    def from_pretrained(cls, name_or_path: str) -> TextEncoder:
        """Load any transformers encoder from the hub or a folder."""
        kind = AutoConfig.from_pretrained(name_or_path).model_type
        unpooled = {"add_pooling_layer": False} if kind in ("bert", "roberta") else {}
        return cls(AutoModel.from_pretrained(name_or_path, **unpooled))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode texts: token ids and mask (B, L) -> (B, W)."""
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        hidden = output.last_hidden_state  # (B, L, W)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)  # (B, W)
