"""A tiny model with everything that makes resuming hard, and its data; also a program to be killed.

    python -m tests.engine.toy FOLDER --steps 10 --kill-before 5

It has batch norm (running statistics), dropout (global randomness) and a counter as EQL v2's and
Seesaw's losses have (a buffer that changes the loss).
"""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lvistk import distributed
from lvistk.config.train import LoopSettings, OptimSettings
from lvistk.engine.job import Job, Part
from lvistk.engine.loop import train
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets


class NoMasks:
    def __len__(self) -> int:
        return 1

    def to(self, device: torch.device) -> "NoMasks":
        return self

    def crop(self, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
        return torch.zeros(len(instances), size, size)


class ToyModel(nn.Module):
    def __init__(self, *, norm: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8) if norm else nn.GroupNorm(2, 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 5)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(4, dtype=torch.int64))

    def forward(self, batch: ImageBatch, targets: list[Targets]) -> dict[str, Tensor]:
        labels = torch.stack([target.labels[0] for target in targets])
        counts = torch.bincount(labels, minlength=4)
        self.seen += distributed.sum_over_ranks(counts)
        features = self.norm(self.body(batch.images.float() / 255)).relu().mean((2, 3))
        logits = self.head(self.dropout(features))
        weight = 1 / (1 + self.seen.float() / self.seen.sum())
        classes = nn.functional.cross_entropy(logits[:, :4], labels, reduction="none")
        areas = torch.stack([target.area_ratio[0] for target in targets])
        return {
            "loss_class": (classes * weight[labels]).mean(),
            "loss_area": (logits[:, 4] - areas).square().mean(),
        }


@dataclass
class ToyBatches:
    """``samples`` an epoch, in an order of its own; ``poison`` is an image id with a NaN."""

    part_size: int
    samples: int = 24
    poison: int = -1

    def len_epoch(self, epoch: int) -> int:
        return self.samples + 4 * (epoch % 2)

    def epoch(self, epoch: int, start_sample: int = 0) -> Iterator[Part]:
        order = torch.randperm(
            self.len_epoch(epoch), generator=torch.Generator().manual_seed(epoch)
        ).tolist()
        whole = self.part_size * distributed.world_size()
        for first in range(start_sample, len(order) - whole + 1, whole):
            own = first + self.part_size * distributed.rank()
            yield _part([self.sample(epoch, k, order[k]) for k in range(own, own + self.part_size)])

    def sample(self, epoch: int, k: int, image: int) -> tuple[Tensor, Targets]:
        generator = torch.Generator().manual_seed(1000 * epoch + k)
        label = torch.randint(4, (1,), generator=generator)
        pixels = torch.randint(60, (3, 16, 16), generator=generator)
        pixels[int(label) : int(label) + 1] += 150  # red, green, blue, or none of them
        area = torch.rand(1, generator=generator) + (float("nan") if image == self.poison else 0)
        empty = torch.zeros(0, dtype=torch.int64)
        targets = Targets(
            boxes=torch.tensor([[0.0, 0, 8, 8]]),
            labels=label,
            masks=NoMasks(),
            area_ratio=area,
            ignore_boxes=torch.zeros(0, 4),
            negative_labels=empty,
            not_exhaustive_labels=empty,
            image_id=image,
        )
        return pixels.to(torch.uint8), targets


def _part(samples: list[tuple[Tensor, Targets]]) -> Part:
    return ImageBatch.stack([pixels for pixels, _ in samples]), [target for _, target in samples]


def toy_job(folder: Path, *, max_steps: int = 10, **changes: object) -> Job:
    """A job of 4 images per step; ``changes`` are fields of Job, OptimSettings and LoopSettings."""
    kinds = {"optim": OptimSettings, "loop": LoopSettings}
    defaults: dict[str, dict] = {
        "optim": {"lr": 0.05, "lr_batch": 0, "warmup_steps": 3, "step_epochs": (1,)},
        "loop": {
            "epochs": 3,
            "batch_size": 4,
            "checkpoint_steps": 2,
            "log_steps": 1,
            "max_steps": max_steps,
        },
    }
    own = {}
    for name, value in changes.items():
        place = next((k for k, kind in kinds.items() if hasattr(kind(), name)), None)
        (defaults[place] if place else own)[name] = value
    loop = LoopSettings(**defaults["loop"])
    torch.manual_seed(0)
    part = loop.batch_size // loop.accumulate // distributed.world_size()
    return Job(
        model=own.pop("model", None) or ToyModel(),
        batches=own.pop("batches", None) or ToyBatches(part),
        optim=OptimSettings(**defaults["optim"]),
        loop=loop,
        folder=folder,
        device=torch.device("cpu"),
        **own,
    )


@dataclass
class Deadly(ToyBatches):
    """Kills its own process, as the kernel would, when step ``kill_before`` asks for data.

    With ``marker`` only one rank dies, and only the first time (then the file is there).
    """

    kill_before: int = -1
    pause: float = 0.0
    marker: Path | None = None

    def epoch(self, epoch: int, start_sample: int = 0) -> Iterator[Part]:
        done = sum(self.len_epoch(e) // 4 for e in range(epoch)) + start_sample // 4
        for number, part in enumerate(super().epoch(epoch, start_sample), start=done):
            if number == self.kill_before and self._marked():
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(self.pause)
            yield part

    def _marked(self) -> bool:
        if self.marker is None:
            return True
        if distributed.rank() == 0 or self.marker.exists():
            return False
        self.marker.touch()
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--kill-before", type=int, default=-1)
    parser.add_argument("--kill-rank-once", type=Path, default=None)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--per-sample", action="store_true", help="nothing that mixes samples")
    given = parser.parse_args()
    distributed.start(torch.device("cpu"))
    torch.manual_seed(0)
    mixing = not given.per_sample
    batches = Deadly(
        4 // distributed.world_size(),
        kill_before=5 if given.kill_rank_once else given.kill_before,
        pause=given.pause,
        marker=given.kill_rank_once,
    )
    model = ToyModel(norm=mixing, dropout=0.1 if mixing else 0.0)
    job = toy_job(given.folder, max_steps=given.steps, epochs=4, batches=batches, model=model)
    train(job)
    if distributed.rank() == 0:
        torch.save(job.model.state_dict(), given.folder / "final.pt")
    distributed.stop()


if __name__ == "__main__":
    main()
