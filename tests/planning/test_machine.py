"""What other processes take of the processors."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lvistk.planning.machine import OtherWork


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc/stat (Linux)")
def test_the_work_of_others_is_told_from_ours() -> None:
    ours = OtherWork()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    alone = ours.share()
    command = [sys.executable, "-c", "while True: pass"]
    others = OtherWork()
    with subprocess.Popen(command) as busy:
        time.sleep(0.6)
        share = others.share()
        busy.kill()
    assert 0 <= alone <= 1
    assert share * (os.cpu_count() or 1) > 0.3, "a process that never rests takes most of a core"
