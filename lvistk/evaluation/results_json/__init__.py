"""Records of results and annotation JSON as blocks of columns.

Sealed: its only face is ``read_blocks``; nobody outside imports a module of this folder, and how the text is
cut, scanned and parsed is nobody else's business. A scanner in compiled code reads the shapes that LVIS and
COCO files have (``json_scan``); whatever is out of the ordinary goes through a general parser
(``json_general``), which understands other tools' spellings by ``lvistk.json_input``.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from lvistk.evaluation.blocks import Block
from lvistk.evaluation.results_json.json_array import JsonArray, results_array
from lvistk.evaluation.results_json.json_general import Reading
from lvistk.evaluation.results_json.json_records import (
    Unsplittable,
    first_block,
    map_sections,
    whole_block,
)
from lvistk.json_input.text import JsonText

__all__ = ["read_blocks"]
Result = TypeVar("Result")
Gathered = TypeVar("Gathered")


def read_blocks(
    text: JsonText,
    work: Callable[[Block], Result],
    gather: Callable[[Iterator[Result]], Gathered],
    *,
    threads: int,
    masks: bool,
    image_of: Callable[[str], int],
    annotations: tuple[int, int] | None = None,
    first_only: bool = False,
) -> Gathered:
    """``gather`` of what ``work`` makes of each block of a file's records, in the order of the file.

    text: the open file: a JSON list of detections, or one that holds annotations
    work: called on ``threads`` threads; it must release the GIL to gain by them, and keep no array of a block
    gather: may be called twice, the second time with a single block of all records, where the file turned
        out to have been cut inside a record
    masks: whether blocks need masks
    image_of: the image id that a text in ``image_id`` means; raises ``Unfit`` where it means none
    annotations: offsets in ``text.data`` of the list of annotations, without its brackets; then blocks have
        what only annotations have
    first_only: the first record alone, one block

    Raises ``UserError`` naming the file and the record, or the line where the JSON breaks.
    """
    reading = Reading(masks, annotations is not None, image_of)
    if annotations is None:
        array = results_array(text)
    else:
        array = JsonArray(text, *(text.first + offset for offset in annotations))
    if first_only:
        return gather(iter([work(first_block(array, reading))]))
    try:
        return gather(map_sections(array, work, reading, threads=threads))
    except Unsplittable:
        return gather(iter([work(whole_block(array, reading))]))
