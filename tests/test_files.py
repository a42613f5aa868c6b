"""Test that a file is written completely or not at all."""

import numpy as np
import pytest

from ecg_lib.files import write_atomically


def test_text_bytes_and_whatever_writes_to_a_path(tmp_path):
    write_atomically(tmp_path / "new folder" / "a.txt", "één\r\nzwei\n")
    assert (tmp_path / "new folder" / "a.txt").read_bytes() == "één\r\nzwei\n".encode()
    write_atomically(tmp_path / "a.bin", b"\x00\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"
    write_atomically(tmp_path / "a.npz", lambda path: np.savez(path, x=np.arange(3)))
    with np.load(tmp_path / "a.npz") as kept:
        assert kept["x"].tolist() == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"new folder", "a.bin", "a.npz"}


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    def half(path):
        path.write_text("ha")
        raise KeyboardInterrupt

    write_atomically(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", half)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
