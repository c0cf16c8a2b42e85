"""Kernels come back from numba's cache, by the quick way and by numba's own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lvistk import jit


def total(values):
    found = 0.0
    for value in values:
        found += value
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    jit.cache_folder.cache_clear()
    yield tmp_path
    jit.cache_folder.cache_clear()


@pytest.mark.parametrize("needed", [jit.NUMBAS_OWN, ("_what_no_numba_has",)], ids=["quick", "own"])
def test_the_second_kernel_is_loaded(
    needed: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "NUMBAS_OWN", needed)
    for loaded in (0, 1):
        kernel = jit.kernel(total)
        assert kernel(np.array([1.0, 2.5])) == 3.5
        assert sum(kernel.stats.cache_hits.values()) == loaded
    assert any(folder.rglob("*.nbc"))
