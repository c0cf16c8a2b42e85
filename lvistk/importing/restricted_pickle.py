"""Pickles read as data: arrays, tensors and containers come out, and nothing of theirs is called.

A pickle is a program. Its only way to foreign code is to name a class or function; here a name is
either one of the few below, which do no more than shape bytes into arrays and tensors, or becomes
an ``Inert`` class that takes any arguments and does nothing with them.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar
from torch import Tensor


class Inert:
    """Stands for an object whose class is not known here: anything may be done to it, nothing happens."""

    def __new__(cls, *_arguments: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass

    def add(self, item: Any) -> None:
        pass


class StorageKind(NamedTuple):
    """What a torch pickle calls a storage class: the type of its elements."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """Bytes that tensors are views of."""

    data: torch.UntypedStorage
    dtype: torch.dtype


class _Call:
    """A function without attributes, so that a pickle can't change it by its BUILD instruction."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _RebuildTensor(_Call):
    __slots__ = ()

    def __call__(
        self,
        storage: Storage,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        *_grad_and_hooks: Any,
    ) -> Tensor:
        empty = torch.empty(0, dtype=storage.dtype)
        return empty.set_(storage.data, offset, tuple(size), tuple(stride))


class _RebuildParameter(_Call):
    __slots__ = ()

    def __call__(self, data: Tensor, *_grad_and_hooks: Any) -> Tensor:
        return data


class _EncodeLatin1(_Call):
    """How Python 3 writes bytes for old pickle protocols."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
        return text.encode("latin1")


class _FromBuffer(_Call):
    """How numpy writes an array in pickle protocol 5."""

    __slots__ = ()

    def __call__(
        self, buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str, *axes: Any
    ) -> np.ndarray:
        if axes or order not in ("C", "F"):
            raise pickle.UnpicklingError(f"an array of unexpected layout {order!r}")
        return np.frombuffer(buffer, dtype).reshape(shape, order=order)  # pyright: ignore[reportArgumentType, reportCallIssue]  # "C" or "F"


_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _EncodeLatin1(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{("torch", name): StorageKind(dtype) for name, dtype in _STORAGES.items()},
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _KNOWN[_module, "_reconstruct"] = _reconstruct
    _KNOWN[_module, "scalar"] = scalar
for _module in ("numpy.core.numeric", "numpy._core.numeric"):
    _KNOWN[_module, "_frombuffer"] = _FromBuffer()
for _name, _class in (("ndarray", np.ndarray), ("dtype", np.dtype)):
    _KNOWN["numpy", _name] = _class


class RestrictedUnpickler(pickle.Unpickler):
    """Reads one pickle; ``load_storage`` answers torch's references to tensor data."""

    def __init__(self, file: IO[bytes], *, load_storage: Callable[[Any], Storage]) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 strings, as Caffe2's files have
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        return type(name, (Inert,), {}) if known is None else known

    def persistent_load(self, pid: Any) -> Storage:
        return self._load_storage(pid)


def load_restricted(
    data: bytes | IO[bytes], *, load_storage: Callable[[Any], Storage] | None = None
) -> Any:
    """The object of one pickle, read from the start of ``data`` (bytes, or an open file).

    Raises whatever a broken or hostile pickle makes of itself; the caller turns that into a line.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    return RestrictedUnpickler(file, load_storage=load_storage or _no_storage).load()


def _no_storage(pid: Any) -> Storage:
    raise pickle.UnpicklingError(f"a reference to data outside the file: {str(pid)[:60]}")
