"""Stage folders under faults: lost and changed outputs, many processes, links, moves, --force."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lvistk.artifacts import (
    Rules,
    StageFolder,
    Wanted,
    describe_inputs,
    find_input,
    read_manifest,
    standing,
)
from lvistk.artifacts.fingerprints import describe_images, same_input
from lvistk.artifacts.lock import StageLock
from lvistk.errors import UserError
from lvistk.whole_file import write_json


def wanted(settings=None, inputs=None, rules=None) -> Wanted:
    return Wanted("evaluate", settings or {"a": 1}, inputs or {}, rules or Rules())


def finished(path: Path, ask: Wanted | None = None) -> Path:
    stage = StageFolder.open(path, ask or wanted())
    write_json(stage.file("metrics.json"), {"AP": 0.5})
    stage.file("shards").mkdir(exist_ok=True)
    for k in range(3):
        stage.file("shards").joinpath(f"{k}.h5").write_bytes(bytes([k]) * 1000)
    stage.finish(outputs=["metrics.json", "shards"], summary={"AP": 0.5})
    return path


def change(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(1, 1))


@pytest.mark.parametrize("spoil", [Path.unlink, change], ids=["missing", "changed"])
@pytest.mark.parametrize("name", ["metrics.json", "shards/1.h5"])
def test_an_output_that_is_lost_or_changed_is_made_again(
    spoil, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished(tmp_path / "s")
    assert standing(folder, wanted()).text() == "done"
    spoil(folder / name)
    output = name.partition("/")[0]
    assert standing(folder, wanted()).text() == f"damaged: {output}"
    with pytest.raises(UserError, match=f"its output {output} is missing or has changed"):
        describe_inputs({"detections": folder})
    again = StageFolder.open(folder, wanted())
    assert again.state == "resume"
    assert f"output {output} is missing or has changed" in capsys.readouterr().err
    assert not (folder / name).exists()
    assert (folder / "shards" / "0.h5").exists()
    again.close()


def test_a_copied_run_is_done(tmp_path: Path) -> None:
    """A copy's times of change are others; its content is not."""
    finished(tmp_path / "s")
    copied = shutil.copytree(tmp_path / "s", tmp_path / "t", copy_function=shutil.copyfile)
    assert standing(copied, wanted()).text() == "done"


def test_outputs_of_an_earlier_release_are_compared_as_a_whole(tmp_path: Path) -> None:
    folder = finished(tmp_path / "s")
    manifest = read_manifest(folder)
    for one in manifest["outputs"].values():
        del one["files"]
    (folder / "stage.json").write_text(json.dumps(manifest))
    assert standing(folder, wanted()).text() == "done"
    change(folder / "shards" / "1.h5")
    assert standing(folder, wanted()).text() == "damaged: shards"


HOLD = """
import sys, time
from pathlib import Path
from lvistk.artifacts.lock import StageLock
from lvistk.errors import UserError
folder, until = Path(sys.argv[1]), time.monotonic() + 1.5
while time.monotonic() < until:
    try:
        lock = StageLock(folder)
    except UserError:
        continue
    mark = folder / "inside"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        sys.exit("two processes hold the lock")
    mark.unlink()
    lock.release()
"""


def test_many_processes_get_the_lock_one_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    assert [one.communicate()[1] for one in running] == [""] * 6
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_run_that_was_killed_at_its_end_goes(tmp_path: Path) -> None:
    folder = finished(tmp_path / "s")
    (folder / ".lock").touch()
    assert StageFolder.open(folder, wanted()).state == "done"
    assert not (folder / ".lock").exists()
    held = StageLock(folder)
    assert StageFolder.open(folder, wanted()).state == "done"
    assert (folder / ".lock").exists()
    held.release()


def test_a_linked_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".lock").symlink_to(tmp_path / "target")
    with pytest.raises(UserError, match="is a link"):
        StageFolder.open(tmp_path / "s", wanted())
    assert not (tmp_path / "target").exists()


RULES = Rules(operational=("loader.workers",), changeable=("optim.lr",))


def settings(workers: int, lr: float, kind: str = "sgd") -> dict:
    return {"loader": {"workers": workers}, "optim": {"lr": lr, "kind": kind}}


def test_what_cannot_change_the_result_never_counts(tmp_path: Path) -> None:
    folder = finished(tmp_path / "s", wanted(settings(2, 0.1), rules=RULES))
    assert standing(folder, wanted(settings(0, 0.1), rules=RULES)).text() == "done"


def test_what_changes_only_the_rest_goes_on_when_asked_to_and_is_recorded(tmp_path: Path) -> None:
    folder = finished(tmp_path / "s", wanted(settings(2, 0.1), rules=RULES))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step_00000070.safetensors").touch()
    lower = wanted(settings(2, 0.01), rules=RULES)
    with pytest.raises(UserError, match=r"--resume-with-changes .* or use --force"):
        StageFolder.open(folder, lower)
    stage = StageFolder.open(folder, lower, resume_with_changes=True)
    assert stage.state == "resume"
    (record,) = json.loads((folder / "stage.json").read_text())["changes"]
    assert (record["after_step"], record["settings"]) == (70, ["settings.optim.lr: 0.1 -> 0.01"])
    stage.close()
    assert StageFolder.open(folder, lower).state == "resume"
    other = wanted(settings(2, 0.01, "adamw"), rules=RULES)
    with pytest.raises(UserError, match=r"optim.kind: sgd -> adamw\); use --force"):
        StageFolder.open(folder, other, resume_with_changes=True)


def test_the_step_of_a_change_is_that_from_which_the_run_went_on(tmp_path: Path) -> None:
    folder = finished(tmp_path / "s", wanted(settings(2, 0.1), rules=RULES))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step_00000004.safetensors").touch()
    lower = wanted(settings(2, 0.01), rules=RULES)
    stage = StageFolder.open(folder, lower, resume_with_changes=True)
    stage.resumed_after(4)
    assert [one["after_step"] for one in read_manifest(folder)["changes"]] == [4]
    stage.resumed_after(2)
    assert [one["after_step"] for one in read_manifest(folder)["changes"]] == [2]
    stage.close()


def test_a_finished_run_without_checkpoints_does_not_start_anew(tmp_path: Path) -> None:
    """Its model would be replaced by one of a training from the first step."""
    folder = finished(tmp_path / "s", wanted(settings(2, 0.1), rules=RULES))
    lower = wanted(settings(2, 0.01), rules=RULES)
    with pytest.raises(UserError, match=r"no checkpoint to go on from; start another --out"):
        StageFolder.open(folder, lower, resume_with_changes=True)
    assert standing(folder, wanted(settings(2, 0.1), rules=RULES)).text() == "done"


def images(folder: Path, count: int = 5) -> Path:
    (folder / "train").mkdir(parents=True)
    for k in range(count):
        (folder / "train" / f"{k}.jpg").write_bytes(b"x" * (k + 1))
    return folder


def test_an_image_folder_is_known_by_its_images(tmp_path: Path) -> None:
    here = {"path": str(images(tmp_path / "a")), **describe_images(tmp_path / "a")}

    def now(folder: Path) -> dict:
        return {"path": str(folder), **describe_images(folder)}

    moved = images(tmp_path / "b")
    assert same_input(here, now(moved))
    assert same_input({"path": "x", "fingerprint": "folder:/gone"}, now(moved))
    (moved / "train" / "9.jpg").write_bytes(b"new")
    (moved / "runs" / "s").mkdir(parents=True)
    (moved / "runs" / "s" / "stage.json").write_text("{}")
    (moved / "runs" / "s" / "curves.png").write_bytes(b"x")
    (moved / "loop").symlink_to(moved)
    assert same_input(here, now(moved))
    (moved / "train" / "2.jpg").write_bytes(b"a mended image")
    assert same_input(here, now(moved))
    for number in (0, 1):
        (moved / "train" / f"{number}.jpg").write_bytes(b"other content")
    assert not same_input(here, now(moved))
    assert same_input(here, now(images(tmp_path / "c", count=4)))  # one may be gone: a broken one
    assert not same_input(here, now(images(tmp_path / "d", count=3)))


def test_force_never_deletes_what_the_run_reads(tmp_path: Path) -> None:
    folder = finished(tmp_path / "s")
    for read in (folder, folder / "metrics.json"):
        ask = wanted(inputs=describe_inputs({"init": read}))
        with pytest.raises(UserError, match="holds what the run reads"):
            StageFolder.open(folder, ask, force=True)
    ask = wanted({"model": {"weights": str(folder / "metrics.json")}})
    with pytest.raises(UserError, match=r"setting model\.weights"):
        StageFolder.open(folder, ask, force=True)
    assert (folder / "metrics.json").is_file()


def test_inputs_are_found_again_when_the_run_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = finished(Path("runs/model")), Path("data/val.json")
    write_json(data, {})
    out = Path("runs/score")
    described = describe_inputs({"model": model, "val": data}, out=out)
    Path("runs").rename("elsewhere")
    monkeypatch.chdir("/")
    folder = tmp_path / "elsewhere" / "score"
    assert find_input(folder, described["model"]) == tmp_path / "elsewhere" / "model"
    assert find_input(folder, described["val"]) == tmp_path / "data" / "val.json"
    old = {name: {"path": one["path"]} for name, one in described.items()}
    assert find_input(folder, old["model"]) == tmp_path / "elsewhere" / "model"
    assert find_input(folder, old["val"]) == tmp_path / "data" / "val.json"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"state": "done"}',
        '{"state": "done", "command": "x", "settings": 3}',
        '{"state": "done", "command": "x", "inputs": {"a": 3}}',
        '{"state": "done", "command": "x", "inputs": {"a": {}}}',
        '{"state": "done", "command": "x", "outputs": {"a": {}}}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_broken_manifest_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "stage.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match="broken manifest"):
        StageFolder.open(tmp_path, wanted())
    StageFolder.open(tmp_path, wanted(), force=True).close()
