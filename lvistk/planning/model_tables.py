"""The model of a plan: backbone, pyramid, anchors, heads, classifier."""

from collections.abc import Iterator, Mapping
from typing import Any

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.planning import rules
from lvistk.planning.basis import Basis
from lvistk.planning.planned import Choice, Table


def model_settings(basis: Basis) -> ModelSettings:
    """The model's settings, as far as they cost time."""
    if basis.wishes.checkpoint is not None:
        return update(ModelSettings(), basis.wishes.checkpoint_model, where="checkpoint")
    changes: dict[str, Any] = {}
    rpn = Table("model.rpn", proposal_choices(basis))
    for table in (backbone_table(basis), rpn, *head_tables(basis)):
        values = {choice.name: choice.value for choice in table.choices}
        changes[table.name.removeprefix("model.")] = values
    changes["backbone"] = {**changes["backbone"], "weights": ""}
    return update(ModelSettings(), changes, where="plan")


def model_tables(basis: Basis, size: float) -> list[Table]:
    """All tables of ``[model]``."""
    backbone = basis.wishes.backbone
    if basis.wishes.checkpoint is not None:
        return list(_as_tables("model", basis.wishes.checkpoint_model))
    canonical = rules.canonical_size(basis.fp, size)
    top = [Choice("canonical_size", canonical.value, canonical.reason)]
    if backbone is not None and backbone.pixels is not None:
        top.append(Choice("image_mean", list(backbone.pixels), "as the weights were trained"))
        top.append(Choice("image_std", list(backbone.pixels)))
    anchors = rules.anchors(basis.fp, size)
    rpn = [Choice("anchor_sizes", list(anchors.sizes), anchors.reason)]
    if len(anchors.ratios) > 3:
        rpn.append(Choice("aspect_ratios", list(anchors.ratios), "many boxes are long"))
    return [
        Table("model", tuple(top)),
        backbone_table(basis),
        Table("model.rpn", (*rpn, *proposal_choices(basis))),
        *head_tables(basis),
        *classifier_tables(basis),
    ]


def _as_tables(name: str, settings: Mapping[str, Any]) -> Iterator[Table]:
    """The settings of an imported model as tables."""
    inner = {key: value for key, value in settings.items() if isinstance(value, Mapping)}
    plain = tuple(Choice(key, value) for key, value in settings.items() if key not in inner)
    if plain:
        yield Table(name, plain, "as the checkpoint's model has it")
    for key, value in inner.items():
        yield from _as_tables(f"{name}.{key}", value)


def backbone_table(basis: Basis) -> Table:
    """The backbone and what of it is trained."""
    backbone = basis.wishes.backbone
    if backbone is None:
        small = basis.on_cpu
        name = "resnet18" if small else "resnet50"
        return Table(
            "model.backbone",
            (
                Choice("name", name, "random start: no weights were given or lie here"),
                Choice("norm", "gn", "frozen statistics would normalise nothing"),
                Choice("frozen_stages", 0, "random layers must learn"),
                *([Choice("width", 0.5, "for a CPU")] if small else []),
            ),
        )
    frozen = 3 if basis.fp.images < 1000 and backbone.width == 1 else 2
    few = "few images: what ImageNet taught of edges and textures stays"
    return Table(
        "model.backbone",
        (
            Choice("library", backbone.library),
            Choice("name", backbone.name, backbone.origin),
            *([Choice("width", backbone.width)] if backbone.width != 1 else []),
            Choice("weights", backbone.weights),
            Choice("norm", "frozen_bn", "batches are too small for statistics of their own"),
            Choice("frozen_stages", frozen, few if frozen == 3 else "detectron2's"),
        ),
    )


def proposal_choices(basis: Basis) -> tuple[Choice, ...]:
    """How many proposals are made and kept."""
    if not basis.on_cpu:
        return ()
    return (
        Choice("pre_nms_train", 400, "a fifth of the paper's, as the demo: a CPU's time"),
        Choice("post_nms_train", 200),
        Choice("pre_nms_test", 300),
        Choice("post_nms_test", 150),
        Choice("batch_per_image", 64),
    )


def head_tables(basis: Basis) -> list[Table]:
    """Widths of pyramid and heads, where they are not the library's."""
    if not basis.on_cpu:
        return []
    note = "a quarter of the paper's widths: heads would take most of a CPU's time"
    return [
        Table("model.fpn", (Choice("channels", 64),), note),
        Table(
            "model.box",
            (
                Choice("fc_channels", 256),
                Choice("batch_per_image", 64),
                Choice("class_agnostic", True, "one box for all categories learns from all"),
                Choice("sampling_ratio", 2),
            ),
        ),
        Table(
            "model.mask",
            (Choice("channels", 64), Choice("convs", 2), Choice("sampling_ratio", 2)),
        ),
    ]


def classifier_tables(basis: Basis) -> list[Table]:
    """The classifier of stage 1."""
    if not basis.tail.is_long:
        return [Table("model.classifier", (Choice("kind", "softmax", basis.tail.reason),))]
    images = Choice("tail_images", *rules.spared_images(basis.fp))
    return [
        Table("model.classifier", (Choice("kind", "eql", "long-tailed: the paper's stage 1"),)),
        Table("model.classifier.eql", (images,)),
    ]
