"""What a plan runs on: the device and its memory."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

GB = 1e9


@dataclass(frozen=True)
class Machine:
    """The device of a run.

    kind: of device. name: as its maker calls it. cores: CPU cores that this process may use.
    memory_gb: of the host. device_memory_gb: of the device; of a CPU the host's.
    """

    kind: Literal["cpu", "cuda"]
    name: str
    cores: int
    memory_gb: float
    device_memory_gb: float

    def line(self) -> str:
        """The machine in words."""
        if self.kind == "cpu":
            return f"{self.cores} CPU cores, {self.memory_gb:.0f} GB memory, no GPU"
        return f"{self.name}, {self.device_memory_gb:.0f} GB, and {self.cores} CPU cores"


def this_machine(device: str) -> Machine:
    """The machine of this process; ``device`` as ``--device`` takes it."""
    import torch

    from lvistk.distributed import choose_device

    chosen = choose_device(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = host_memory_gb()
    if chosen.type == "cpu":
        return Machine("cpu", "CPU", cores or 1, memory, memory)
    properties = torch.cuda.get_device_properties(chosen)
    return Machine("cuda", properties.name, cores or 1, memory, properties.total_memory / GB)


def host_memory_gb() -> float:
    """Memory of the host, or of the container where that has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit) / GB) if limit.isdecimal() else total


class OtherWork:
    """What other processes take of the machine's cores, from its making on. Known on Linux only."""

    def __init__(self) -> None:
        self._worked, self._own, self._clock = _worked(), time.process_time(), time.monotonic()

    def share(self) -> float:
        """Of the time of all cores since then, 0 to 1; 0 where it is not known."""
        now, seconds = _worked(), time.monotonic() - self._clock
        if self._worked is None or now is None or not seconds:
            return 0.0
        others = now - self._worked - (time.process_time() - self._own)
        return min(max(others / (seconds * (os.cpu_count() or 1)), 0.0), 1.0)


def _worked() -> float | None:
    """Seconds that all cores together have worked since the machine's start."""
    try:
        names = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq, steal = (int(n) for n in names[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
