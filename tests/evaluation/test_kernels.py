"""The parts that read many bytes at once, against plain ones: RLE texts, numbers, JSON records."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from lvistk.evaluation.blocks import NO_MASK, PADDING
from lvistk.evaluation.results_json.json_scan import scan_records
from lvistk.evaluation.results_json.records import empty_records
from lvistk.json_numbers import PARSED, UNUSUAL, parse_number
from lvistk.masks.codes import OK
from lvistk.masks.rle_decode import SLACK, decode_counts, spans_of_runs, spans_of_text
from lvistk.masks.spans import box_of_spans


def padded(text: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(text + bytes(PADDING)), np.uint8)


def by_spans(text: bytes, total: int, *, escaped: bool) -> tuple | None:
    """Spans and area by the wide decoder, None where it leaves the text to the other."""
    n = len(text)
    starts, stops = np.zeros((2, n // 2 + 1), np.uint32)
    plain, numbers = np.zeros(n + SLACK, np.uint8), np.zeros(n + SLACK, np.int32)
    m, area, regular = spans_of_text(
        padded(text), 0, n, escaped, total, plain, numbers, starts, stops
    )
    return (starts[:m].tolist(), stops[:m].tolist(), area) if regular else None


def by_runs(text: bytes, total: int, *, escaped: bool) -> tuple | None:
    runs = np.zeros(len(text), np.int64)
    starts, stops = np.zeros((2, len(text) // 2 + 1), np.uint32)
    n, code = decode_counts(padded(text), 0, len(text), escaped, runs)
    if code != OK:
        return None
    m, area, code = spans_of_runs(runs, n, total, starts, stops)
    return (starts[:m].tolist(), stops[:m].tolist(), area) if code == OK else None


def encoded(rng: np.random.Generator, *, most: float) -> tuple[bytes, int]:
    """A random RLE whose runs have lengths up to ``most``, and its pixels."""
    runs = (rng.random(rng.integers(1, 150)) * most ** rng.random()).astype(int) + 1
    total = int(runs.sum())
    rle = coco_mask.frPyObjects({"size": [total, 1], "counts": runs.tolist()}, total, 1)
    return rle["counts"], total


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("most", [8, 100, 1e4, 1e7])
def test_wide_decoder_equals_the_plain_one(most: float, escaped: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        text, total = encoded(rng, most=most)
        if escaped:
            text = json.dumps(text.decode())[1:-1].encode()
        found = by_spans(text, total, escaped=escaped)
        assert found is not None
        assert found == by_runs(text, total, escaped=escaped)
        assert by_spans(text, total + 1, escaped=escaped) is None


def test_odd_texts_are_left_to_the_plain_decoder() -> None:
    assert by_spans(b"", 10, escaped=False) is None
    assert by_spans(b"55\x20", 10, escaped=False) is None  # no digit of an RLE
    assert by_spans(b"5U", 5, escaped=False) is None  # ends inside a number
    assert by_spans(b"505", 10, escaped=False) is None  # an empty run
    assert by_spans(b"5" + b"P" * 70 + b"1", 10, escaped=False) is None  # a number without end
    assert by_spans(rb"5\n5", 10, escaped=True) is None
    assert by_spans(b"05", 5, escaped=False) == ([0], [5], 5)  # begins with foreground


def test_random_bytes_are_never_decoded_otherwise() -> None:
    rng = np.random.default_rng(1)
    for _ in range(3000):
        text = bytes(rng.integers(46, 114, rng.integers(1, 12)).astype(np.uint8))
        total = int(rng.integers(1, 60))
        found = by_spans(text, total, escaped=False)
        assert found is None or found == by_runs(text, total, escaped=False)


def test_box_of_spans_is_the_masks_box() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        shape = tuple(rng.integers(1, 40, 2).tolist())
        whole = np.asfortranarray((rng.random(shape) < rng.random() * 0.3).astype(np.uint8))
        text = coco_mask.encode(whole)["counts"]
        spans = by_runs(text, whole.size, escaped=False)
        assert spans is not None
        starts, stops = (np.array(ends, np.uint32) for ends in spans[:2])
        box = np.ones(4, np.int64)
        box_of_spans(starts, stops, len(starts), shape[0], box)
        rows, columns = np.nonzero(whole)
        expected = [0, 0, 0, 0]
        if len(rows):
            x, y = columns.min(), rows.min()
            expected = [x, y, columns.max() - x + 1, rows.max() - y + 1]
            if any(
                int(a) // shape[0] != (int(b) - 1) // shape[0]
                for a, b in zip(*spans[:2], strict=True)
            ):
                expected[1], expected[3] = 0, shape[0]
        assert box.tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-0", "7", "12345678", "123456789012345678", "1e5", "-1.5E-7", "2.5e+3", "1e22"),
        *("0.1", "0.30000000000000004", "0.00000012345678901234567", "123456.789012345678"),
        *("9007199254740993", "1.7976931348623157e308", "4.9e-324", "0.1e-15", "99999999.0"),
    ],
)
def test_numbers_are_the_nearest(text: str) -> None:
    value, place, code = parse_number(padded(text.encode() + b","), 0)
    if code == PARSED:  # else the general parser reads it
        assert (value, place) == (float(text), len(text))
        assert str(value) == str(float(text))
    else:
        assert "e" in text


def test_random_numbers_are_the_nearest() -> None:
    rng = np.random.default_rng(3)
    values = rng.random(3000) * 10.0 ** rng.integers(-12, 12, 3000)
    for value in [*values.tolist(), *values.round(2).tolist()]:
        assert parse_number(padded(repr(value).encode()), 0)[::2] == (value, PARSED)


@pytest.mark.parametrize("text", ["", "-", "01", "1.", ".5", "1e", "1e+", "nan", "+1", "Infinit"])
def test_what_is_no_number(text: str) -> None:
    assert parse_number(padded(text.encode()), 0)[2] == UNUSUAL


@pytest.mark.parametrize("masks", [True, False])
def test_records_with_keys_that_nobody_knows(masks: bool) -> None:
    strange = {"a": [[1, "]"], {"b": '}{\\" |'}], "segmentations": None, "x" * 30: -1e-3}
    plain = {"image_id": 5, "category_id": 2, "bbox": [0.5, 1, 2.25, 3], "score": 0.125}
    mask = {"segmentation": {"size": [4, 4], "counts": "52\\9"}}
    records = empty_records(9)
    for one in ({**strange, **plain, **mask}, {**mask, **strange, **plain}):
        text = json.dumps([one, one])[1:-1].encode()
        count, _, place, code = scan_records(padded(text), 0, len(text), records, masks)
        assert (count, place, code) == (2, len(text), PARSED)
        for k in range(2):
            assert (records.image_ids[k], records.category_ids[k], records.scores[k]) == (
                5,
                2,
                0.125,
            )
            assert records.boxes[k].tolist() == plain["bbox"]
            assert (records.mask_kinds[k] != NO_MASK) == masks
