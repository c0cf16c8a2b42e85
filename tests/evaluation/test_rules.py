"""One tiny case for each rule in which evaluators differ, each also held against the official code."""

from pathlib import Path

import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.config.load import from_table
from lvistk.evaluation.evaluate import Results, evaluate
from tests.evaluation.worlds import (
    annotation,
    assert_same_as_official,
    both_result,
    box_result,
    image,
    mask_result,
    rle,
    run,
    square,
    world,
    write,
)

A = (2, 2, 10, 10)
B = (20, 20, 12, 12)
FAR = (28, 2, 6, 6)


def scores(folder: Path, images: list, annotations: list, results: list) -> dict:
    gt = world(images, annotations)
    return assert_same_as_official(folder, gt, results).metrics


def test_perfect_detection_scores_one(tmp_path: Path) -> None:
    found = scores(tmp_path, [image(1)], [annotation(1, 1, 1, A)], [mask_result(1, 1, A, 0.5)])
    assert found["segm"]["AP"] == pytest.approx(1.0)
    assert found["bbox"]["AP"] == pytest.approx(1.0)
    assert found["segm"]["APr"] == pytest.approx(1.0) and found["segm"]["APc"] is None


def test_detections_outside_the_federated_lists_do_not_count(tmp_path: Path) -> None:
    results = [mask_result(1, 2, A, 0.9), mask_result(1, 1, A, 0.5)]
    found = scores(tmp_path, [image(1)], [annotation(1, 1, 1, A)], results)
    assert found["segm"]["AP"] == pytest.approx(1.0)


def test_negative_category_makes_a_false_positive(tmp_path: Path) -> None:
    images = [image(1), image(2, negative=(1,))]
    results = [mask_result(2, 1, A, 0.9), mask_result(1, 1, A, 0.5)]
    found = scores(tmp_path, images, [annotation(1, 1, 1, A)], results)
    assert found["segm"]["AP"] == pytest.approx(0.5)


def test_unmatched_detection_of_an_open_category_is_ignored(tmp_path: Path) -> None:
    results = [mask_result(1, 1, FAR, 0.9), mask_result(1, 1, A, 0.5)]
    found = scores(tmp_path, [image(1, open_=(1,))], [annotation(1, 1, 1, A)], results)
    assert found["segm"]["AP"] == pytest.approx(1.0)


def test_open_category_without_gt_is_not_judged(tmp_path: Path) -> None:
    images = [image(1, open_=(2,)), image(2)]
    gts = [annotation(1, 1, 1, A), annotation(2, 2, 2, A)]
    results = [mask_result(1, 2, A, 0.9), mask_result(2, 2, A, 0.5), mask_result(1, 1, A, 0.5)]
    assert scores(tmp_path, images, gts, results)["segm"]["AP"] == pytest.approx(1.0)


def test_category_may_be_positive_and_negative(tmp_path: Path) -> None:
    results = [mask_result(1, 1, A, 0.5), mask_result(1, 1, FAR, 0.9)]
    found = scores(tmp_path, [image(1, negative=(1,))], [annotation(1, 1, 1, A)], results)
    assert found["segm"]["AP"] == pytest.approx(0.5)


def test_detections_without_area_are_dropped(tmp_path: Path) -> None:
    empty = mask_result(1, 1, A, 0.9)
    empty["segmentation"] = rle(square(60, 60, 5, 5))
    found = scores(
        tmp_path, [image(1)], [annotation(1, 1, 1, A)], [empty, mask_result(1, 1, A, 0.5)]
    )
    assert found["segm"]["AP"] == pytest.approx(1.0)
    flat = [box_result(1, 1, (5, 5, 0, 9), 0.9), box_result(1, 1, A, 0.5)]
    found = scores(tmp_path, [image(1)], [annotation(1, 1, 1, A)], flat)
    assert found["bbox"]["AP"] == pytest.approx(1.0)


def test_300_per_image_over_all_categories_before_any_filter(tmp_path: Path) -> None:
    """Category 3 says nothing here, yet its 300 detections take all the places."""
    images = [image(1), image(2)]
    gts = [annotation(1, 1, 1, A), annotation(2, 2, 1, A)]
    results = [mask_result(1, 1, A, 0.1), mask_result(2, 1, A, 0.1)]
    results += [mask_result(1, 3, FAR, 0.9)] * 300
    found = scores(tmp_path, images, gts, results)
    assert found["segm"]["AR@300"] == pytest.approx(0.5)


def test_a_limit_of_0_counts_every_detection(tmp_path: Path) -> None:
    """Settable as the other limits are, and the same as one that nothing reaches."""
    paths = write(tmp_path, world([image(1)], [annotation(1, 1, 1, A)]),
                  [mask_result(1, 1, A, 0.1), *[mask_result(1, 3, FAR, 0.9)] * 300])  # fmt: skip
    settings = from_table(EvaluateSettings, {"max_detections": 0}, where="test")
    found = evaluate(paths[0], Results(paths[1]), settings).metrics["segm"]
    assert found["AR"] == pytest.approx(1.0)


def test_the_cap_is_stable_at_equal_scores(tmp_path: Path) -> None:
    first = [mask_result(1, 1, A, 0.5)] + [mask_result(1, 3, FAR, 0.5)] * 300
    gts = [annotation(1, 1, 1, A)]
    assert scores(tmp_path, [image(1)], gts, first)["segm"]["AP"] == pytest.approx(1.0)
    assert scores(tmp_path, [image(1)], gts, first[::-1])["segm"]["AP"] == 0


def test_equal_scores_keep_the_order_of_image_ids(tmp_path: Path) -> None:
    """The false positive in image 1 comes before the hit in image 2, though the file has it last."""
    images = [image(2), image(1, negative=(1,))]
    results = [mask_result(2, 1, A, 0.5), mask_result(1, 1, A, 0.5)]
    found = scores(tmp_path, images, [annotation(1, 2, 1, A)], results)
    assert found["segm"]["AP"] == pytest.approx(0.5)


def test_equal_ious_take_the_later_gt(tmp_path: Path) -> None:
    """So the second detection, which only overlaps the earlier ground truth, finds it free."""
    gts = [annotation(1, 1, 1, (0, 2, 10, 10)), annotation(2, 1, 1, (4, 2, 10, 10))]
    results = [mask_result(1, 1, A, 0.9), mask_result(1, 1, (0, 2, 10, 10), 0.5)]
    found = scores(tmp_path, [image(1)], gts, results)
    assert found["segm"]["AP50"] == pytest.approx(1.0)


def test_area_ranges_include_both_ends(tmp_path: Path) -> None:
    gts = [annotation(1, 1, 1, A, area=1024.0)]
    found = scores(tmp_path, [image(1)], gts, [mask_result(1, 1, A, 0.5)])
    assert found["segm"]["APs"] == pytest.approx(1.0)
    assert found["segm"]["APm"] == pytest.approx(1.0)


def test_gt_without_area_does_not_make_its_category_positive(tmp_path: Path) -> None:
    gts = [annotation(1, 1, 1, A, area=0.0), annotation(2, 2, 1, A)]
    results = [mask_result(1, 1, FAR, 0.9), mask_result(2, 1, A, 0.5)]
    found = scores(tmp_path, [image(1), image(2)], gts, results)
    assert found["segm"]["AP"] == pytest.approx(1.0)


def test_first_detection_with_a_box_makes_box_areas_count(tmp_path: Path) -> None:
    """A 40 x 40 box around a small mask: APs sees it only when mask areas count."""
    wide = {**mask_result(1, 1, FAR, 0.9), "bbox": [0.0, 0.0, 40.0, 40.0]}
    gts = [annotation(1, 1, 1, A)]
    results = [wide, both_result(1, 1, A, 0.5)]
    official = scores(tmp_path, [image(1)], gts, results)
    assert official["segm"]["APs"] == pytest.approx(1.0) and official["area"]["segm"] == "box"
    by_mask = EvaluateSettings(area="mask", boundary=False, fixed=False)
    found = run(tmp_path, world([image(1)], gts), results, by_mask).metrics
    assert found["segm"]["APs"] == pytest.approx(0.5) and found["area"]["segm"] == "mask"


def test_ignore_is_honoured_and_iscrowd_is_not(tmp_path: Path) -> None:
    gts = [annotation(1, 1, 1, A, ignore=1), annotation(2, 1, 1, B)]
    results = [mask_result(1, 1, A, 0.9), mask_result(1, 1, B, 0.5)]
    assert scores(tmp_path, [image(1)], gts, results)["segm"]["AP"] == pytest.approx(1.0)
    crowd = [annotation(1, 1, 1, A, iscrowd=1), annotation(2, 1, 1, B)]
    found = scores(tmp_path, [image(1)], crowd, results[1:])
    assert found["segm"]["AR@300"] == pytest.approx(0.5)


def test_undefined_groups_are_none_and_an_empty_result_is_zero(tmp_path: Path) -> None:
    found = run(tmp_path, world([image(1)], [annotation(1, 1, 1, A)]), []).metrics
    assert found["segm"]["AP"] == 0 and found["bbox"]["AP"] == 0
    assert found["segm"]["APf"] is None and found["segm"]["APl"] is None
    nothing = run(tmp_path, world([image(1)], []), []).metrics
    assert nothing["segm"]["AP"] is None


def test_annotation_id_zero_reads_as_unmatched(tmp_path: Path) -> None:
    gts = [annotation(0, 1, 1, A)]
    found = scores(tmp_path, [image(1)], gts, [mask_result(1, 1, A, 0.5)])
    assert found["segm"]["AP"] == 0
    assert any("annotation id 0" in line for line in found["warnings"])


def test_mask_of_another_size_matches_nothing(tmp_path: Path) -> None:
    strange = {**mask_result(1, 1, A, 0.9), "segmentation": rle(square(*A), side=50)}
    found = scores(tmp_path, [image(1)], [annotation(1, 1, 1, A)], [strange])
    assert found["segm"]["AP"] == 0
    assert any("whose size is not their image's" in line for line in found["warnings"])


def test_two_identical_detections_are_one_hit(tmp_path: Path) -> None:
    results = [mask_result(1, 1, A, 0.5), mask_result(1, 1, A, 0.5), mask_result(1, 1, B, 0.4)]
    gts = [annotation(1, 1, 1, A), annotation(2, 1, 1, B)]
    found = scores(tmp_path, [image(1)], gts, results)
    assert found["segm"]["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)
