"""``lvistk doctor`` where all is well, and where OpenCV is broken."""

import json
import subprocess
import sys
from pathlib import Path

from tests.command_line import Commands


def test_all_is_well(lvistk: Commands) -> None:
    done = lvistk("doctor", "--json")
    assert done.code == 0, done
    findings = {one["what"]: one for one in json.loads(done.out[0])}
    assert findings["torch"]["result"].startswith("2.")
    for what in ("codecs", "kernel cache", "evaluation", "model on cpu"):
        assert findings[what]["ok"] is True, findings[what]
    assert not [one for one in findings.values() if one["ok"] is False]


def test_a_broken_package_fails_its_checks_only(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file')"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop())\n"
        "from lvistk.stages.commands import doctor\n"
        "from lvistk import console\n"
        "for what, check in (('codecs', doctor._codecs), ('cache', doctor._kernel_cache)):\n"
        "    for one in doctor._checked(what, check):\n"
        "        console.say(f'{one.what}: {one.ok} {one.result}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    first, second = done.stdout.splitlines()
    assert first == "codecs: False ImportError: libGL.so.1: cannot open shared object file"
    assert second.startswith("cache: True")
