"""The cached ground truth is used where it is sound and this user's, and made anew where it is not."""

import json
import os
import shutil
import stat
import zlib
from pathlib import Path

import numpy as np
import pytest

from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.evaluation.ground_truth import cache as gt_cache
from lvistk.evaluation.ground_truth.soundness import are_sound
from tests.evaluation.random_worlds import random_world
from tests.evaluation.worlds import FAST, write


def files(folder: Path) -> tuple[Path, Path, Path]:
    gt, results = write(folder, *random_world(3, images=4, side=30, boxes="both"))
    return gt, results, folder / f".{gt.name}.lvistk-truth"


def is_used(gt: Path) -> bool:
    """Whether a cache beside ``gt`` is believed."""
    key = f"{gt_cache.VERSION} {gt_cache.fingerprint(gt)}"
    try:
        return gt_cache._load(gt.with_name(f".{gt.name}.lvistk-truth"), key, masks=True) is not None
    except (ValueError, KeyError, TypeError):
        return False


def test_any_flipped_byte_is_noticed_and_the_cache_written_anew(tmp_path: Path) -> None:
    gt, results, cache = files(tmp_path)
    expected = evaluate(gt, Results(results), FAST).metrics
    whole = cache.read_bytes()
    assert is_used(gt)
    rng = np.random.default_rng(0)
    for place in sorted({0, len(whole) - 1, *rng.integers(0, len(whole), 60).tolist()}):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        cache.write_bytes(flipped)
        assert not is_used(gt), place
    for shorter in (0, 10, len(whole) // 2, len(whole) - 1):
        cache.write_bytes(whole[:shorter])
        assert not is_used(gt), shorter
    assert evaluate(gt, Results(results), FAST).metrics == expected
    assert cache.read_bytes() == whole and is_used(gt)


def rewritten(whole: bytes, change: object) -> bytes:
    """A cache whose head was changed, with the right checksum."""
    first, head, rest = whole.split(b"\n", 2)
    table = json.loads(head)
    change(table)  # pyright: ignore[reportCallIssue]
    body = json.dumps(table).encode().ljust(len(head)) + b"\n" + rest
    return b" ".join([*first.split(b" ")[:-1], b"%08x\n" % zlib.crc32(body)]) + body


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table["arrays"]["slot_gts"].__setitem__(1, 0),
        lambda table: table["arrays"]["boxes"].__setitem__(0, [4, 1]),
        lambda table: table["arrays"]["span_starts"].__setitem__(1, 10**9),
        lambda table: table["arrays"]["ids"].__setitem__(0, [0]),
        lambda table: table["names"].pop(),
        lambda table: table["arrays"].pop("ids"),
    ],
)
def test_arrays_that_do_not_fit_are_not_believed(tmp_path: Path, change: object) -> None:
    gt, results, cache = files(tmp_path)
    evaluate(gt, Results(results), FAST)
    whole = cache.read_bytes()
    cache.write_bytes(rewritten(whole, lambda table: None))
    assert is_used(gt)
    cache.write_bytes(rewritten(whole, change))
    assert not is_used(gt)


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("slot_rows", 1, 10**6),
        ("slot_gts", 1, -1),
        ("span_rows", -1, 10**6),
        ("slot_categories", 0, 99),
        ("span_stops", -1, 2**31),
        ("span_starts", 0, 2**31),
        ("image_ids", 0, 10**9),
    ],
)
def test_offsets_out_of_bounds_are_unsound(tmp_path: Path, name: str, row: int, value: int) -> None:
    gt, results, _ = files(tmp_path)
    found = evaluate(gt, Results(results), FAST).gt
    assert are_sound(found)
    getattr(found.arrays, name)[row] = value
    assert not are_sound(found)


def test_a_strangers_cache_is_not_believed(tmp_path: Path) -> None:
    gt, results, cache = files(tmp_path)
    evaluate(gt, Results(results), FAST)
    assert not stat.S_IMODE(cache.stat().st_mode) & 0o022
    for mode in (0o664, 0o646):
        cache.chmod(mode)
        assert not is_used(gt)
    cache.chmod(0o600)
    assert is_used(gt)
    copy = tmp_path / "elsewhere"
    shutil.copy(cache, copy)
    cache.unlink()
    cache.symlink_to(copy)
    assert not is_used(gt)
    if os.geteuid() == 0:
        cache.unlink()
        shutil.copy(copy, cache)
        os.chown(cache, 12345, -1)
        assert not is_used(gt)


def test_no_home_and_no_place_for_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gt, results, cache = files(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    cache.mkdir()
    assert evaluate(gt, Results(results), FAST).metrics["segm"]["AP"] is not None
