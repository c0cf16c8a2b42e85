"""Each rule of planning on made-up data sets, and whole plans on many kinds of them."""

import itertools
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest

from lvistk.planning import rules
from lvistk.planning.backbones import SHIPPED, Backbone, named_backbone, shipped_backbone
from lvistk.planning.cost import Rates
from lvistk.planning.machine import Machine
from lvistk.planning.plan import make_plan
from lvistk.planning.planned import Plan, Wishes
from lvistk.planning.write import pipeline_text
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from tests.planning.fingerprints import CPU, GPU, fingerprint

RATES = {"cpu": Rates(training=40.0, inference=60.0), "cuda": Rates(8000.0, 9000.0)}
R50 = Backbone("torchvision", "resnet50", "resnet50.pth", "a file")
DATA = {"train": ["train.json"], "train_images": ".", "val": "val.json", "val_images": "."}


def planned(fp, machine: Machine = CPU, **wishes) -> Plan:
    wishes = {"hours": 2.0, "backbone": R50, **wishes}
    return make_plan(fp, machine, Wishes(**wishes), RATES[machine.kind])


def loaded(plan: Plan, folder: Path, **data) -> Pipeline:
    """The plan written and read as any pipeline file is."""
    text = pipeline_text(plan, name="mine", out="runs/mine", data={**DATA, **data}, head=["x"])
    assert max(map(len, text.splitlines())) <= 120
    file = folder / "lvistk.toml"
    file.write_text(text)
    tomllib.loads(text)
    return load_pipeline(file)


KINDS = [
    {"categories": c, "images": i, "side": s, "per_image": p}
    for c, i, s, p in [
        (3, 20, 640, 2),
        (3, 20, 64, 1),
        (3, 300, 6000, 40),
        (20, 300, 640, 6),
        (80, 445, 640, 7),
        (80, 20_000, 512, 7),
        (300, 1000, 128, 10),
        (1203, 3000, 640, 12),
        (1203, 100_000, 640, 4),
        (3000, 100_000, 6000, 2),
        (1, 50, 1024, 3),
    ]
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@pytest.mark.parametrize("machine", [CPU, GPU], ids=["cpu", "gpu"])
def test_a_plan_for_every_kind_of_data(kind: dict, machine: Machine, tmp_path: Path) -> None:
    """It loads, its sizes are sensible, and no schedule is shorter than one that teaches."""
    fp = fingerprint(**kind)
    pipeline = loaded(planned(fp, machine), tmp_path)
    train = pipeline.stage("train_repr").settings
    epoch = fp.images * rules.tail(fp).growth
    steps = train.loop.epochs * math.ceil(epoch / train.loop.batch_size)
    assert steps >= rules.LEAST_STEPS["backbone"]
    assert train.optim.warmup_steps <= steps / 4
    shortest, longest = min(train.augment.short_edges), max(train.augment.short_edges)
    most = 900 if not train.augment.crop else 900 * rules.MOST_ENLARGED
    assert 32 <= shortest <= longest <= most and longest <= train.augment.long_edge <= 2 * most
    assert longest <= max(rules.LARGEST_UPSCALING * min(fp.heights[0], fp.widths[0]) * 1.2, 112)
    assert 16 <= train.model.canonical_size <= 56
    assert train.loop.batch_size <= max(fp.images, 1)
    ranges = pipeline.stage("tta").settings.views.valid_ranges
    assert all(low < high for low, high in ranges)
    assert [plan.command for plan in pipeline.stages][-2:] == ["tta-infer", "evaluate"]


def test_small_objects_get_larger_images() -> None:
    sizes = [
        rules.wanted_size(fingerprint(object_side=s, side=1600)).value
        for s in (0.5, 0.2, 0.1, 0.02)
    ]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] == 800
    assert rules.wanted_size(fingerprint(side=64)).value <= 96  # 48 px high: at most twice that
    assert "tiles" in rules.too_small(fingerprint(object_side=0.004, side=6000), 800)
    assert not rules.too_small(fingerprint(), 800)


def test_the_hours_decide_size_and_steps(tmp_path: Path) -> None:
    fp = fingerprint(categories=80, images=445, object_side=0.1)
    plans = {hours: planned(fp, hours=hours) for hours in (0.1, 1.0, 10.0, 200.0)}
    sizes, steps = [], []
    for hours, plan in plans.items():
        train = loaded(plan, tmp_path).stage("train_repr").settings
        sizes.append(max(train.augment.short_edges))
        steps.append(train.loop.epochs)
        if hours >= 1.0:
            assert plan.hours <= hours
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert any("more than the 6 minutes asked" in line for line in plans[0.1].remarks)
    assert any("by heart" in line for line in plans[200.0].remarks)
    assert plans[200.0].hours < 100  # no more steps than are wanted


def test_small_objects_of_large_images_are_seen_in_crops(tmp_path: Path) -> None:
    fp = fingerprint(side=4000, object_side=0.015, per_image=30)
    chosen = rules.crop(fp, 800)
    assert chosen is not None and chosen.size >= 1.5 * 800 and 800 <= chosen.side <= 1100
    train = loaded(planned(fp), tmp_path).stage("train_repr").settings
    assert 96 <= train.augment.crop < min(train.augment.short_edges)
    assert rules.crop(fingerprint(side=4000, object_side=0.2), 800) is None  # none is small
    assert rules.crop(fingerprint(side=600, object_side=0.015), 448) is None  # nothing to gain
    mixed = fingerprint(side=4000, object_side=0.015, per_image=30)
    mixed.box_sides[: len(mixed.box_sides) // 10] = 2500
    assert rules.crop(mixed, 800) is None  # large ones would not fit


def test_with_little_time_steps_go_first() -> None:
    """Half of the objects at 16 px, and more steps, before larger images with fewer."""
    fp = fingerprint(object_side=0.14, images=2000)
    assert rules.modest_size(fp) == 128 < rules.wanted_size(fp).value
    sizes = [planned(fp, hours=h).settings("augment")["short_edges"][1] for h in (0.6, 40.0)]
    assert sizes[0] <= 128 < sizes[1]


def test_anchors_fit_the_boxes() -> None:
    fp = fingerprint(object_side=0.1)
    small = rules.anchors(fp, 224)
    assert small.sizes[0] <= 16 and small.reached > 0.85
    assert rules.anchors(fingerprint(object_side=0.4), 800).sizes[0] >= 32
    long = fingerprint()
    long.box_sides[:] *= np.array([2.2, 1 / 2.2])
    assert len(rules.anchors(long, 400).ratios) == 5
    usual = rules._best_overlaps(long.box_sides * 400 / 480, first=32, ratios=(0.5, 1, 2))
    assert rules.anchors(long, 400).reached >= (usual >= 0.5).mean()


def test_how_well_anchors_fit() -> None:
    """By hand: 32 x 32 is an anchor of P2, whose nearest centre is a pixel off: 31^2 of 2 x 32^2 - 31^2 are
    shared. 4 x 4 lies within it. 64 x 64 is an anchor of P3, two pixels off."""
    boxes = np.array([[32.0, 32.0], [4.0, 4.0], [64.0, 64.0]])
    shared = np.array([31.0**2, 16.0, 62.0**2])
    whole = np.array([2 * 32.0**2, 16 + 32.0**2, 2 * 64.0**2]) - shared
    overlaps = rules._best_overlaps(boxes, first=32, ratios=(1.0,))
    assert overlaps == pytest.approx(shared / whole)


def test_small_boxes_get_the_anchors_of_the_finest_level() -> None:
    """Anchors from 8 px on have 16 px on P3, beside boxes of 15 px but two pixels off on average."""
    first, reached = rules._first_anchor(np.full((10, 2), 15.0), (0.5, 1.0, 2.0))
    assert first in (14, 16) and reached == 1.0


def test_the_long_tail() -> None:
    flat = rules.tail(fingerprint(tail=0.0, categories=5))
    assert not flat.is_long
    long = rules.tail(fingerprint(tail=1.2, categories=60, images=400))
    assert long.is_long and 2 <= long.images <= 100 and 1 < long.growth <= rules.MOST_REPEATS
    large = rules.tail(fingerprint(tail=0.9, categories=1203, images=100_000, per_image=4))
    assert large.images <= rules.PAPER_TAIL_IMAGES


def test_the_equalization_loss_spares_few_instances() -> None:
    """At most 6% of the instances, as on LVIS, but always the least frequent category."""
    for categories, images in ((60, 400), (1203, 100_000)):
        fp = fingerprint(tail=1.2, categories=categories, images=images)
        spared = fp.category_images <= rules.spared_images(fp).value
        held = fp.category_instances[spared].sum() / fp.category_instances.sum()
        assert spared.any() and held <= rules.SPARED_SHARE
    few = fingerprint(tail=1.0, categories=2, images=50)
    assert (few.category_images <= rules.spared_images(few).value).sum() == 1


@pytest.mark.parametrize(
    ("categories", "images"), [(c, i) for c in (1, 3, 40, 400) for i in (20, 3000)]
)
def test_no_group_is_empty(categories: int, images: int) -> None:
    fp = fingerprint(categories=categories, images=images)
    counts = fp.category_instances
    edges, _ = rules.group_edges(fp)
    if counts[0] != counts[-1] and edges != rules.PAPER_EDGES:
        bounds = [0, *edges, counts[-1] + 1]
        assert all(((counts >= a) & (counts < b)).any() for a, b in itertools.pairwise(bounds))


def test_stages_follow_the_data(tmp_path: Path) -> None:
    def commands(plan: Plan, **data) -> list[str]:
        return [one.name for one in loaded(plan, tmp_path, **data).stages]

    plain = commands(planned(fingerprint()))
    assert plain == ["train_repr", "detect", "score", "finetune", "tta", "score_tta"]
    federated = loaded(planned(fingerprint(exhaustive=0.1)), tmp_path)
    assert federated.stage("train_again").inputs.missing == federated.stage("missing").out
    pool = loaded(planned(fingerprint(), pool=True), tmp_path, pool="open")
    assert pool.stage("train_again").inputs.pseudo == (pool.stage("pseudo_openimages").out,)
    assert "missing" not in [one.name for one in pool.stages]
    start = planned(
        fingerprint(), checkpoint=Path("m.pth"), checkpoint_model={"mask": {"convs": 3}}
    )
    imported = loaded(start, tmp_path)
    assert imported.stage("train_repr").inputs.init == imported.stage("imported").out
    assert imported.stage("train_repr").settings.model.mask.convs == 3


def test_stages_that_are_not_planned_have_the_planned_view(tmp_path: Path) -> None:
    plan = planned(fingerprint())
    loaded(plan, tmp_path)
    more = {"label": {"command": "pseudo-label", "source": "lvis"}}
    label = load_pipeline(tmp_path / "lvistk.toml", more=more).stage("label")
    assert label.settings.views.short_edges == tuple(plan.settings("views")["short_edges"])
    assert label.settings.views.short_edges[0] < 800


def test_a_random_start_is_told() -> None:
    plan = planned(fingerprint(), backbone=None)
    assert any("starts at random" in line for line in plan.remarks)
    assert plan.settings("model")["backbone"]["norm"] == "gn"


def test_backbones_are_known_by_their_files(tmp_path: Path) -> None:
    for name, wanted in {
        "efficientnet-lite0-57934424.pth": "tf_efficientnet_lite0",
        "resnet50-0676ba61.pth": "resnet50",
        "resnest50d-528c19ca.pth": "resnest50d",
    }.items():
        (tmp_path / name).touch()
        assert named_backbone(str(tmp_path / name)).name == wanted
    assert named_backbone(SHIPPED) == shipped_backbone()
