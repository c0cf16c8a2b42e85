"""Temporary files: one name while nobody else writes, nothing left after a kill and another run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lvistk.errors import UserError
from lvistk.whole_file import whole_file

HOLD = """
import sys, time
from pathlib import Path
from lvistk.errors import UserError
from lvistk.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("theirs")
    print("writing", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start(path: Path, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(path), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with start(path, 60) as process:
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1 and not path.exists()
    with whole_file(path) as temporary:
        assert temporary.read_bytes() == b""
        temporary.write_text("mine")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"] and path.read_text() == "mine"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with start(path, 0.3) as process:
        with whole_file(path) as temporary:
            temporary.write_text("mine")
        assert path.read_text() == "mine"
        assert process.wait() == 0
    assert path.read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


def test_a_writer_that_fails_takes_only_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with start(path, 0.5) as process:
        with pytest.raises(FileNotFoundError), whole_file(path) as temporary:
            temporary.with_name("none").read_text()
        assert len(list(tmp_path.iterdir())) == 1
        assert process.wait() == 0
    assert path.read_text() == "theirs"


def test_many_processes_write_one_file(tmp_path: Path) -> None:
    path, until = tmp_path / "a.txt", time.monotonic() + 0.5
    children = []
    for letter in "abcd":
        pid = os.fork()
        if not pid:
            try:
                while time.monotonic() < until:
                    with whole_file(path) as temporary:
                        temporary.write_text(letter * 1000)
                    if path.read_text() not in {one * 1000 for one in "abcd"}:
                        os._exit(1)
                os._exit(0)
            except BaseException:
                os._exit(2)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [0] * 4 and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_in_its_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".a.json.part").symlink_to(tmp_path / "target")
    with whole_file(tmp_path / "a.json") as temporary:
        temporary.write_text("mine")
    assert (tmp_path / "a.json").read_text() == "mine" and not (tmp_path / "target").exists()


def test_a_folder_in_its_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; give the name"), whole_file(tmp_path):
        pass
    assert list(tmp_path.parent.glob(f".{tmp_path.name}*")) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that takes no file")
def test_an_error_names_the_file_and_not_the_temporary_one() -> None:
    path = Path("/proc/a.json")
    with pytest.raises(FileNotFoundError) as told, whole_file(path) as temporary:
        temporary.write_text("mine")
    assert told.value.filename == str(path)
