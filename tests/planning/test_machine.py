"""What other processes take of the processors."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lvistk.planning.machine import OtherWork


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc/stat (Linux)")
def test_a_busy_process_is_other_work() -> None:
    others = OtherWork()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(0.6)
        share = others.share()
        busy.kill()
    assert share * (os.cpu_count() or 1) > 0.3, "a process that never rests takes most of a core"
