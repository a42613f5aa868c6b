"""Put a label's words into a prompt of the user's own, in which only {label} has a meaning."""

from __future__ import annotations

from string import Formatter

from ecg_lib.errors import DataError

FIELD = "{label}"


def check_prompt(prompt: str, where: str) -> None:
    """Raise `DataError` unless every label makes another text of a prompt.

    Parameters
    ----------
    prompt : str
        A text with {label} in it. Other braces are written twice, as in `str.format`.
    where : str
        Option or field that holds the prompt, for the message.

    Raises
    ------
    DataError
        The prompt has a brace without its partner, another field, or no {label}.
    """
    try:
        parsed = list(Formatter().parse(prompt))
    except ValueError:
        raise DataError(
            f"{where} {prompt!r} has a brace without its partner; write {FIELD} for the label, "
            "and other braces twice"
        ) from None
    fields = [
        "{" + name + (f"!{cast}" if cast else "") + (f":{form}" if form else "") + "}"
        for _, name, form, cast in parsed
        if name is not None
    ]
    unknown = [field for field in fields if field != FIELD]
    if unknown:
        raise DataError(
            f"{where} {prompt!r}: {unknown[0]} is not known; write {FIELD} for the label, "
            "and other braces twice"
        )
    if not fields:
        raise DataError(f"{where} {prompt!r} lacks {FIELD}; put it where the label's words go")


def filled(prompt: str, words: str, where: str = "prompt") -> str:
    """Return a prompt with the words of a label in it; see `check_prompt`."""
    check_prompt(prompt, where)
    return prompt.format(label=words)
