"""What a run reports every few steps: losses, rate, images per second, waiting for data, memory."""

import resource
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lvistk import console, distributed
from lvistk.engine.trackers import Tracker


class Meter:
    """Means over the steps since the last row; sums stay on the device until a row is written."""

    def __init__(
        self,
        log: console.MetricsLog,
        *,
        device: torch.device,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self._log, self._device, self._trackers = log, device, trackers
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = self._images = 0
        self._waited = 0.0
        self._started = time.perf_counter()

    def add(self, values: Mapping[str, Tensor], *, images: int, waited: float) -> None:
        """One step: its 0-d ``values``, images over all ranks, seconds this rank waited for data."""
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._steps += 1
        self._images += images
        self._waited += waited

    def leave_out(self, seconds: float) -> None:
        """Time since the last row that was spent on something else, such as an evaluation."""
        self._started += seconds

    def write(self, *, step: int, epoch: float, rate: float) -> dict[str, Any]:
        """Write the row of the steps since the last one, on every rank (means are over ranks)."""
        names = sorted(self._sums)
        stacked = torch.stack([self._sums[name] for name in names]) / max(self._steps, 1)
        means = distributed.mean_over_ranks(stacked).tolist()  # waits for the device
        seconds = time.perf_counter() - self._started
        row = {
            "step": step,
            "epoch": round(epoch, 4),
            "lr": rate,
            **dict(zip(names, means, strict=True)),
            "photos_per_s": round(self._images / seconds, 3),
            "data_share": round(self._waited / seconds, 4),
            "memory_gib": round(_peak_memory(self._device), 3),
        }
        self.write_row(row)
        self._reset()
        return row

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Any other row with a ``step``, such as an evaluation's."""
        if not console.is_main_process():
            return
        self._log.write(row)
        numbers = {k: v for k, v in row.items() if k != "step" and isinstance(v, int | float)}
        for tracker in self._trackers:
            tracker.log(numbers, row["step"])

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()


def _peak_memory(device: torch.device) -> float:
    """GiB: allocated on the device since the start, or the most this process has had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
