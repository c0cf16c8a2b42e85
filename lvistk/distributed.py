"""Rank, world size, sums and barriers; no-ops in one process."""

import atexit
import datetime
import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from lvistk.errors import UserError

PATIENCE = datetime.timedelta(hours=2)
"""How long ranks wait for each other before the run ends with an error.

The longest waits are those for rank 0, which indexes annotation files, walks the pool's folders and
evaluates alone, and at the end of inference those for the slowest rank. Two hours are long enough for these,
and short enough that a rank that died does not hold the others for a day.
"""


def choose_device(name: str) -> torch.device:
    """``cpu``, ``cuda``, ``cuda:N``, or ``auto``: this rank's GPU, or the CPU without GPUs."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: write cpu, cuda, cuda:N or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: write cpu, cuda, cuda:N or auto")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError("--device cuda: no CUDA device is available; use --device cpu")
        index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    return device


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    return dist.get_world_size() if is_distributed() else 1


def start(device: torch.device) -> None:
    """Join the processes that torchrun started; nothing to do for one process alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not is_distributed():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE, **_store_of_this_attempt())
        atexit.register(stop)


def _store_of_this_attempt() -> dict[str, Any]:
    """Where ranks of one host find each other after torchrun has restarted them: under names of their own.

    torch 2.14 gives all attempts one store without telling them apart, so that a rank may take the
    address of a dead one for its neighbour's and wait there. Hosts count their restarts each by itself;
    several of them need ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1`` instead (docs/snakefile.md).
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT")
    if attempt is None or os.environ.get("GROUP_WORLD_SIZE") != "1":
        return {}
    store, rank, world_size = next(rendezvous("env://", timeout=PATIENCE))
    prefixed = PrefixStore(f"attempt_{attempt}", store)
    return {"store": prefixed, "rank": rank, "world_size": world_size}


def stop() -> None:
    if is_distributed():
        dist.destroy_process_group()


def barrier() -> None:
    if is_distributed():
        dist.barrier()


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a tensor over all ranks, without gradient.

    Losses divide sums by the mean count over ranks: the mean of gradients that DDP takes is then the
    gradient of the loss of the whole batch, however it was spread.
    """
    value = value.detach().clone()
    if is_distributed():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, without gradient."""
    value = value.detach().clone()
    if is_distributed():
        dist.all_reduce(value)
    return value


def largest_over_ranks(value: int) -> int:
    """The largest of a small number that every rank holds on its CPU; waits for all ranks, not for a GPU."""
    if not is_distributed():
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return int(shared)
