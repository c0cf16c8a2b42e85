"""The two results files of ``tta-infer``, written shard by shard while others are still computed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lvistk.data.exchange.result_records import box_records, mask_records
from lvistk.data.index.lvis_write import results_in_parts
from lvistk.data.store.detection_store import DetectionStore

BOXES, MASKS = "results_bbox.json", "results_segm.json"


@contextmanager
def results_files(folder: Path, *, masks: bool) -> Iterator[Callable[[Path], None]]:
    """Gives a function that adds a finished shard to the results files in ``folder``.

    The files appear when the block ends well; shards are added in the order of their numbers. masks: the
    model makes masks, so that there is a file of them.
    """
    with ExitStack() as stack:
        add_boxes = stack.enter_context(results_in_parts(folder / BOXES))
        add_masks = stack.enter_context(results_in_parts(folder / MASKS)) if masks else None

        def add(shard: Path) -> None:
            store = DetectionStore.open(shard)
            add_boxes(box_records(store))
            if add_masks is not None:
                add_masks(mask_records(store))

        yield add
