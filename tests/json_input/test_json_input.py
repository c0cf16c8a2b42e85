"""Files and records as other tools write them, read as what they mean, or refused in one line."""

import codecs
import gzip
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lvistk.data.index.annotation_chunk import parse_masks
from lvistk.errors import UserError
from lvistk.json_input.faults import JSON_ERRORS, json_fault
from lvistk.json_input.mend import mend_record
from lvistk.json_input.segmentation import Unfit, read_segmentation
from lvistk.json_input.text import json_text

TEXT = json.dumps({"name": "Säge 𝄞", "values": [1, 2.5]}, ensure_ascii=False)
TRIANGLE = [0.0, 0.0, 4.0, 0.0, 4.0, 4.0]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.encode("utf-32-be"),
        gzip.compress(TEXT.encode()),
        gzip.compress(TEXT.encode("utf-16")),
        gzip.compress(codecs.BOM_UTF8 + TEXT.encode()),
    ],
    ids=[
        "plain",
        "mark",
        "utf16",
        "utf16le",
        "utf16be",
        "utf32",
        "utf32be",
        "gzip",
        "gzip16",
        "gzipmark",
    ],
)
def test_every_wrapping_is_undone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(content)
    text = json_text(path)
    assert json.loads(bytes(text.data)) == json.loads(TEXT)
    assert os.pread(text.descriptor, 1 << 10, text.first) == bytes(text.data)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (gzip.compress(TEXT.encode())[:-12], "gzip"),
        (TEXT.encode("utf-16")[:-1], "utf-16"),
    ],
)
def test_what_cannot_be_unwrapped_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        json_text(path)
    assert "any.json" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such file"):
        json_text(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'[{"id": 7,\n "image_id": 3, "bbox": [1, NaN, 2]}]', "annotation 7: NaN is not a number"),
        (b'[{"id": 7, "image_id": 3, "a": {"size": [-Infinity]}}]', "annotation 7: -Infinity"),
        (b'[{"image_id": 3, "category_id": 4, "score": NaN}]', "image 3, category 4: NaN"),
        (b'{"images": [{"id": 9, "height": Infinity}]}', "record with id 9: Infinity"),
        (b"[1,\n2,\n]", "trailing comma in array at byte 7 (line 3); remove the comma"),
        (b"[1, 2", "stops in the middle, at byte 5"),
        (b"[" * 100_000, "nested too deeply"),
        (b'["a" 1]', "line 1"),
    ],
)
def test_faults_have_line_record_and_mend(text: bytes, words: str) -> None:
    with pytest.raises(JSON_ERRORS) as caught:
        msgspec.json.decode(text)
    line = json_fault(text, caught.value)
    assert words in line and "\n" not in line


@pytest.mark.parametrize(
    ("value", "polygons"),
    [
        ([TRIANGLE], [TRIANGLE]),
        (TRIANGLE, [TRIANGLE]),
        ([[0, 0], [4, 0], [4, 4]], [TRIANGLE]),
        ([[[0, 0], [4, 0], [4, 4]]], [TRIANGLE]),
        ([[TRIANGLE]], [TRIANGLE]),
        ([TRIANGLE, TRIANGLE], [TRIANGLE, TRIANGLE]),
        ([[1, 2, 3, 4]], [[1.0, 2.0, 3.0, 4.0]]),
        ([], None),
        ([[]], None),
        (None, None),
    ],
)
def test_polygons_of_any_nesting(value: Any, polygons: Any) -> None:
    assert read_segmentation(value) == (polygons, None, 0)


@pytest.mark.parametrize(
    "bad", [[1, 2, 3, 4], [0, 0, 1, 1, 2, 2, 3], [0, 0, 1, 1, float("nan"), 2]]
)
def test_bad_parts_beside_good_ones_are_dropped(bad: list) -> None:
    assert read_segmentation([bad, TRIANGLE]) == ([TRIANGLE], None, 1)


@pytest.mark.parametrize(
    ("counts", "size", "meant"),
    [
        ("04", [2, 2], "04"),
        ("b'04'", [2, 2], "04"),
        ("b'0\\\\4'", [2, 2], "0\\4"),
        ([0, 4], [2.0, 2.0], [0, 4]),
        ([0.0, 4.0], [2, 2], [0, 4]),
        (list(b"04"), [2, 2], "04"),
        ("", [2, 3], [6]),
        ([], [2, 3], [6]),
    ],
)
def test_rle_of_any_form(counts: Any, size: list, meant: Any) -> None:
    found = read_segmentation({"counts": counts, "size": size}).rle
    assert found == {"size": [int(side) for side in size], "counts": meant}


@pytest.mark.parametrize(
    "value",
    [
        7,
        "text",
        [1, [2]],
        [["a"]],
        {"size": [2], "counts": "04"},
        {"size": [2, 2]},
        {"size": [2, 2.5]},
    ],
)
def test_no_mask_at_all_is_unfit(value: Any) -> None:
    with pytest.raises(Unfit, match="segmentation"):
        read_segmentation(value)


def test_records_are_mended() -> None:
    record = {
        "id": 1.0,
        "image_id": "a7",
        "category_id": False,
        "iscrowd": "0",
        "ignore": True,
        "area": None,
        "height": 4.0,
        "neg_category_ids": [1.0, 2],
        "other": None,
        "kept": "x",
        "bbox": [1, 2, 3, 4],
    }
    assert mend_record(record) == {
        "id": 1,
        "image_id": "a7",
        "category_id": 0,
        "iscrowd": 0,
        "ignore": 1,
        "height": 4,
        "neg_category_ids": [1, 2],
        "kept": "x",
        "bbox": [1.0, 2.0, 3.0, 4.0],
    }


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (3, "no record"),
        ({"id": 1.5}, "id 1.5 is no whole number"),
        ({"id": 2**70}, f"id {2**70} is beyond 64 bits"),
        ({"score": "high"}, "score 'high' is no number"),
        ({"name": 7}, "name 7 is no text"),
        ({"bbox": [1, 2, 3]}, "bbox has 3 numbers, not 4"),
        ({"neg_category_ids": 3}, "no list of category ids"),
        ({"iscrowd": "maybe"}, "iscrowd 'maybe' is neither 0 nor 1"),
        ({"area": 10**400}, "area 1"),
    ],
)
def test_values_that_mean_nothing_are_named(record: Any, words: str) -> None:
    with pytest.raises(Unfit) as caught:
        mend_record(record)
    assert words in str(caught.value)


@pytest.mark.parametrize("parts", [[[]], [[5, 5, 6, 6]], [[], [1, 2, 3]]])
def test_evaluation_and_index_count_the_same_bad_parts(parts: list) -> None:
    good = [10, 10, 20, 10, 20, 20]
    value = [good, *parts]
    mask = read_segmentation(value)
    assert (mask.polygons, mask.dropped) == ([good], len(parts))
    masks = parse_masks([msgspec.Raw(msgspec.json.encode(value))])
    assert masks.dropped == {0: len(parts)} and len(masks.polygons.parts(0)) == 1


@pytest.mark.parametrize(
    "value",
    [
        [[0, 0, 10**400, 0, 1, 1]],
        [0, 0, 10**400, 0, 1, 1],
        {"size": [10**400, 3], "counts": [3]},
        {"size": [1e300, 3], "counts": [3]},
        {"size": [3, 3], "counts": [9, 10**400]},
    ],
)
def test_numbers_that_no_field_holds_are_told(value: Any) -> None:
    """Mutated results ended in an OverflowError."""
    with pytest.raises(Unfit, match="segmentation"):
        read_segmentation(value)
