"""Pickles that attack the reader's memory: refused in one line, never a crash, never a large allocation."""

import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lvistk.errors import UserError
from lvistk.importing.checkpoint_file import read_checkpoint_file
from lvistk.importing.pickle_values import Array
from lvistk.importing.restricted_pickle import load_restricted
from tests.importing.pickle_fuzz import read_many

ROOT = Path(__file__).parents[2]
DTYPE = b"cnumpy\ndtype\nU\x02%sK\x00K\x01\x87R"
PLAIN = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
HIDDEN = b"(K\x03U\x01|N(U\x01xt}U\x01x" + DTYPE % b"O8" + b"K\x00\x86sK\x08K\x01K\x00tb"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"


def array(*, element: bytes, state: bytes, shape: bytes, raw: bytes) -> bytes:
    """A pickle of {"model": {"w": ARRAY}}."""
    content = EMPTY + b"(K\x01" + shape + DTYPE % element + state
    content += b"\x89U" + bytes([len(raw)]) + raw + b"tb"
    return b"\x80\x02}U\x05model}U\x01w" + content + b"ss."


def refused(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"{path.name}: .*{message}") as told:
        read_checkpoint_file(path)
    assert "\n" not in str(told.value)


def test_a_plain_array_in_the_same_words_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(
        array(element=b"f4", state=PLAIN, shape=b"K\x02\x85", raw=struct.pack("<2f", 1, 2))
    )
    assert read_checkpoint_file(path).tensors["w"].tolist() == [1, 2]


@pytest.mark.parametrize("element", [b"i8", b"V8", b"O8"])
def test_an_object_field_behind_cleared_flags(tmp_path: Path, element: bytes) -> None:
    data = array(element=element, state=HIDDEN, shape=b"K\x01\x85", raw=b"A" * 8)
    refused(tmp_path / "w.pkl", data, "no plain number|holds no weights")


@pytest.mark.parametrize("shape", [b"K\x03\x85", b"K\x00\x85", b"J\xff\xff\xff\xff\x85", b"N"])
def test_arrays_whose_bytes_do_not_fit(tmp_path: Path, shape: bytes) -> None:
    data = array(element=b"f4", state=PLAIN, shape=shape, raw=b"A" * 8)
    refused(tmp_path / "w.pkl", data, "shape|size")


def test_objects_of_numpy_and_torch_are_never_filled(tmp_path: Path) -> None:
    """A second state for an array only replaces the stand-in's content; bytes take none."""
    value = load_restricted(pickle.dumps(np.arange(3.0), protocol=2))
    assert isinstance(value, Array) and value.value is not None and not value.value.flags.writeable
    refused(tmp_path / "w.pkl", b"\x80\x03C\x01a}b.", "a state for bytes")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x80\x04B\xff\xff\xff\x7fa.", "ends within"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x3fa.", "ends within|damaged"),
        (b"\x80\x04\x8b\xff\xff\xff\x7f1.", "ends within|damaged"),
        (b"(" * 2000 + b"t" * 2000 + b".", "inside one another"),
        (b"I" + b"9" * 100_000 + b"\n.", "damaged"),
        (b"N" * 2_100_000 + b".", "instructions"),
        (b"\x82\x01.", "EXT1"),
        (b"g5\n.", "damaged"),
        (b".", "damaged"),
    ],
    ids=["bytes", "bytes8", "long", "marks", "digits", "many", "extension", "memo", "empty"],
)
def test_limits(tmp_path: Path, program: bytes, message: str) -> None:
    if program[:3] == b"NNN" and len(program) > 2_000_000:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        refused(tmp_path / "w.pkl", program, message)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB
    else:
        refused(tmp_path / "w.pkl", program, message)


def test_a_key_that_would_be_hashed_deep_down(tmp_path: Path) -> None:
    deep = b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns."
    refused(tmp_path / "w.pkl", deep, "holds no weights")


def test_large_memo_numbers_cost_nothing(tmp_path: Path) -> None:
    refused(tmp_path / "w.pkl", b"\x80\x02}r\xff\xff\xff\x7f.", "holds no weights")


def tensor_pickle(size: str, stride: str, *, offset: int = 0, count: int = 6) -> bytes:
    reference = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuL%dL\ntQ" % count
    sizes = (f"({''.join(f'L{n}L' + chr(10) for n in text.split())}t" for text in (size, stride))
    view = "".join(sizes).encode() + b"\x89NtR"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + b"L%dL\n" % offset + view
    return b"\x80\x02}U\x05model}U\x01w" + made + b"ss."


def torch_zip(path: Path, data: bytes, *, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/data/0", np.arange(6, dtype=np.float32).tobytes())


def test_the_same_tensor_within_its_data_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch_zip(path, tensor_pickle("2 2", "3 1", offset=1))
    assert read_checkpoint_file(path).tensors["w"].tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize(
    ("size", "stride", "options"),
    [
        ("2 3", "3 2", {}),
        ("7", "1", {}),
        ("6", "1", {"offset": 1}),
        ("6", "1", {"offset": 1 << 62}),
        ("6", "-1", {"offset": 5}),
        ("-1", "1", {}),
        ("2 3", "1", {}),
        ("7", "1", {"count": 7}),
        ("1", "1", {"count": 1 << 60}),
        ("1000000 1000000", "0 0", {}),
        ("100000 100000", "0 0", {}),
    ],
)
def test_tensors_beyond_their_data(tmp_path: Path, size: str, stride: str, options: dict) -> None:
    path = tmp_path / "w.pth"
    torch_zip(path, tensor_pickle(size, stride, **options))
    with pytest.raises(UserError, match=r"w\.pth: .*(beyond|size|agree|cut off|declares|damaged)"):
        read_checkpoint_file(path)


def test_zip_bombs(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch_zip(path, b"N" * 4_000_000 + b".", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"w\.pth: .*compressed members"):
        read_checkpoint_file(path)


def test_old_files_that_declare_more_than_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    sound = path.read_bytes()
    assert sound.count(b"K\x04N") == 1
    path.write_bytes(sound.replace(b"K\x04N", b"\x8a\x05\x00\x00\x00\x00\x10N"))
    with pytest.raises(UserError, match=r"w\.pth: .*larger than the file"):
        read_checkpoint_file(path)


def test_random_and_mutated_files(tmp_path: Path) -> None:
    ends = read_many(tmp_path, count=400, seed=1)
    assert ends["read"] > 20 and ends["refused"] > 100 and not ends["several lines"], ends


@pytest.mark.slow
def test_ten_thousand_random_and_mutated_files(tmp_path: Path) -> None:
    """In a process of its own, whose crash would be noticed."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.importing.pickle_fuzz"]
    done = subprocess.run(
        [*command, str(tmp_path), "--count", "10000"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    read, refused, several = map(int, done.stdout.split()[1::2])
    assert read > 200 and refused > 2000 and not several, done.stdout
