"""Ways to harm a file. Each takes a path; the table HARMS names them."""

import os
import shutil
from pathlib import Path


def put(data):
    """Return a harm that replaces the file."""
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode())


def edit(change):
    """Return a harm that changes the bytes of the file."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def swap(old, new):
    """Return a harm that replaces text, which must be there."""

    def harm(path):
        data = path.read_bytes()
        given, wanted = (t if isinstance(t, bytes) else t.encode() for t in (old, new))
        assert given in data, f"{path.name} lacks {old!r}"
        path.write_bytes(data.replace(given, wanted))

    return harm


def instead(make):
    """Return a harm that removes the file and makes something else in its place."""

    def harm(path):
        path.unlink()
        make(path)

    return harm


def outward(path: Path):
    """Move the file beside the data root (into `outside`) and link to it."""
    outside = next(p for p in path.parents if (p / "outside").is_dir()) / "outside"
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)


def denied(path: Path):
    """Take all permissions; root does not care about them."""
    path.chmod(0)


HARMS = {
    "empty": put(b""),
    "blank lines": put(b"\n\n\n"),
    "junk": put(bytes(range(256)) * 20),
    "half": edit(lambda raw: raw[: len(raw) // 2]),
    "utf-16": edit(lambda raw: raw.decode("latin-1").encode("utf-16")),
    "byte order mark": edit(lambda raw: b"\xef\xbb\xbf" + raw),
    "latin-1": edit(lambda raw: raw + b"\xe9\xff\n"),
    "NUL bytes": edit(lambda raw: raw[:40] + bytes(8) + raw[40:]),
    "CRLF": edit(lambda raw: raw.replace(b"\n", b"\r\n")),
    "semicolons": edit(lambda raw: raw.replace(b",", b";")),
    "a long line": edit(lambda raw: raw + b"x" * 3_000_000 + b"\n"),
    "an open quote": edit(lambda raw: raw + b'"open,\n'),
    "a folder": instead(Path.mkdir),
    "a pipe": instead(os.mkfifo),
    "a device": instead(lambda path: path.symlink_to("/dev/zero")),
    "a dead link": instead(lambda path: path.symlink_to("nowhere")),
    "a loop": instead(lambda path: path.symlink_to(path.name)),
    "a link outward": outward,
    "absent": Path.unlink,
}
