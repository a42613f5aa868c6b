"""Prompt and answer as tensors, with slots where the projected ECG tokens go.

The paper's two prompts are written here, verbatim, and nowhere else. The processor knows nothing
of signals: it only reserves slots.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

ONE_ECG = ("This is an electrocardiogram. ", ". ")
TWO_ECGS = (
    "Here are two electrocardiograms. The first is ",
    ", and the second is ",
    ". ",
)
QUESTION = "Answer the following questions based on the above content: {question}"
IGNORE = -100  # label of positions without loss


class EcgLlmProcessor:
    """Builds token ids for questions about one or two ECGs.

    Parameters
    ----------
    tokenizer : any transformers tokenizer.
    slots : number of LLM positions that one ECG takes (T / p / 4).

    The slot's id is `len(tokenizer)`, one past the vocabulary: it can never come from text, and the
    LLM's embedding table needs no new row because the model replaces slots before embedding.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, slots: int):
        self.tokenizer, self.slots = tokenizer, slots
        self.slot_id = len(tokenizer)
        self.pad_id = (
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        )

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prompt_ids(self, question: str, ecgs: int | Sequence[str] = 1) -> list[int]:
        """Token ids of the paper's prompt.

        `ecgs` is the number of ECGs (slots are left for them) or, for a reader of *written*
        reports, the texts that stand in their place.
        """
        pieces = [self.slots] * ecgs if isinstance(ecgs, int) else list(ecgs)
        if len(pieces) not in (1, 2):
            raise ValueError(f"a question is about one or two ECGs, not {len(pieces)}")
        frame = ONE_ECG if len(pieces) == 1 else TWO_ECGS
        bos = self.tokenizer.bos_token_id
        ids = [] if bos is None else [bos]
        for words, piece in zip(frame, pieces, strict=False):
            ids += self._ids(words.strip())
            ids += self._ids(piece) if isinstance(piece, str) else [self.slot_id] * piece
        return ids + self._ids(frame[-1].strip() + " " + QUESTION.format(question=question))

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of an answer, closed by the end-of-text token."""
        return [*self._ids(answer), self.tokenizer.eos_token_id]

    def example(self, question: str, answer: str, ecgs: int | Sequence[str] = 1) -> dict:
        """One training row: ids, and labels that ignore all but the answer."""
        prompt, answer_ids = self.prompt_ids(question, ecgs), self.answer_ids(answer)
        return {"input_ids": prompt + answer_ids, "labels": [IGNORE] * len(prompt) + answer_ids}

    def pad(self, sequences: Sequence[Sequence[int]], value: int, side: str = "right") -> Tensor:
        """Sequences of unequal length -> (B, longest) tensor; never to a fixed length."""
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
        """Training rows -> right-padded input_ids, attention_mask, labels."""
        ids = [e["input_ids"] for e in examples]
        return {
            "input_ids": self.pad(ids, self.pad_id),
            "attention_mask": self.pad([[1] * len(i) for i in ids], 0),
            "labels": self.pad([e["labels"] for e in examples], IGNORE),
        }

    def prompts(self, prompts: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Prompts -> left-padded input_ids and attention_mask, ready to continue."""
        return {
            "input_ids": self.pad(prompts, self.pad_id, "left"),
            "attention_mask": self.pad([[1] * len(p) for p in prompts], 0, "left"),
        }

    def verbaliser(self, word: str) -> list[int]:
        """First tokens by which the LLM may begin to say `word`: "yes", "Yes", with a space."""
        variants = [word, word.capitalize(), " " + word, " " + word.capitalize()]
        first = {self._ids(v)[0] for v in variants if self._ids(v)}
        return sorted(first)

    def yes_no_ids(self) -> tuple[list[int], list[int]]:
        """Disjoint first tokens of yes and of no (a shared bare-space token counts for neither)."""
        yes, no = set(self.verbaliser("yes")), set(self.verbaliser("no"))
        return sorted(yes - no), sorted(no - yes)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer and slot count to `folder`/processor."""
        folder = Path(folder, "processor")
        self.tokenizer.save_pretrained(str(folder))
        (folder / "ecg_processor.json").write_text(json.dumps({"slots": self.slots}) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> EcgLlmProcessor:
        """Load what `save_pretrained` wrote."""
        folder = Path(folder, "processor")
        slots = json.loads((folder / "ecg_processor.json").read_text())["slots"]
        return cls(AutoTokenizer.from_pretrained(str(folder)), slots)
