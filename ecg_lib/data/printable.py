"""Text of other people's files on its way to a terminal."""


def printable(text: str) -> str:
    """Return a text as one line; a control character, which could steer a terminal, becomes "?"."""
    return "".join(ch if ch.isprintable() else "?" for ch in " ".join(text.split()))
