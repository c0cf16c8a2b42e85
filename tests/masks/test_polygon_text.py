"""The compiled reader of coordinates gives the numbers that a JSON library gives, or passes on."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvistk.data.index.annotation_chunk import FAST_BYTES, parse_masks
from lvistk.data.index.lvis_json import AnnotationFile, Broken
from lvistk.masks.polygon_text import scan_polygons
from tests.reference import polygons as twin
from tests.shared_data import REALDATA, needs_realdata


def scan(texts: list[str]):
    return scan_polygons([text.encode() for text in texts])


def test_by_hand() -> None:
    numbers, lengths, counts, plain = scan(
        ["[[1, -2.5],[3 ,4,5.25]]", "[]", '"x"', "[[]]", "[[0.1]]"]
    )
    assert numbers.tolist() == [1, -2.5, 3, 4, 5.25, np.float32(0.1)]
    assert lengths.tolist() == [2, 3, 0, 1]
    assert counts.tolist() == [2, 0, 0, 1, 1]
    assert plain.tolist() == [True, True, False, True, True]


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "[[[1]]]",
        '[["1"]]',
        "[[null]]",
        '{"a": [[1]]}',
        "[[NaN, 1]]",
        "[[1.2345678901234567890]]",
        "[[1,2]] x",
        "",
        "5",
    ],
)
def test_it_passes_on(text: str) -> None:
    numbers, lengths, counts, plain = scan([text, "[[1,2]]"])
    assert plain.tolist() == [False, True]
    assert (numbers.tolist(), lengths.tolist(), counts.tolist()) == ([1, 2], [2], [0, 1])


coordinate = st.one_of(
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.floats(-1e-3, 1e5),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.lists(coordinate, max_size=8), max_size=3), max_size=4), st.booleans())
def test_as_the_slow_twin_reads_them(instances: list, wide: bool) -> None:
    """Numbers of any size and spelling; what the reader leaves out has no part."""
    separators = (" ,\n", " : ") if wide else (",", ":")
    texts = [json.dumps(parts, separators=separators) for parts in instances]
    numbers, lengths, counts, plain = scan(texts)
    wanted = [twin.read(text) if fine else [] for text, fine in zip(texts, plain, strict=True)]
    assert counts.tolist() == [len(parts) for parts in wanted]
    assert lengths.tolist() == [len(part) for parts in wanted for part in parts]
    flat = [number for parts in wanted for part in parts for number in part]
    np.testing.assert_array_equal(numbers, np.array(flat, np.float32))


def test_exponents_and_many_digits() -> None:
    numbers, _, _, plain = scan(["[[1e3, -2.5E-1]]", "[[12345678901234567, 0.12345678901234567]]"])
    assert plain.all()
    assert numbers.tolist() == [
        1000,
        -0.25,
        np.float32(12345678901234567),
        np.float32(0.12345678901234567),
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(-(10**9), 10**9)), max_size=4), st.integers(0, 6))
def test_numbers_are_exact(parts: list[list[int]], decimals: int) -> None:
    text = json.dumps([[n / 10**decimals for n in part] for part in parts])
    if "e" in text:
        return
    numbers, lengths, counts, plain = scan([text])
    assert plain.all() and counts.tolist() == [len(parts)]
    assert lengths.tolist() == [len(part) for part in parts]
    wanted = [n for part in json.loads(text) for n in part]
    np.testing.assert_array_equal(numbers, np.array(wanted, np.float32))


def test_seventeen_digits_as_programs_write_them() -> None:
    values = np.random.default_rng(0).random(20_000) * 640
    numbers, _, _, plain = scan([json.dumps([[float(v) for v in values if v > 1e-4]])])
    assert plain.all()
    np.testing.assert_array_equal(numbers, values[values > 1e-4].astype(np.float32))


@needs_realdata
def test_both_readers_agree_on_real_files() -> None:
    path = REALDATA / "annotations" / "coco_as_lvis_v1_train.json"
    records = [r for r in AnnotationFile(path).annotations() if not isinstance(r, Broken)]
    raws = [record.segmentation for record in records]
    assert sum(memoryview(raw).nbytes for raw in raws) > FAST_BYTES
    fast = parse_masks(raws)
    slow = [parse_masks(raws[n : n + 100]) for n in range(0, len(raws), 100)]
    np.testing.assert_array_equal(
        fast.polygons.points, np.concatenate([part.polygons.points for part in slow])
    )
    counts = np.concatenate([np.diff(part.polygons.instance_start) for part in slow])
    np.testing.assert_array_equal(np.diff(fast.polygons.instance_start), counts)
    assert fast.errors == {}


@pytest.mark.parametrize(
    "odd", ["[[1,2,3]]", '"x"', '{"size":[4,4],"counts":[16]}', "[[1e1,2,3,4,5,6]]"]
)
def test_a_large_chunk_with_one_that_is_not_plain(odd: str, tmp_path) -> None:
    numbers = ",".join(["1.25"] * 6000)
    texts = [f"[[{numbers}]]"] * 50 + [odd] + [f"[[{numbers}]]"] * 50
    path = tmp_path / "a.json"
    records = ",".join(
        f'{{"id":{n},"image_id":1,"category_id":1,"bbox":[0,0,1,1],"segmentation":{text}}}'
        for n, text in enumerate(texts)
    )
    path.write_text(f'{{"images":[],"categories":[],"annotations":[{records}]}}')
    found = [r for r in AnnotationFile(path).annotations() if not isinstance(r, Broken)]
    masks = parse_masks([record.segmentation for record in found])
    assert len(masks.polygons) == 101
    assert [len(masks.polygons.parts(n)) for n in (0, 49, 51, 100)] == [1, 1, 1, 1]
    assert masks.polygons.parts(51)[0].shape == (3000, 2)
    assert (50 in masks.errors) == (odd in ("[[1,2,3]]", '"x"'))
    assert (masks.rle[50] is not None) == odd.startswith("{")
