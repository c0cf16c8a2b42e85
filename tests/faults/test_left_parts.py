"""What a killed writer leaves behind is gone after the next start."""

import json
from pathlib import Path

from lvistk.artifacts import read_manifest
from tests.command_line import Commands, small_world, tta_infer


def test_parts_of_a_killed_run_are_removed(tmp_path: Path, lvistk: Commands) -> None:
    small_world(tmp_path)
    out = tmp_path / "out"
    assert lvistk(*tta_infer(tmp_path, out)).code == 0
    manifest = read_manifest(out)
    (out / "stage.json").write_text(json.dumps(manifest | {"state": "running"}))
    (out / "detections" / "00001.h5").unlink()
    for name in (".stage.json.77.part", "detections/.00001.h5.77.part", ".tmpAb3dEf"):
        (out / name).write_bytes(b"half a file")
    done = lvistk(*tta_infer(tmp_path, out))
    assert done.code == 0, done
    assert (out / "detections" / "00001.h5").is_file()
    assert [path.name for path in out.rglob(".*")] == []
