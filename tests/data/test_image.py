"""Images from disk: sizes, EXIF, rotation, reduced decoding, and every way to be broken."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.data.images.decode import ImageError, planes, read_image
from lvistk.data.images.header import header_size


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """32 high, 48 wide; red at the left, blue at the right, its upper half darker."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, :24] = (0, 0, 240)
    pixels[:, 24:] = (240, 0, 0)
    pixels[:16] //= 2
    cv2.imwrite(str(tmp_path / "p.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return tmp_path / "p.jpg"


def with_orientation(image: Path, value: int) -> Path:
    """The image with an EXIF block that says orientation ``value``."""
    tiff = b"II*\x00" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)
    block = b"Exif\x00\x00" + tiff
    data = image.read_bytes()
    turned = image.with_name("exif.jpg")
    turned.write_bytes(
        data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    )
    return turned


def test_an_image_is_blue_green_red_and_planes_are_rgb(image: Path) -> None:
    pixels = read_image(image, size=(32, 48))
    assert pixels.shape == (32, 48, 3) and pixels[24, 8, 2] > 200 > pixels[24, 8, 0]
    np.testing.assert_array_equal(planes(pixels), pixels[..., ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_counter_clockwise(image: Path, degrees: int) -> None:
    upright = read_image(image)
    size = (48, 32) if degrees != 180 else (32, 48)
    turned = read_image(image, rotation=degrees, size=size)
    np.testing.assert_array_equal(turned, np.rot90(upright, degrees // 90))


def test_exif_is_followed_where_the_size_agrees(image: Path) -> None:
    turned = with_orientation(image, 6)  # the camera was turned: show it clockwise by 90 degrees
    np.testing.assert_array_equal(read_image(turned), np.rot90(read_image(image), -1))
    assert read_image(turned, size=(48, 32)).shape == (48, 32, 3)
    stored = read_image(turned, size=(32, 48))  # annotated as it is stored
    np.testing.assert_array_equal(stored, read_image(image))
    np.testing.assert_array_equal(read_image(turned, rotation=180), read_image(image)[::-1, ::-1])


@pytest.mark.parametrize("part", [2, 4, 8])
def test_reduced_decoding_is_the_image_made_smaller(image: Path, part: int) -> None:
    small = read_image(image, size=(32, 48), reduce=part)
    assert small.shape == (32 // part, 48 // part, 3)
    whole = cv2.resize(read_image(image), (48 // part, 32 // part), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - whole).mean() < 6


def test_odd_sizes_are_rounded_up(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "odd.jpg"), np.full((33, 47, 3), 90, np.uint8))
    assert read_image(tmp_path / "odd.jpg", size=(33, 47), reduce=2).shape == (17, 24, 3)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tiff", "jpg"])
@pytest.mark.parametrize("part", [2, 4, 8])
def test_odd_sizes_of_every_format(suffix: str, part: int, tmp_path: Path) -> None:
    """OpenCV rounds down where it scales a picture that it has decoded whole."""
    path = tmp_path / f"odd.{suffix}"
    draw = np.random.default_rng(0).integers(0, 200, (5, 7, 3), np.uint8)
    pixels = cv2.resize(draw, (47, 33), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), pixels)
    small = read_image(path, size=(33, 47), reduce=part)
    wanted = cv2.resize(read_image(path), small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert small.shape == (-(-33 // part), -(-47 // part), 3)
    assert np.abs(small.astype(int) - wanted).mean() < 20  # JPEG at an eighth is coarse


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tiff", "jpg", "gif"])
def test_sizes_from_headers(suffix: str, tmp_path: Path) -> None:
    data = cv2.imencode(f".{suffix}", np.full((33, 47, 3), 90, np.uint8))[1].tobytes()
    assert header_size(data) == (33, 47)
    for length in range(0, len(data), 7):  # cut anywhere: unknown, never an error
        assert header_size(data[:length]) in (None, (33, 47))
    lossless = cv2.imencode(".webp", np.zeros((9, 8, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert header_size(lossless[1].tobytes()) == (9, 8)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """30,000 x 30,000 of one colour: some 100 KB on disk, 2.7 GB decoded."""
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(30_000))
    assert path.stat().st_size < 2_000_000
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from lvistk.data.images.decode import ImageError, read_image\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "try: read_image(Path(sys.argv[1]))\n"
        "except ImageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{path}: image of 30000x30000 pixels, more than the 178956970")
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((10, 11, 3), np.uint8))
    assert read_image(tmp_path / "p.png", max_pixels=110).shape == (10, 11, 3)
    with pytest.raises(ImageError, match="11x10 pixels, more than the 109"):
        read_image(tmp_path / "p.png", max_pixels=109)


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    packer = zlib.compressobj(9)
    row = bytes(side // 8 + 2)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    return start + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_grey_images_get_three_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((8, 9), 77, np.uint8))
    assert (read_image(tmp_path / "grey.png") == 77).all()


def test_every_broken_image_is_named(image: Path, tmp_path: Path) -> None:
    whole = image.read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:-40])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image at all")
    for name, said in (
        ("cut.jpg", "cut short"),
        ("empty.jpg", "empty file"),
        ("text.jpg", "decoded"),
        ("absent.jpg", "missing"),
    ):
        with pytest.raises(ImageError, match=f"{name}.*{said}"):
            read_image(tmp_path / name)
    with pytest.raises(ImageError, match="48x32 where the annotations say 50x32"):
        read_image(image, size=(32, 50))
    (tmp_path / "trailing.jpg").write_bytes(whole + b"\x00junk")
    assert read_image(tmp_path / "trailing.jpg").shape == (32, 48, 3)


def test_opencv_adds_no_lines_about_a_broken_image(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.png"
    data = cv2.imencode(".png", np.zeros((40, 50, 3), np.uint8))[1].tobytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"a\.png"):
        read_image(path, size=(1, 1))
    assert capfd.readouterr().err == ""
