"""Prompt and answer as tensors, with slots where the projected ECG tokens go.

The paper's two prompts are written here, verbatim, and nowhere else. A prompt is one string and is
tokenised as one string, ECGs and all; its answer follows after one space. The processor knows
nothing of signals: it only reserves slots.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ecg_lib.errors import DataError

ONE_ECG = "This is an electrocardiogram. {}. "
TWO_ECGS = "Here are two electrocardiograms. The first is {}, and the second is {}. "
QUESTION = "Answer the following questions based on the above content: {question}"
SLOT = "<|ecg|>"  # stands for one ECG in the string
IGNORE = -100  # label of positions without loss


def labelled(prompt: Sequence[int], answer: Sequence[int]) -> dict:
    """Ids of a prompt and its answer -> one training row; labels ignore all but the answer."""
    return {"input_ids": [*prompt, *answer], "labels": [*[IGNORE] * len(prompt), *answer]}


class EcgLlmProcessor:
    """Builds token ids for questions about one or two ECGs.

    Parameters
    ----------
    tokenizer : any transformers tokenizer; it is left as it is.
    slots : number of LLM positions that one ECG takes (T / p / 4); 0: a reader of written reports.

    `SLOT` is a special token of the processor's own copy of the tokenizer. Its id is one past the
    LLM's vocabulary, and the LLM's embedding table needs no new row because the model replaces
    slots before embedding. As a word of a byte-level vocabulary does, it takes the space before it
    in: no lone space, which such an LLM has hardly met, stands before an ECG. A tokenizer that puts
    a space before every text (Llama's) does so behind a slot as well: "<|ecg|> . Answer".
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, slots: int):
        self.tokenizer, self.slots = tokenizer, slots
        if slots and SLOT not in tokenizer.get_added_vocab():
            self.tokenizer = copy.deepcopy(tokenizer)
            slot = AddedToken(SLOT, lstrip=True, normalized=False, special=True)
            self.tokenizer.add_tokens([slot], special_tokens=True)
        self.slot_id = self.tokenizer.convert_tokens_to_ids(SLOT) if slots else len(tokenizer)
        self.pad_id = (
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        )

    def _tokenised(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a text by itself; an ECG in it is one id."""
        return self._tokenised(text)

    def continue_ids(self, text: str, after: str) -> list[int]:
        """Token ids of `text` where it follows `after` and one space.

        Where the tokenizer would join the two ("possible" and "sinus rhythm" may be one word to
        it), they are those that follow a colon: a prompt is read before its answer is known.

        Raises
        ------
        DataError
            It joins even a colon and the text.
        """
        for end in (after, ":"):
            before, whole = self.text_ids(end), self._tokenised(f"{end} {text}")
            if whole[: len(before)] == before:
                return whole[len(before) :]
        raise DataError(
            f"{text[:40]!r} has no tokens of its own behind a colon and a space: this tokenizer "
            "cannot tell prompt from answer; take another LLM"
        )

    def prompt_text(self, question: str, ecgs: int | Sequence[str] = 1) -> str:
        """The paper's prompt as a person would write it, with `SLOT` where an ECG stands.

        `ecgs` is the number of ECGs or, for a reader of *written* reports, the texts that stand in
        their place. Without a question the prompt ends where one would follow.
        """
        pieces = [SLOT] * ecgs if isinstance(ecgs, int) else list(ecgs)
        if len(pieces) not in (1, 2):
            raise ValueError(f"a question is about one or two ECGs, not {len(pieces)}")
        frame = ONE_ECG if len(pieces) == 1 else TWO_ECGS
        text = frame.format(*pieces) + QUESTION.format(question=question.strip())
        if text.count(SLOT) != (ecgs if isinstance(ecgs, int) else 0):
            raise DataError(f"{question!r} or a report holds {SLOT}, which stands for an ECG")
        return text.rstrip()

    def prompt_ids(self, question: str, ecgs: int | Sequence[str] = 1) -> list[int]:
        """Token ids of `prompt_text`, begun as the tokenizer begins a text."""
        bos, ids = self.tokenizer.bos_token_id, self.text_ids(self.prompt_text(question, ecgs))
        spread = [i for k in ids for i in ([k] * self.slots if k == self.slot_id else [k])]
        return spread if bos is None else [bos, *spread]

    def answer_ids(self, answer: str, after: str) -> list[int]:
        """Token ids of an answer that follows a text, closed by the end-of-text token."""
        return [*self.continue_ids(answer, after), self.tokenizer.eos_token_id]

    def example(self, question: str, answer: str, ecgs: int | Sequence[str] = 1) -> dict:
        """One training row, of a question that is asked alone."""
        prompt = self.prompt_ids(question, ecgs)
        return labelled(prompt, self.answer_ids(answer, self.prompt_text(question, ecgs)))

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
        first = {ids[0] for ids in map(self.text_ids, variants) if ids}
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
