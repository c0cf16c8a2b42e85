"""``stage.json`` holds a checksum; outputs that are given by themselves are compared with it."""

import json
import zlib
from pathlib import Path

import pytest

from lvistk.artifacts import describe_input, read_manifest
from lvistk.errors import UserError
from tests.faults.test_stage_folders import change, finished


def test_each_changed_digit_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    file = finished(tmp_path / "s") / "stage.json"
    sound = file.read_text()
    table = read_manifest(tmp_path / "s")
    places = [k for k, sign in enumerate(sound) if sign.isdigit() and k > sound.index("crc32") + 5]
    assert len(places) > 50
    for k in places:
        file.write_text(sound[:k] + str((int(sound[k]) + 1) % 10) + sound[k + 1 :])
        with pytest.raises(UserError, match="not as it was written"):
            read_manifest(tmp_path / "s", strict=True)
    file.write_text(sound.replace(": ", ":"))  # no other content
    assert read_manifest(tmp_path / "s") == table


def test_a_manifest_without_its_checksum_is_of_an_earlier_release_or_changed_on_purpose(
    tmp_path: Path,
) -> None:
    file = finished(tmp_path / "s") / "stage.json"
    table = json.loads(file.read_text())
    assert next(iter(table)) == "crc32"
    del table["crc32"]
    table["summary"]["AP"] = 0.75
    file.write_text(json.dumps(table))
    assert read_manifest(tmp_path / "s")["summary"]["AP"] == 0.75


def test_a_state_may_be_changed_by_hand_and_a_manifest_of_version_0_2_counts_it(
    tmp_path: Path,
) -> None:
    file = finished(tmp_path / "s") / "stage.json"
    file.write_text(file.read_text().replace('"state": "done"', '"state": "running"'))
    table = read_manifest(tmp_path / "s")
    assert table["state"] == "running"
    whole = f"{zlib.crc32(json.dumps(table, sort_keys=True).encode()):08x}"
    file.write_text(json.dumps({"crc32": whole, **table}))
    assert read_manifest(tmp_path / "s") == table
    file.write_text(json.dumps({"crc32": whole, **table, "command": "export"}))
    with pytest.raises(UserError, match="not as it was written"):
        read_manifest(tmp_path / "s")


def test_settings_of_an_earlier_release_are_told_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished(tmp_path / "s") / "stage.json"
    table = json.loads(file.read_text())
    name = next(iter(table["settings"]))
    del table["settings"][name]
    file.write_text(json.dumps(table))
    assert name not in read_manifest(tmp_path / "s")["settings"]
    read_manifest(tmp_path / "s")
    assert capsys.readouterr().err.count("its settings are not as they were written") == 1
    with pytest.raises(UserError, match="if you changed its settings, take out its line crc32"):
        read_manifest(tmp_path / "s", strict=True)


def test_an_output_given_by_itself_must_be_as_it_was_written(tmp_path: Path) -> None:
    folder = finished(tmp_path / "s")
    sound = describe_input(folder / "metrics.json")
    change(folder / "metrics.json")
    with pytest.raises(UserError, match=r"metrics\.json: has changed since its stage finished"):
        describe_input(folder / "metrics.json")
    (folder / "mine.json").write_text("{}")
    assert describe_input(folder / "mine.json")["fingerprint"] != sound["fingerprint"]
    (folder / "stage.json").write_text("[")
    describe_input(folder / "metrics.json")
