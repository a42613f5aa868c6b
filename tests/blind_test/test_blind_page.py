"""The page docs/blind_test.md, carried out: its file is written, its commands are run."""

import json
import re
import shlex
from pathlib import Path

import pytest

from ecg_lib.__main__ import main
from ecg_lib.blind_test.verdict import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "blind_test.md").read_text("utf-8")
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.S)
COMMANDS = re.findall(r"^debiased-ecg (blind-test (run|export|score) .*)$", PAGE, re.M)


def commands(what):
    """Return the arguments of the page's commands of one kind."""
    return [shlex.split(text) for text, kind in COMMANDS if kind == what]


def run(arguments):
    assert main([*arguments, "--resamples", "50"]) == 0


@pytest.mark.slow
def test_the_page_works_to_the_letter(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in FILE.findall(PAGE):
        Path(name).write_text(text)
    mine, endpoint = commands("run")
    assert "--endpoint" in endpoint  # tested with a server of its own
    run(mine)
    assert "answer reads findings in the ECG" in capsys.readouterr().out
    for name in re.findall(r"`(blind_test\.\w+|replies\.\w+|verdict\.txt)`", PAGE):
        assert Path("my_result", name).is_file(), name
    assert main(commands("export")[0]) == 0
    lines = map(json.loads, Path("asked/questions.jsonl").read_text().splitlines())
    said = [json.dumps({"id": line["id"], "answer": "no"}) for line in lines]
    Path("answers.jsonl").write_text("\n".join(said))
    run(commands("score")[0])
    assert "my model does not look at the ECG" in capsys.readouterr().out


def test_the_page_names_every_verdict():
    listed = re.findall(
        r"^\| .* \| (.*) \|$", PAGE.split("## The verdict")[1].split("\n## ")[0], re.M
    )
    assert [name for name in listed if name in RULES] == list(RULES)
