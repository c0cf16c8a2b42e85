"""The stages of a plan."""

from lvistk.planning import rules
from lvistk.planning.basis import Basis
from lvistk.planning.budget import Steps
from lvistk.planning.planned import Choice, Table, stage_table
from lvistk.planning.training_tables import learning_rate
from lvistk.planning.views import single_view, tta_choices

LABELS = {
    "by_name": "rows of categories that both have are taken over",
    "leave_out": "the detector knows other categories; their rows start anew",
}


def stage_tables(basis: Basis, steps: Steps) -> list[Table]:
    """All stages in order."""
    return [
        shared_view(basis, steps),
        *first_round(basis, steps),
        *self_training(basis, steps),
        *finetuning(basis, steps),
        *tta(basis, steps),
    ]


def shared_view(basis: Basis, steps: Steps) -> Table:
    """The view of all stages that say none of their own, those that are not planned too."""
    view = single_view(basis, steps.size)
    note = "a view a little above the middle training size, where a stage has no views of its own"
    return Table("views", tuple(Choice(k, v) for k, v in view.items()), note=note)


def first_round(basis: Basis, steps: Steps) -> list[Table]:
    """Stage 1, and how good it is in one view."""
    tables: list[Table] = []
    init: list[Choice] = []
    if basis.wishes.checkpoint is not None:
        inputs = {"checkpoint": str(basis.wishes.checkpoint), "categories": basis.wishes.categories}
        tables.append(
            stage_table(
                "imported",
                "import-weights",
                Choice("labels", labels := basis.wishes.checkpoint_labels, LABELS[labels]),
                Choice("inputs", inputs),
            )
        )
        init = [Choice("inputs", {"init": "imported"})]
    tables.append(
        stage_table("train_repr", "train-repr", *init, note="stage 1: the representation")
    )
    return [*tables, *_look(basis, "detect", "score", "train_repr")]


def _look(basis: Basis, detect: str, score: str, model: str) -> list[Table]:
    """Detections of a model in one view, and their score."""
    return [
        stage_table(detect, "tta-infer", Choice("inputs", {"model": model})),
        Table(
            f"stage.{detect}.merge",
            (
                Choice("nms_iou", 0.5),
                Choice("soft_nms", "none"),
                Choice("mask_source", "found"),
                Choice("max_detections", basis.most_detections),
            ),
        ),
        stage_table(score, "evaluate", Choice("inputs", {"detections": detect})),
    ]


def self_training(basis: Basis, steps: Steps) -> list[Table]:
    """A second round with missing annotations and pseudo-labelled images, where there may be some."""
    if basis.rounds == 1:
        return []
    tables, inputs = [], {"init": "train_repr"}
    if basis.may_miss:
        share = f"{1 - basis.fp.exhaustive:.0%} of the absent categories are not verified"
        tables += [
            stage_table(
                "pseudo_lvis",
                "pseudo-label",
                Choice("source", "lvis"),
                Choice("inputs", {"model": "train_repr"}),
                note=f"annotations may be missing: {share}",
            ),
            stage_table(
                "missing", "filter-missing", Choice("inputs", {"detections": "pseudo_lvis"})
            ),
        ]
        inputs["missing"] = "missing"
    if basis.wishes.pool:
        tables += [
            stage_table(
                "pseudo_openimages",
                "pseudo-label",
                Choice("source", "openimages"),
                Choice("inputs", {"model": "train_repr"}),
                Choice("max_images", max(200, 2 * basis.fp.images)),
                note="a pool of unlabelled images",
            ),
        ]
        inputs["pseudo"] = "pseudo_openimages"
        share = max(1, round(0.15 * basis.epoch_images))
        reason = "a seventh of an epoch; the paper: 10,000 of 100,000 and more"
        choice = Choice("pseudo_images_per_epoch", share, reason)
        tables.insert(0, Table("selftrain", (choice,)))
    again = basis.epochs(steps.again)
    return [
        *tables,
        stage_table(
            "train_again",
            "train-repr",
            Choice("inputs", inputs),
            note="from the first round's weights, which saves its time (the paper starts anew)",
        ),
        Table("stage.train_again.loop", (Choice("epochs", again, f"{steps.again} steps"),)),
    ]


def finetuning(basis: Basis, steps: Steps) -> list[Table]:
    """Stage 2."""
    model = "train_repr" if basis.rounds == 1 else "train_again"
    edges, why = rules.group_edges(basis.fp)
    name = "stage.finetune.model.classifier"
    classifier = Table(f"{name}.group_softmax", (Choice("edges", list(edges), why),))
    if not basis.tail.is_long:
        classifier = Table(name, (Choice("kind", "softmax", basis.tail.reason),))
    rate = learning_rate(basis).value / 2
    return [
        stage_table(
            "finetune",
            "finetune",
            Choice("inputs", {"model": model}),
            note="stage 2: balanced classifier and better masks on a frozen representation",
        ),
        classifier,
        Table(
            "stage.finetune.augment",
            (Choice("rotate_probability", 0.0, "stage 2 sees images as they are"),),
        ),
        Table("stage.finetune.optim", (Choice("lr", rate, "half of stage 1's, as the demo's"),)),
        Table(
            "stage.finetune.loop",
            (Choice("epochs", basis.epochs(steps.finetune), f"{steps.finetune} steps"),),
        ),
    ]


def tta(basis: Basis, steps: Steps) -> list[Table]:
    """Detections in several views, and their score."""
    return [
        stage_table("tta", "tta-infer", Choice("inputs", {"model": "finetune"})),
        Table("stage.tta.views", tta_choices(basis, steps.size)),
        Table(
            "stage.tta.merge",
            (
                Choice("max_detections", basis.most_detections),
                Choice(
                    "mask_source",
                    "average",
                    "over the paper's choice of one view a point of AP on drawn images, .1 on real ones",
                ),
            ),
        ),
        stage_table("score_tta", "evaluate", Choice("inputs", {"detections": "tta"})),
    ]
