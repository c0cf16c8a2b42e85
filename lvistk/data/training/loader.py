"""Batches of training samples, made by worker processes ahead of the model."""

import atexit
import signal
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from lvistk import console
from lvistk.config.train import LoaderSettings
from lvistk.data.training.dataset import Sample, TrainingData
from lvistk.data.training.samplers import EpochPlan, SampleKey, rank_batch
from lvistk.errors import UserError
from lvistk.masks.instance_masks import ImageMasks
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets


@dataclass(eq=False)
class LoadedBatch:
    """What a worker hands over: a batch, or the user's error that stopped it."""

    batch: ImageBatch | None
    targets: list[Targets]
    skipped: list[str]
    error: str | None = None

    def pin_memory(self) -> "LoadedBatch":
        batch = self.batch and self.batch.pin_memory()
        pinned = [targets.pin_memory() for targets in self.targets]
        return LoadedBatch(batch, pinned, self.skipped, self.error)


class TrainLoader:
    """This rank's batches of every epoch (the loop's ``Batches``).

    Global batch b of an epoch is its samples ``[b * B, (b + 1) * B)``; each rank takes its contiguous
    part. What a sample is depends on seed, epoch and its number alone, so workers, ranks and resuming
    change nothing. For a ``device`` that is not the CPU, workers draw the mask frames and memory is
    pinned. ``skipped`` counts images left out with ``defects = "skip"``.
    """

    def __init__(
        self,
        data: TrainingData,
        *,
        batch_size_per_rank: int,
        settings: LoaderSettings,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self.data, self._whole = data, batch_size_per_rank * world_size
        self._plan = EpochPlan.empty()
        self.skipped: dict[str, int] = {}
        on_device = device is not None and device.type != "cpu"
        workers = settings.workers
        self._keys = _Keys(
            batch_size_per_rank=batch_size_per_rank, rank=rank, world_size=world_size
        )
        self._loader = DataLoader(
            _Batches(data, frames=on_device),
            sampler=self._keys,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=settings.prefetch if workers else None,
            persistent_workers=workers > 0,
            pin_memory=on_device and torch.cuda.is_available(),
            worker_init_fn=_start_worker,
        )

    def close(self) -> None:
        """End the workers; a later ``epoch`` starts new ones."""
        workers = getattr(self._loader, "_iterator", None)  # torch has no public way to end them
        if workers is not None:
            workers._shutdown_workers()
            self._loader._iterator = None

    def report(self) -> None:
        """Tell the user how many categories the repeat factors touch."""
        console.say(self.data.repeats.report())
        warning = self.data.repeats.warning()
        if warning is not None:
            console.warn(warning)

    def len_epoch(self, epoch: int) -> int:
        """Samples of an epoch over all ranks, a multiple of the global batch."""
        return len(self._planned(epoch))

    def epoch(
        self, epoch: int, start_sample: int = 0
    ) -> Iterator[tuple[ImageBatch, list[Targets]]]:
        """This rank's batches of an epoch, from the global batch that begins at ``start_sample``."""
        if start_sample % self._whole:
            raise UserError(f"sample {start_sample} does not begin a batch of {self._whole}")
        self._keys.plan, self._keys.start = self._planned(epoch), start_sample // self._whole
        batches = iter(self._loader)
        _WORKERS.update(getattr(batches, "_workers", ()))
        for loaded in batches:
            if loaded.error is not None:
                self.close()
                raise UserError(loaded.error)
            self._note(loaded.skipped)
            yield loaded.batch, loaded.targets

    def _planned(self, epoch: int) -> EpochPlan:
        if self._plan.epoch != epoch:
            self._plan = self.data.plan(epoch, batch=self._whole)
        return self._plan

    def _note(self, skipped: Sequence[str]) -> None:
        for reason in skipped:
            if reason not in self.skipped:
                console.warn(f"skipped: {reason}")
            self.skipped[reason] = self.skipped.get(reason, 0) + 1


class _Keys:
    """The keys of a rank's batches, from batch ``start`` of ``plan``; the loader asks for them each
    epoch."""

    def __init__(self, *, batch_size_per_rank: int, rank: int, world_size: int) -> None:
        self.plan, self.start = EpochPlan.empty(), 0
        self._batch, self._rank, self._world = batch_size_per_rank, rank, world_size

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for number in range(self.start, self.start + len(self)):
            yield rank_batch(
                self.plan,
                number,
                batch_size_per_rank=self._batch,
                rank=self._rank,
                world_size=self._world,
            )

    def __len__(self) -> int:
        return len(self.plan) // (self._batch * self._world) - self.start


class _Batches(Dataset[LoadedBatch]):
    """Whole batches by their keys; a user's error travels as a value, so that its one line arrives."""

    def __init__(self, data: TrainingData, *, frames: bool) -> None:
        self._data, self._frames = data, frames

    def __getitem__(self, keys: Sequence[SampleKey]) -> LoadedBatch:
        try:
            samples = [self._data.sample(key) for key in keys]
        except UserError as error:
            return LoadedBatch(None, [], [], str(error))
        if self._frames:
            for sample in samples:
                _draw_frames(sample)
        return LoadedBatch(
            ImageBatch.stack([sample.image for sample in samples]),
            [sample.targets for sample in samples],
            [reason for sample in samples for reason in sample.skipped],
        )


def _draw_frames(sample: Sample) -> None:
    masks = sample.targets.masks
    if isinstance(masks, ImageMasks):
        sample.targets.masks = masks.frames()


_WORKERS: "weakref.WeakSet[BaseProcess]" = weakref.WeakSet()
"""Workers that were started and may still run, whether or not their loader was closed."""


@atexit.register
def _kill_workers() -> None:
    """multiprocessing's own exit sends SIGTERM, which workers ignore, and then waits for ever."""
    alive = [worker for worker in _WORKERS if worker.is_alive()]
    if alive:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report a failure
    for worker in alive:
        worker.kill()


def _start_worker(_: int) -> None:
    """One thread per worker: the workers are the parallelism. Stopping is the loop's business.

    Ctrl-C and Slurm signal all processes of a job; a worker that died of it would end the run before
    its last checkpoint. Workers leave when the loop does, or when they find it gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
