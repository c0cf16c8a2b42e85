"""Where the shared reference material lies, for tests that skip without it."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("LVISTK_SHARED", Path(__file__).parents[2] / "shared"))
REALDATA = SHARED / "realdata"
GOLDEN = SHARED / "golden"
BENCH = SHARED / "bench"

needs_realdata = pytest.mark.skipif(
    not REALDATA.is_dir(), reason=f"real images are not at {REALDATA} (set LVISTK_SHARED)"
)
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason=f"reference outputs are not at {GOLDEN} (set LVISTK_SHARED)"
)
