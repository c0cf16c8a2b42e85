"""Stage folders: done, resume, refuse, force; whole files."""

from pathlib import Path

import pytest

from lvistk.artifacts import Rules, StageFolder, Wanted, describe_inputs, differences, fingerprint
from lvistk.errors import UserError
from lvistk.whole_file import whole_file, write_json


def open_stage(path: Path, *, settings=None, inputs=None, force=False) -> StageFolder:
    return StageFolder.open(
        path, Wanted("evaluate", settings or {"a": 1}, inputs or {}), force=force
    )


def finish(stage: StageFolder) -> None:
    write_json(stage.file("metrics.json"), {"AP": 0.5})
    stage.finish(outputs=["metrics.json"], summary={"AP": 0.5})


def test_a_stage_is_new_then_resumes_then_is_done(tmp_path: Path) -> None:
    first = open_stage(tmp_path / "s")
    assert first.state == "new"
    first.close()
    second = open_stage(tmp_path / "s")
    assert second.state == "resume"
    finish(second)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*")}
    assert open_stage(tmp_path / "s").state == "done"
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*")} == before


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    finish(open_stage(tmp_path / "s", settings={"optim": {"lr": 0.1}}))
    with pytest.raises(UserError, match=r"settings\.optim\.lr: 0\.1 -> 0\.2"):
        open_stage(tmp_path / "s", settings={"optim": {"lr": 0.2}})
    forced = open_stage(tmp_path / "s", settings={"optim": {"lr": 0.2}}, force=True)
    assert forced.state == "new"
    assert not (tmp_path / "s" / "metrics.json").exists()
    forced.close()


def test_a_setting_that_joined_later_had_its_default(tmp_path: Path) -> None:
    finish(open_stage(tmp_path / "s", settings={"optim": {"lr": 0.1}}))
    newer = {"optim": {"lr": 0.1, "ema": 0.0}, "kinds": ["segm"]}

    def opened(**changes: object) -> StageFolder:
        rules = Rules(
            older=lambda table: {**newer, **table, "optim": {**newer["optim"], **table["optim"]}}
        )
        return StageFolder.open(tmp_path / "s", Wanted("evaluate", {**newer, **changes}, {}, rules))

    assert opened().state == "done"
    with pytest.raises(UserError, match=r"settings\.optim\.ema: 0\.0 -> 0\.9"):
        opened(optim={"lr": 0.1, "ema": 0.9})


def test_a_changed_input_is_refused_and_a_moved_one_is_not(tmp_path: Path) -> None:
    gt = tmp_path / "gt.json"
    gt.write_text("{}")
    finish(open_stage(tmp_path / "s", inputs=describe_inputs({"val": gt})))
    moved = tmp_path / "moved.json"
    moved.write_text("{}")
    assert open_stage(tmp_path / "s", inputs=describe_inputs({"val": moved})).state == "done"
    moved.write_text("[]")
    with pytest.raises(UserError, match=r"inputs\.val\.fingerprint"):
        open_stage(tmp_path / "s", inputs=describe_inputs({"val": moved}))


def test_one_process_at_a_time(tmp_path: Path) -> None:
    held = open_stage(tmp_path / "s")
    with pytest.raises(UserError, match="another process"):
        open_stage(tmp_path / "s")
    held.close()


def test_a_foreign_folder_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(UserError, match="not empty and not a stage folder"):
        open_stage(tmp_path)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(FileNotFoundError), whole_file(path) as temporary:
        temporary.write_bytes(b"half" + (tmp_path / "none").read_bytes())
    assert list(tmp_path.iterdir()) == []
    with whole_file(path) as temporary:
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    with whole_file(tmp_path / "a") as temporary:
        temporary.write_text("x")
        temporary.chmod(0o600)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disk is full"), whole_file(tmp_path / "a"):
        Path("/dev/full").write_text("x" * 100_000)


def test_fingerprints_follow_content_and_unfinished_stages_are_no_input(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("same")
    b.write_text("same")
    assert fingerprint(a) == fingerprint(b)
    with pytest.raises(UserError, match="no such file"):
        fingerprint(tmp_path / "none")
    stage = open_stage(tmp_path / "s")
    with pytest.raises(UserError, match="not finished"):
        fingerprint(tmp_path / "s")
    finish(stage)
    assert fingerprint(tmp_path / "s").startswith("stage:")


def test_differences_name_the_leaf() -> None:
    assert differences({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}) == ["a.b[1]: 2 -> 3"]
