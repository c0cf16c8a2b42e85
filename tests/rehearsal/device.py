"""A second device, played on the CPU, on which no operation goes unseen.

Its tensors hold a tensor of the CPU and say that they are on the device ``played``. An operation on tensors
of both devices fails, as on a GPU. What makes the host wait for the device is noted with the line of lvistk
that asked for it: numbers and copies for the host, copies to the device that do not say ``non_blocking``,
and operations whose result's size only the device knows. The device is registered for the whole process, so
a process of its own plays it.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "played"
ROOT = Path(__file__).parents[2]
SIZE_IS_KNOWN_LATE = {
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "aten::equal",
    "aten::repeat_interleave",
    "torchvision::nms",
}
"""Operations after which CUDA waits, since it has to allocate a result of unknown size."""
COPIES = {"aten::_to_copy", "aten::copy_"}


class _Module(backend_registration._DummyBackendModule):
    """What torch asks a device's module for."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


class _Generator(torch.Generator):
    """Random numbers of the played device come from the CPU."""

    def __new__(cls, device: Any = "cpu") -> torch.Generator:
        return _CPU_GENERATOR("cpu" if torch.device(device).type == NAME else device)


_CPU_GENERATOR = torch.Generator


def register() -> torch.device:
    """Make the device known to torch, for the rest of the process."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    torch.Generator = _Generator  # pyright: ignore[reportAttributeAccessIssue]  # a backend of Python has none
    return torch.device(NAME, 0)


@dataclass(frozen=True)
class Wait:
    """Why the host waited for the device, and where: ``lvistk/models/rpn.py:12``."""

    why: str
    line: str


class DeviceTensor(Tensor):
    """A tensor of the played device; ``inner`` holds its numbers."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> "DeviceTensor":
        tensor = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.inner = inner
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} on the played device outside of a rehearsal")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype})"


class MixedDevicesError(RuntimeError):
    """An operation that a GPU would refuse."""


class Rehearsal(TorchDispatchMode):
    """While it is on, the played device works; ``waits`` lists what the host waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []

    @contextlib.contextmanager
    def on(self) -> Iterator["Rehearsal"]:
        """Rehearse what runs inside the block."""
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(..., device=...)` copies in sight
        try:  # the backward pass of a device has a thread of its own, in which no mode is on
            with torch.autograd.set_multithreading_enabled(False), self:
                yield self
        finally:
            torch._C._set_only_lift_cpu_tensors(False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        with self:  # under inference mode operations come undivided
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        name = func.name().partition(".")[0]
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        here = [one for one in given if isinstance(one, DeviceTensor)]
        there = [one for one in given if not isinstance(one, DeviceTensor)]
        wanted = kwargs.get("device")
        on_device = torch.device(wanted).type == NAME if wanted is not None else bool(here)
        if name in COPIES:
            self._note_copy(func, args, kwargs, to_device=on_device)
        elif here:
            self._note_wait(name, args, kwargs)
            self._require_one_device(name, args, there)
        if wanted is not None and on_device:
            kwargs["device"] = torch.device("cpu")
        known = {id(one.inner): one for one in here}
        inner_args, inner_kwargs = tree_map_only(DeviceTensor, lambda t: t.inner, (args, kwargs))
        made = func(*inner_args, **inner_kwargs)
        if name == "aten::copy_":
            return args[0]
        if not on_device:
            return made
        with torch.inference_mode(False):  # tensors of inference could not be views of weights
            return tree_map_only(
                Tensor, lambda t: known[id(t)] if id(t) in known else DeviceTensor(t), made
            )

    def _note_copy(self, func: Any, args: Any, kwargs: dict[str, Any], *, to_device: bool) -> None:
        source = args[1] if func.name().startswith("aten::copy_") else args[0]
        if func.name().startswith("aten::copy_"):
            to_device = isinstance(args[0], DeviceTensor)
        patient = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        if isinstance(source, DeviceTensor) and not to_device:
            self._note("copy to the host")
        elif not isinstance(source, DeviceTensor) and to_device and not patient:
            self._note("copy to the device that waits")

    def _note_wait(self, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        if name == "aten::_local_scalar_dense":
            self._note("a number for the host")
        elif name in SIZE_IS_KNOWN_LATE and kwargs.get("output_size") is None:
            self._note(name.partition("::")[2])
        elif name in ("aten::index", "aten::index_put_", "aten::_index_put_impl_"):
            kinds = {one.dtype for one in args[1] if isinstance(one, Tensor)}
            filled = name != "aten::index" and args[2].numel() == 1
            if kinds & {torch.bool, torch.uint8} and not filled:
                self._note("boolean index")
            if any(
                isinstance(one, Tensor) and not isinstance(one, DeviceTensor) for one in args[1]
            ):
                self._note("index on the host")

    def _require_one_device(self, name: str, args: Any, there: list[Tensor]) -> None:
        """Numbers of the host may take part, as a GPU allows, and indices, which are noted."""
        if name in ("aten::index", "aten::index_put_", "aten::_index_put_impl_"):
            there = [one for one in (args[0], *args[2:3]) if type(one) is Tensor]
        if any(one.dim() for one in there):
            raise MixedDevicesError(f"{name} mixes tensors of both devices at {self._line()}")

    def _note(self, why: str) -> None:
        self.waits.append(Wait(why, self._line()))

    def _line(self) -> str:
        """The innermost line of lvistk that is being run; of a backward pass there is none."""
        for frame in _frames():
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(ROOT / "lvistk"):
                return f"{path.relative_to(ROOT)}:{frame.f_lineno}"
        return "backward"


def _frames() -> Iterator[Any]:
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
