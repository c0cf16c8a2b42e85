"""Images known by what they show: copies are found, others are not, on drawn and on real images."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.data.images.content_hash import (
    WINDOWS,
    bits_apart,
    content_hash,
    same_picture,
    window_hashes,
)
from lvistk.data.images.leak_guard import build_guard
from lvistk.errors import UserError
from tests.shared_data import REALDATA, needs_realdata


def drawn(seed: int, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Soft spots of several sizes, so that copies have something to keep."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3)).astype(np.float32)
    fine = rng.integers(-40, 40, (24, 32, 3)).astype(np.float32)
    layers = [
        cv2.resize(layer, size[::-1], interpolation=cv2.INTER_CUBIC) for layer in (coarse, fine)
    ]
    return np.clip(layers[0] + layers[1], 0, 255).astype(np.uint8)


def copies(image: np.ndarray) -> list[np.ndarray]:
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    pressed = [
        cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)
        for one in (image, half)
    ]
    return [half, *pressed]


def test_copies_match_and_others_do_not(tmp_path: Path) -> None:
    images = [drawn(seed) for seed in range(40)]
    paths = []
    for k, image in enumerate(images):
        paths.append(tmp_path / f"{k}.png")
        cv2.imwrite(str(paths[-1]), image)
    guard = build_guard(paths[:20], cache=tmp_path / "cache", key="a", workers=2)
    for k in range(20):
        assert all(guard.match(copy) == f"{k}.png" for copy in copies(images[k]))
    assert all(guard.match(image) is None for image in images[20:])


def cropped(image: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    height, width = image.shape[:2]
    rows = slice(round(top * height), height - round(bottom * height))
    return image[rows, round(left * width) : width - round(right * width)]


def test_darker_brighter_and_cropped_copies_match(tmp_path: Path) -> None:
    images = [drawn(seed) for seed in range(30)]
    paths = []
    for k, image in enumerate(images[:15]):
        paths.append(tmp_path / f"{k}.png")
        cv2.imwrite(str(paths[-1]), image)
    guard = build_guard(paths, cache=tmp_path / "cache", key="a", workers=1)
    assert guard.hashes.shape == (15, len(WINDOWS), 4)
    for k in range(15):
        changed = [cv2.convertScaleAbs(images[k], alpha=alpha) for alpha in (0.6, 0.8)]
        for cut in ((0.02,) * 4, (0.05,) * 4, (0.05, 0, 0, 0), (0, 0, 0.05, 0), (0, 0.05, 0.05, 0)):
            changed.append(cropped(images[k], *cut))
        assert [guard.match(one) for one in changed] == [f"{k}.png"] * len(changed)
    assert all(guard.match(image) is None for image in images[15:])


def test_flat_images_are_not_all_the_same() -> None:
    flat = np.full((50, 60, 3), 90, np.uint8)
    spot = flat.copy()
    spot[10:20, 10:20] = 200
    other = flat.copy()
    other[30:40, 40:50] = 200
    hashes = np.stack([content_hash(spot), content_hash(flat)])
    assert not same_picture(hashes, content_hash(other)).any()


def test_a_guard_is_kept_and_a_damaged_one_built_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), drawn(1))
    (tmp_path / "b.png").write_bytes(b"no image")
    paths = [path, tmp_path / "b.png"]
    first = build_guard(paths, cache=tmp_path / "c", key="k", workers=1)
    assert (first.names, first.unreadable) == (["a.png"], 1)
    (kept,) = (tmp_path / "c").glob("*.json")
    path.unlink()
    again = build_guard(paths, cache=tmp_path / "c", key="k", workers=1)
    np.testing.assert_array_equal(again.hashes, first.hashes)
    data = bytearray(kept.read_bytes())
    for offset in range(len(data)):
        kept.write_bytes(data[:offset] + bytes([data[offset] ^ 0x20]) + data[offset + 1 :])
        try:
            read = build_guard(paths, cache=tmp_path / "c", key="k", workers=1)
        except UserError:  # seen to be damaged; and the images are gone
            continue
        np.testing.assert_array_equal(read.hashes, first.hashes)
        assert read.names == first.names


@needs_realdata
@pytest.mark.slow
def test_no_two_real_images_match() -> None:
    files = sorted((REALDATA / "images").rglob("*.jpg"))
    images = [cv2.imread(str(file)) for file in files]
    hashes = np.stack([content_hash(image) for image in images])
    small = [cv2.resize(i, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for i in images]
    for k, image in enumerate(small):
        assert np.flatnonzero(same_picture(hashes, content_hash(image))).tolist() == [k], files[k]
    apart = [np.delete(bits_apart(hashes, one), k).min() for k, one in enumerate(hashes)]
    assert min(apart) >= 40


@needs_realdata
@pytest.mark.slow
def test_cropped_real_images_match_and_no_other() -> None:
    files = sorted((REALDATA / "images").rglob("*.jpg"))[::2]
    images = [cv2.imread(str(file)) for file in files]
    windows = np.stack([window_hashes(image) for image in images])  # (N, W, 4)
    for cut in ((0.0,) * 4, (0.02,) * 4, (0.05,) * 4, (0, 0, 0.05, 0)):
        for k, image in enumerate(images):
            same = same_picture(windows.reshape(-1, 4), content_hash(cropped(image, *cut)))
            assert np.unique(np.flatnonzero(same) // len(WINDOWS)).tolist() == [k], files[k]
