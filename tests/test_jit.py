"""Kernels come back from numba's cache, by the quick way and by numba's own, and from nobody else's."""

import os
import shutil
import subprocess
import sys
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


def test_a_kernel_that_nobody_calls_opens_no_cache(folder: Path) -> None:
    kernel = jit.kernel(total)
    assert [path for path in folder.rglob("*") if path.is_dir()] == [jit.cache_folder()]
    kernel(np.array([1.0]))
    assert any(folder.rglob("*.nbi"))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_in_which_others_write_is_not_read(folder: Path, mode: int) -> None:
    kept = jit.cache_folder()
    assert kept is not None and kept.parent == folder
    assert kept.stat().st_mode & 0o777 == 0o700
    kept.chmod(mode)
    jit.cache_folder.cache_clear()
    other = jit.cache_folder()
    assert other != kept


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_folder_of_another_user_is_not_read(folder: Path) -> None:
    kept = jit.cache_folder()
    assert kept is not None
    os.chown(kept, 12345, -1)
    jit.cache_folder.cache_clear()
    assert jit.cache_folder() != kept


IMPORT_ALL = """
import lvistk.evaluation.evaluate, lvistk.inference.nms, lvistk.masks.clipping
from lvistk import jit
assert jit.cache_folder() is None
print(lvistk.__file__)
"""


def test_an_installation_that_cannot_be_written_without_a_home(tmp_path: Path) -> None:
    """Root may write anywhere, so a file stands where the cache folder would be made."""
    package = tmp_path / "lvistk"
    shutil.copytree(jit.HERE, package, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    for sub in (package, *(path for path in package.rglob("*") if path.is_dir())):
        (sub / "__pycache__").touch()
    homeless = {k: v for k, v in os.environ.items() if k not in ("HOME", "NUMBA_CACHE_DIR")}
    homeless |= {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": "/dev/null/none"}
    done = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_ALL],
        cwd=tmp_path,
        env=homeless,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(package) in done.stdout
    assert done.stderr.count("warning: ") == 1 and "NUMBA_CACHE_DIR" in done.stderr


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_file_is_compiled_again_and_never_run(suffix: str, folder: Path) -> None:
    jit.kernel(total)(np.array([1.0]))
    (file,) = folder.rglob(f"*.{suffix}")
    sound = file.read_bytes()
    changes = [b"", sound[:-1], sound[:100]]
    changes += [
        sound[:k] + bytes([sound[k] ^ 4]) + sound[k + 1 :] for k in (0, len(sound) // 2, -2)
    ]
    for damaged in changes:
        file.write_bytes(damaged)
        kernel = jit.kernel(total)
        assert kernel(np.array([1.0, 2.5])) == 3.5
        assert not kernel.stats.cache_hits
        kernel = jit.kernel(total)
        assert kernel(np.array([1.0, 2.5])) == 3.5 and kernel.stats.cache_hits
