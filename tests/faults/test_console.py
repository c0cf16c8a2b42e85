"""A reader of the output that goes, links and broken lines of metrics.jsonl."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lvistk.console import MetricsLog, read_metrics
from lvistk.errors import UserError

SPEAK = """
import sys
from lvistk import console
if sys.argv[2] == "run":
    console.outlive_reader()
for k in range(5000):
    console.say(f"line {k}")
open(sys.argv[1], "w").write("finished")
"""


@pytest.mark.parametrize("kind", ["run", "look"])
def test_a_lost_reader_ends_no_run_and_others_quietly(kind: str, tmp_path: Path) -> None:
    end = tmp_path / "end"
    command = [sys.executable, "-c", SPEAK, str(end), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == ((0, b"") if kind == "run" else (1, b""))
    assert end.exists() == (kind == "run")


def test_a_linked_log_is_not_followed(tmp_path: Path) -> None:
    target, log = tmp_path / "target", tmp_path / "metrics.jsonl"
    target.write_text("precious")
    log.symlink_to(target)
    with pytest.raises(UserError, match="is a link"):
        MetricsLog(log, keep_steps=0)
    log.unlink()
    writer = MetricsLog(log)
    log.symlink_to(target)
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        writer.write({"step": 1})
    assert target.read_text() == "precious"


def test_broken_lines_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "metrics.jsonl"
    assert read_metrics(log) == []
    good = b'{"step": 1, "loss": 2.0}\n'
    log.write_bytes(good + b'{"step": 2, "lo')
    assert len(read_metrics(log)) == 1 and capsys.readouterr().err == ""
    bad = (b"\xff\xfe", b"[]", b"3", b'{"step": "x"}', b'{"loss": [1]}', b"[" * 100_000)
    log.write_bytes(b"\n".join(bad) + b"\n" + good)
    os.environ.pop("RANK", None)
    assert read_metrics(log) == [{"step": 1, "loss": 2.0}]
    assert "6 broken lines left out, the first is line 1" in capsys.readouterr().err
