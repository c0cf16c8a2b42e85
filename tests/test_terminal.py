"""Tables in a terminal of 80 columns: nothing is cut; in a file nothing is narrow."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from lvistk import console
from lvistk.artifacts import StageFolder, Wanted
from tests.evaluation.worlds import annotation, both_result, image, world, write

STAGES = ("round1", "pseudo_openimages", "score_finetune")
SCORES = {"AP": 0.1234, "APr": 0.2345, "APc": 0.3456, "APf": 0.4567}
LONG = "a category whose name is a good deal longer than a terminal of eighty columns is wide, and more"


def in_terminal(*arguments: object, columns: int) -> list[str]:
    """Lines that ``lvistk`` writes to a terminal of so many columns, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "CI", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "lvistk", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            piece = b""
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait() == 0, said
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).replace("\r", "").splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of finished stages with long names and many inputs."""
    for name in STAGES:
        described = {f"input_number_{k}": {"path": "x", "fingerprint": "y"} for k in range(6)}
        stage = StageFolder.open(tmp_path / "run" / name, Wanted("filter-missing", {}, described))
        stage.finish(summary=SCORES, outputs=[])
    return tmp_path / "run"


def test_status(run: Path) -> None:
    lines = in_terminal("status", run, columns=80)
    assert max(map(len, lines)) <= 80
    for name in STAGES:
        row = next(line for line in lines if name in line)
        assert "filter-missing" in row and "done" in row
        assert [w for w in row.split() if "." in w] == ["12.3", "23.4", "34.6", "45.7"]
    wide = in_terminal("status", run, columns=200)
    assert "input_number_5" in " ".join(wide)


def test_evaluate(tmp_path: Path) -> None:
    box = (2, 2, 10, 10)
    gt, results = write(
        tmp_path,
        world([image(1)], [annotation(1, 1, 1, box)]),
        [both_result(1, 1, box, 0.5)],
    )
    lines = in_terminal("evaluate", gt, results, "--out", tmp_path / "out", columns=80)
    tables = [line for line in lines if line.startswith(("masks", "boxes", "boundaries"))]
    assert max(map(len, tables)) <= 80
    names = [re.match(r"[a-z ]+", line) for line in tables]
    told = [name[0].strip() for name in names if name]
    assert told == ["masks", "boxes", "boundaries", "masks fixed", "boxes fixed"]


def test_long_text_goes_on_below_itself(capsys: pytest.CaptureFixture[str]) -> None:
    console.table("", ("name", "AP"), [(LONG, 12.3456)])
    assert LONG in capsys.readouterr().out  # of a pipe


def test_nothing_of_a_long_name_is_lost(tmp_path: Path) -> None:
    box = (2, 2, 10, 10)
    gt = world([image(1)], [annotation(1, 1, 1, box)])
    gt["categories"][0]["name"] = LONG
    paths = write(tmp_path, gt, [])
    lines = in_terminal("inspect", paths[0], columns=80)
    drawn = [line for line in lines if not line.startswith(str(tmp_path))]
    assert max(map(len, drawn)) <= 80
    assert set(LONG.split()) <= set(" ".join(lines).split())


def test_control_characters_of_names_never_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "cat\x1b]0;owned\x07\u202egpj.exe\ud800"
    console.say(name)
    console.table(name, (name,), [(name,)])
    console.warn(name)
    console.fail(name)
    shown = "".join(capsys.readouterr())
    assert shown.count(r"cat\x1b]0;owned\x07\u202egpj.exe\ud800") >= 5
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)


def test_lines_are_written_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[bold]:smile: 1/2[/bold] " + "long " * 40
    console.say(text)
    console.warn(text)
    assert capsys.readouterr() == (f"{text}\n", f"warning: {text}\n")


def test_tables_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Accents take no column, letters of East Asia two."""
    rows = [("one\ntwo", 1.5, None), ("東京", 22.25, "x"), ("e\u0301", 3, "")]
    console.table("title", ("name", "AP", "more"), rows)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "title",
        "name    AP more",
        "─" * 15,
        "one   1.50    -",
        "two",
        "東京 22.25    x",
        "e\u0301        3",
    ]


BAR = """
import time
from lvistk import console
with console.progress("step", 3) as line:
    for k in range(3):
        console.say(f"line {k}")
        line.advance(note="loss 1.5")
"""


def test_lines_of_a_file_stay_out_of_the_bar() -> None:
    """Standard error is a terminal with a bar, standard output a pipe."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR")}
    done = subprocess.run(
        [sys.executable, "-c", BAR],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**environment, "TERM": "xterm"},
    )
    os.close(theirs)
    drawn = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.stdout.splitlines() == ["line 0", "line 1", "line 2"]
    assert "step" in drawn and "3/3" in drawn and "loss 1.5" in drawn and "line" not in drawn


def test_lines_of_a_run_carry_the_time_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    console.log("epoch 1")
    console.say("plain")
    dated, plain = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d epoch 1", dated)
    assert plain == "plain"
