"""Conversion of prompts and answers to tensors, with slots for the projected ECG tokens.

The paper's two prompts are defined here, verbatim, and nowhere else. A prompt is one string,
including its ECGs, and is tokenized as one string. Its answer follows after one space. The
processor never sees a signal; it only reserves slots.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ecg_lib.errors import DataError

ONE_ECG = "This is an electrocardiogram. {}. "
TWO_ECGS = "Here are two electrocardiograms. The first is {}, and the second is {}. "
QUESTION = "Answer the following questions based on the above content: {question}"
SLOT = "<|ecg|>"  # stands for one ECG in the string
_STAND_IN = "\ue000ecg\ue000"  # stands for `SLOT` where no special token may act
IGNORE = -100  # label of positions that do not count in the loss


def labelled(prompt: Sequence[int], answer: Sequence[int]) -> dict:
    """Join the ids of a prompt and its answer into a training row; only the answer has labels."""
    return {"input_ids": [*prompt, *answer], "labels": [*[IGNORE] * len(prompt), *answer]}


class EcgLlmProcessor:
    """A builder of token ids for questions about one or two ECGs.

    `SLOT` is a special token of the processor's own copy of the tokenizer. Its id is one past the
    LLM's vocabulary. The LLM's embedding table needs no new row, because the model replaces slots
    before embedding. Like a word of a byte-level vocabulary, the slot includes the space before it.
    An ECG is therefore never preceded by a lone space, which such an LLM has rarely seen. A
    tokenizer that puts a space before every text (Llama's) also puts one after a slot:
    "<|ecg|> . Answer".

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Any tokenizer of transformers; it is not changed.
    slots : int
        Number of LLM positions per ECG (T / p / 4, equation 5); 0 for prompts with written reports
        instead of ECGs.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, slots: int):
        self.tokenizer, self.slots = tokenizer, slots
        if slots and SLOT not in tokenizer.get_added_vocab():
            self.tokenizer = copy.deepcopy(tokenizer)
            slot = AddedToken(SLOT, lstrip=True, normalized=False, special=True)
            self.tokenizer.add_tokens([slot], special_tokens=True)
        slot_id = self.tokenizer.convert_tokens_to_ids(SLOT) if slots else len(tokenizer)
        assert isinstance(slot_id, int)  # one token has one id
        self.slot_id = slot_id
        self._speller: PreTrainedTokenizerBase | None = None
        self.pad_id = _in_vocabulary(tokenizer)
        special = {i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special}
        self._control = {*special, *tokenizer.all_special_ids} - {slot_id}

    def _tokenised(self, text: str) -> list[int]:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids if self._control.isdisjoint(ids) else self._as_text(text)

    def _as_text(self, text: str) -> list[int]:
        """Return the ids of a text in which only `SLOT` is a token of its own.

        A person may type "</s>" in a question. That is text: as a token it would end the prompt.
        """
        if self._speller is None:  # made once, as few texts need it
            self._speller = copy.deepcopy(self.tokenizer)
            slot = AddedToken(_STAND_IN, lstrip=True, normalized=False, special=False)
            self._speller.add_tokens([slot])
        known = self._speller.convert_tokens_to_ids(_STAND_IN)
        spelled = self._speller(
            text.replace(SLOT, _STAND_IN), add_special_tokens=False, split_special_tokens=True
        )["input_ids"]
        return [self.slot_id if i == known else i for i in spelled]

    def text_ids(self, text: str) -> list[int]:
        """Return the token ids of a text by itself; an ECG in it is one id."""
        return self._tokenised(text)

    def continue_ids(self, text: str, after: str) -> list[int]:
        """Return the token ids of `text` after `after` and one space.

        A prompt is read before its answer is known, so no token may span both. If the tokenizer
        would join the two ("possible" and "sinus rhythm" may be one token), `text` gets the ids
        that it has after a colon.

        Raises
        ------
        DataError
            The tokenizer joins even a colon and the text.
        """
        for end in (after, ":"):
            before, whole = self.text_ids(end), self._tokenised(f"{end} {text}")
            if whole[: len(before)] == before:
                return whole[len(before) :]
        raise DataError(
            f"{text[:40]!r}: the tokenizer merges it with the colon and space before it and "
            "cannot tell prompt from answer; use another LLM"
        )

    def prompt_text(self, question: str, ecgs: int | Sequence[str] = 1) -> str:
        """Return the paper's prompt as one string, with `SLOT` in the place of each ECG.

        Parameters
        ----------
        question : str
            If empty, the prompt ends where a question would follow.
        ecgs : int or sequence of str
            The number of ECGs, or written reports that take their place.

        Raises
        ------
        ValueError
            The number of ECGs is neither one nor two.
        DataError
            The question or a report contains `SLOT`.
        """
        pieces = [SLOT] * ecgs if isinstance(ecgs, int) else list(ecgs)
        if len(pieces) not in (1, 2):
            raise ValueError(f"a question is about one or two ECGs, not {len(pieces)}")
        frame = ONE_ECG if len(pieces) == 1 else TWO_ECGS
        text = frame.format(*pieces) + QUESTION.format(question=question.strip())
        if text.count(SLOT) != (ecgs if isinstance(ecgs, int) else 0):
            raise DataError(
                f"{question!r} or a report contains {SLOT}, which stands for an ECG; remove it"
            )
        return text.rstrip()

    def prompt_ids(self, question: str, ecgs: int | Sequence[str] = 1) -> list[int]:
        """Return the token ids of `prompt_text`, with the tokenizer's beginning-of-text token."""
        bos, ids = self.tokenizer.bos_token_id, self.text_ids(self.prompt_text(question, ecgs))
        spread = [i for k in ids for i in ([k] * self.slots if k == self.slot_id else [k])]
        return spread if bos is None else [bos, *spread]

    def answer_ids(self, answer: str, after: str) -> list[int]:
        """Return the token ids of an answer that follows a text, with the end-of-text token.

        Raises
        ------
        DataError
            The tokenizer has no end-of-text token, so an answer's end cannot be learned.
        """
        end = self.tokenizer.eos_token_id
        if end is None:
            raise DataError(
                "the tokenizer has no end-of-text token, so no answer could end; set eos_token in "
                "the language model's tokenizer_config.json"
            )
        return [*self.continue_ids(answer, after), end]

    def example(self, question: str, answer: str, ecgs: int | Sequence[str] = 1) -> dict:
        """Make a training row of one question asked alone."""
        prompt = self.prompt_ids(question, ecgs)
        return labelled(prompt, self.answer_ids(answer, self.prompt_text(question, ecgs)))

    def pad(self, sequences: Sequence[Sequence[int]], value: int, side: str = "right") -> Tensor:
        """Pad sequences to the longest of them, not to a fixed length: (B, L) int64."""
        longest = max(map(len, sequences))
        rows = torch.full((len(sequences), longest), value, dtype=torch.long)
        for row, sequence in zip(rows, sequences, strict=True):
            ids = torch.as_tensor(sequence, dtype=torch.long)
            if side == "right":
                row[: len(ids)] = ids
            else:
                row[longest - len(ids) :] = ids
        return rows  # (B, L)

    def batch(self, examples: Sequence[dict]) -> dict[str, Tensor]:
        """Right-pad training rows: `input_ids`, `attention_mask` and `labels`, each (B, L)."""
        ids = [e["input_ids"] for e in examples]
        return {
            "input_ids": self.pad(ids, self.pad_id),
            "attention_mask": self.pad([[1] * len(i) for i in ids], 0),
            "labels": self.pad([e["labels"] for e in examples], IGNORE),
        }

    def prompts(self, prompts: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Left-pad prompts, ready to be continued: `input_ids` and `attention_mask`, (B, L)."""
        return {
            "input_ids": self.pad(prompts, self.pad_id, "left"),
            "attention_mask": self.pad([[1] * len(p) for p in prompts], 0, "left"),
        }

    def said(self, new: Tensor) -> list[str]:
        """Return the texts of generated token ids (B, n), each up to its end-of-text token."""
        end = self.tokenizer.eos_token_id
        rows = [ids[: ids.index(end)] if end in ids else ids for ids in new.tolist()]
        return [t.strip() for t in self.tokenizer.batch_decode(rows, skip_special_tokens=True)]

    def verbaliser(self, word: str) -> list[int]:
        """Return the first token ids of a word's spellings: "yes", "Yes" and both after a space."""
        variants = [word, word.capitalize(), " " + word, " " + word.capitalize()]
        first = {ids[0] for ids in map(self.text_ids, variants) if ids}
        return sorted(first)

    def yes_no_ids(self) -> tuple[list[int], list[int]]:
        """Return the first token ids of yes and of no; a token that both share is left out."""
        yes, no = set(self.verbaliser("yes")), set(self.verbaliser("no"))
        return sorted(yes - no), sorted(no - yes)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer and the number of slots to `folder`/processor."""
        folder = Path(folder, "processor")
        self.tokenizer.save_pretrained(str(folder))
        (folder / "ecg_processor.json").write_text(json.dumps({"slots": self.slots}) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path, **from_auto: Any) -> EcgLlmProcessor:
        """Load what `save_pretrained` wrote; what `AutoProcessor` adds for the hub is not used."""
        folder = Path(folder, "processor")
        slots = json.loads((folder / "ecg_processor.json").read_text())["slots"]
        return cls(AutoTokenizer.from_pretrained(str(folder)), slots)


def _in_vocabulary(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return an id to pad with that every embedding table has; padding is masked anyway.

    A padding token that was added to the tokenizer may have no row in the table.
    """
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(i) for i in ids if i is not None and i < tokenizer.vocab_size), 0)
