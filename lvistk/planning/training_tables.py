"""Data, optimiser and loop of a plan."""

import math

from lvistk.planning import rules
from lvistk.planning.basis import Basis
from lvistk.planning.budget import Steps
from lvistk.planning.cost import Rates
from lvistk.planning.planned import Choice, Table


def data_tables(basis: Basis, steps: Steps) -> list[Table]:
    """Sizes of the images, repeat factors, and how images are read."""
    wanted, size = rules.wanted_size(basis.fp), steps.size
    edge, edges = rules.long_edge(basis.fp, size), rules.training_sizes(size)
    why = wanted.reason
    if steps.crop is None and size < wanted.value:
        why += (
            f"; {wanted.value:.0f} would be better, but enough steps of it do not fit into the time"
        )
    repeat = (
        Choice("repeat_images", basis.tail.images, basis.tail.reason)
        if basis.tail.is_long
        else Choice("repeat", "none", basis.tail.reason)
    )
    workers = max(1, min(basis.machine.cores - 1, 8))
    return [
        Table(
            "augment",
            (
                Choice("short_edges", list(edges), why),
                Choice("long_edge", int(edge.value), edge.reason),
                Choice(
                    "rotate_probability", 0.25, "stage 1 rotates in the paper; share of the demo's"
                ),
                *([Choice("crop", steps.crop.side, steps.crop.reason)] if steps.crop else []),
            ),
            "" if steps.crop else "whole images: every object is seen with what is around it",
        ),
        Table("sampler", (repeat,)),
        Table(
            "loader",
            (
                Choice("workers", workers, f"{basis.machine.cores} cores"),
                Choice("defects", "skip", "records that cannot be used are left out and told"),
            ),
        ),
    ]


def training_tables(basis: Basis, steps: Steps, rates: Rates) -> list[Table]:
    """Optimiser and loop."""
    wanted, seconds = basis.wanted_steps, steps.step_seconds
    warmup = max(20, min(500, steps.first // 20))
    epochs = f"{steps.first} steps of {seconds:.2f} s; wanted: {wanted.value:.0f}, {wanted.reason}"
    loop = [
        Choice("epochs", basis.epochs(steps.first), epochs),
        Choice("batch_size", int(basis.batch.value), basis.batch.reason),
        Choice("log_steps", 10),
        Choice("checkpoint_steps", max(20, min(500, round(300 / seconds)))),
    ]
    if not basis.on_cpu:
        loop.append(Choice("precision", "bf16", "half the memory, on tensor cores"))
        memory = rates.memory_gb * basis.batch.value
        parts = math.ceil(memory / (0.8 * basis.machine.device_memory_gb))
        if parts > 1:
            loop.append(Choice("accumulate", parts, f"{memory:.0f} GB at once do not fit"))
    rate = learning_rate(basis)
    return [
        Table(
            "optim",
            (
                Choice("kind", "adamw", "reaches more than SGD in few steps"),
                Choice("lr", rate.value, rate.reason),
                Choice("lr_batch", 0, "the rate is meant for this batch"),
                Choice("weight_decay", 0.01),
                Choice("clip_norm", 10.0),
                Choice("warmup_steps", warmup, "a twentieth of the steps"),
                Choice("schedule", "cosine", "to zero at the end, whatever the length"),
            ),
        ),
        Table("loop", tuple(loop)),
    ]


def learning_rate(basis: Basis) -> rules.Reasoned:
    """After the warm-up, for AdamW."""
    match basis.wishes.start:
        case "detector":
            return rules.Reasoned(0.0001, "a trained detector is only adapted")
        case _ if not basis.on_cpu:
            return rules.Reasoned(0.0002, "AdamW's usual one for detectors of full width")
    narrow = basis.wishes.backbone is not None and basis.wishes.backbone.width < 1
    if narrow:
        return rules.Reasoned(0.0015, "measured with this batch, for a narrow network")
    return rules.Reasoned(0.0007, "that of pipelines/real_small.toml, by the root of the batch")
