"""What a stage takes on N devices: hours, memory, storage, cores that feed the devices."""

import math
from dataclasses import dataclass

LOADED_PER_CORE = 150.0
"""Training images per second and core: decoded, resized, flipped (docs/benchmarks.md, real LVIS images)."""
MOSAICS_PER_CORE = 32.0
"""The same of mosaics of four images, rotated (docs/benchmarks.md)."""
DETECTION_BYTES = 320.0
"""Of a detection in a store: box, score, label, and its mask as RLE. Measured: 317 in a drawn workload like
LVIS val (masks of 264 bytes), 169 to 224 in the demo's stores of small images."""
MOMENTS = {"sgd": 1, "adamw": 2}
"""Numbers that an optimiser keeps per weight."""


@dataclass(frozen=True)
class Cluster:
    """What a stage runs on.

    devices: that share a step. link_gb_s: rate at which gradients are exchanged, GB per second and device.
    disk_gb_s: at which checkpoints are written.
    """

    devices: int
    link_gb_s: float = 10.0
    disk_gb_s: float = 0.5


@dataclass(frozen=True)
class Training:
    """A training as far as its cost goes.

    images: of an epoch, repeats and pseudo-labelled ones included. epochs, batch, accumulate: as settings.
    rate: images per second of one device. memory_gb: of one image in a step; None: not known.
    weights: numbers of the model. trained: those with a gradient. moments: per trained weight, averages
    included. checkpoint_steps, kept: as its settings. mosaic: share of mosaics among the samples.
    """

    images: float
    epochs: int
    max_steps: int
    batch: int
    accumulate: int
    rate: float
    memory_gb: float | None
    weights: int
    trained: int
    moments: int
    checkpoint_steps: int
    kept: int
    mosaic: float


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    steps: 0 of inference. images: that go through the model. hours: all in all. device_gb: memory of a
    device; None: not known. storage_gb: on disk. cores: that feed one device. exchange, checkpoints: the
    shares of the hours in which devices wait for gradients and for checkpoints. remark: what does not fit.
    """

    steps: int
    images: float
    hours: float
    device_gb: float | None
    storage_gb: float
    cores: float
    exchange: float = 0.0
    checkpoints: float = 0.0
    remark: str = ""


def training_cost(training: Training, cluster: Cluster) -> Cost:
    """Of a training whose batch is divided over the devices.

    Gradients (float32) go round a ring, while the backward pass runs: what is longer counts.
    """
    steps = math.ceil(training.images / training.batch) * training.epochs
    steps = min(steps, training.max_steps) if training.max_steps else steps
    per_device = training.batch / cluster.devices
    compute = per_device / training.rate
    ring = 2 * (cluster.devices - 1) / cluster.devices * 4 * training.trained
    exchange = ring / (cluster.link_gb_s * 1e9)
    backward = compute * 2 / 3
    waited = max(0.0, exchange - backward)
    checkpoint_gb = 4 * (training.weights + training.moments * training.trained) / 1e9
    saving = math.ceil(steps / training.checkpoint_steps) * checkpoint_gb / cluster.disk_gb_s
    seconds = steps * (compute + waited) + saving
    per_core = (1 - training.mosaic) / LOADED_PER_CORE + training.mosaic / MOSAICS_PER_CORE
    in_memory = per_device / training.accumulate
    return Cost(
        steps=steps,
        images=float(steps) * training.batch,
        hours=seconds / 3600,
        device_gb=None if training.memory_gb is None else training.memory_gb * in_memory,
        storage_gb=checkpoint_gb * (training.kept + 1) + 4 * training.weights / 1e9,
        cores=training.rate * per_core,
        exchange=steps * waited / seconds,
        checkpoints=saving / seconds,
        remark=_batch_remark(training, cluster.devices),
    )


def _batch_remark(training: Training, devices: int) -> str:
    parts = devices * training.accumulate
    if training.batch % parts == 0:
        return ""
    return (
        f"loop.batch_size = {training.batch} does not divide over {devices} devices in "
        f"{training.accumulate} parts: set loop.batch_size to a multiple of {parts}"
    )


def inference_cost(
    images: int, *, rate: float, detections: float, view_pixels_ratio: float, devices: int
) -> Cost:
    """Of detecting on images.

    rate: images per second of one device in all its views. detections: per image in the store.
    view_pixels_ratio: pixels of all views over those of an image, which the cores resize.
    """
    return Cost(
        steps=0,
        images=float(images),
        hours=images / (rate * devices) / 3600,
        device_gb=None,
        storage_gb=images * detections * DETECTION_BYTES / 1e9,
        cores=rate * max(view_pixels_ratio, 1.0) / LOADED_PER_CORE,
    )
