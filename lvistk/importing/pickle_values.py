"""What the names in a pickle stand for here: stand-ins that shape checked bytes into arrays and tensors.

Nothing of the writer's is imported or called. A name that is not in the table below stands for an
``Unknown``, which may be called, filled and changed, and stays empty.
"""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

NUMERIC = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""Types of array elements that are read; every other array comes out as ``Unknown``."""
LARGEST = 2**40
"""Above any size, stride or offset of a tensor that fits into memory."""
MAX_DIMS = 32


class Refused(pickle.UnpicklingError):
    """A pickle that is damaged, or does what no checkpoint needs."""


class Unknown:
    """Stands for an object, class or function that is not known here: without content, never called."""

    __slots__ = ()


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Maker:
    """A name of the table: ``make`` shapes the arguments of the pickle's call into a value."""

    name: str
    make: Callable[..., Any]


class StorageKind(NamedTuple):
    """What a torch pickle calls a storage class: the type of its elements."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """Elements that tensors are views of: ``flat (n,)``."""

    flat: Tensor


class ElementType:
    """Stands for a numpy dtype; only a plain number in either byte order can come out."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def set_state(self, state: Any) -> None:
        """numpy's state of a dtype: version, byte order, and fields that a plain number has not."""
        plain = (
            isinstance(state, tuple)
            and len(state) in (8, 9)
            and _is_int(state[0])
            and isinstance(state[1], str)
            and state[1] in "<>=|"
            and len(state[1]) == 1
            and all(part is None for part in (*state[2:5], *state[8:]))
            and all(_is_int(part) for part in state[5:8])
            and state[5:8] == (-1, -1, 0)
        )
        if not plain:
            raise Refused("a numpy dtype that is no plain number")
        self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """Stands for a numpy array; ``value`` is None until the pickle has told its content."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray | None = None) -> None:
        self.value = value

    def set_state(self, state: Any) -> None:
        """numpy's state of an array: version, shape, dtype, order and bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise Refused("a numpy array with an unexpected state")
        _, shape, element, fortran, raw = state
        if isinstance(element, Unknown):
            return
        self.value = array_of(raw, element, shape, order="F" if fortran is True else "C")


def array_of(raw: Any, element: Any, shape: Any, *, order: str) -> np.ndarray:
    """An array of ``shape`` that is exactly as long as its bytes; ``Refused`` otherwise."""
    if isinstance(raw, str):  # the bytes of Python 2
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes) or not isinstance(element, ElementType):
        raise Refused("a numpy array that is not made of bytes")
    sizes = _sizes(shape)
    if prod(sizes) * element.dtype.itemsize != len(raw):
        raise Refused("a numpy array whose shape and bytes do not agree")
    flat = np.frombuffer(raw, element.dtype)
    return flat.reshape(sizes, order="F" if order == "F" else "C")


def _element_type(name: Any, *_flags: Any) -> ElementType | Unknown:
    known = isinstance(name, str) and name in NUMERIC
    return ElementType(np.dtype(name)) if known else UNKNOWN


def _empty_array(kind: Any, *_rest: Any) -> Array | Unknown:
    return Array() if kind is _ARRAY_CLASS else UNKNOWN


def _scalar(element: Any, raw: Any = b"") -> Array | Unknown:
    return UNKNOWN if isinstance(element, Unknown) else Array(array_of(raw, element, (), order="C"))


def _array_from_buffer(raw: Any, element: Any, shape: Any, order: Any) -> Array | Unknown:
    """How numpy writes an array in pickle protocol 5."""
    if isinstance(element, Unknown) or order not in ("C", "F"):
        return UNKNOWN
    return Array(array_of(raw, element, shape, order=order))


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes for old pickle protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("text in an unexpected encoding")
    return text.encode("latin1")


def _table(pairs: Any = ()) -> dict[Any, Any]:
    """An OrderedDict; Python 2 writes its items as a list of pairs."""
    if not isinstance(pairs, list | tuple):
        raise Refused("a table that is not made of pairs")
    table: dict[Any, Any] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Refused("a table that is not made of pairs")
        set_item(table, *pair)
    return table


def set_item(table: dict[Any, Any], key: Any, value: Any) -> None:
    """Set one item; a key that is no plain value is left out, since hashing it could go very deep."""
    if key is None or isinstance(key, str | int | float | bytes):
        table[key] = value


def _tensor(
    storage: Any, offset: Any, size: Any, stride: Any, *_grad_and_hooks: Any
) -> Tensor | Unknown:
    """A view of a storage, all of whose elements lie inside it."""
    if isinstance(storage, Unknown):
        return UNKNOWN
    if not isinstance(storage, Storage):
        raise Refused("a tensor without data")
    sizes, strides, (start,) = _sizes(size), _sizes(stride), _sizes((offset,))
    if len(sizes) != len(strides):
        raise Refused("a tensor whose sizes and strides do not agree")
    last = start + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    end = start if 0 in sizes else last + 1
    if end > len(storage.flat) or prod(sizes) > LARGEST:
        raise Refused("a tensor that reaches beyond its data")
    return storage.flat.as_strided(sizes, strides, start)


def _parameter(data: Any, *_grad_and_hooks: Any) -> Tensor | Unknown:
    return data if isinstance(data, Tensor) else UNKNOWN


def _sizes(values: Any) -> list[int]:
    """A shape, or strides: whole numbers, none negative, none absurd."""
    if not isinstance(values, tuple | list) or len(values) > MAX_DIMS:
        raise Refused("a shape that is none")
    if not all(_is_int(value) and 0 <= value < LARGEST for value in values):
        raise Refused("a size that is none")
    return list(values)


def _is_int(value: Any) -> bool:
    return type(value) is int


_ARRAY_CLASS = Maker("numpy.ndarray", lambda *_: UNKNOWN)
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
_MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _table,
    "_codecs.encode": _encode,
    "numpy.dtype": _element_type,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array_from_buffer,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
KNOWN: dict[str, Maker | StorageKind] = {
    "numpy.ndarray": _ARRAY_CLASS,
    **{f"torch.{name}": StorageKind(dtype) for name, dtype in _STORAGES.items()},
    **{name: Maker(name, make) for name, make in _MAKERS.items()},
}


def named(module: Any, name: Any) -> Maker | StorageKind | Unknown:
    """What a name in a pickle stands for."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise Refused("a name that is no text")
    return KNOWN.get(f"{module.replace('numpy._core.', 'numpy.core.')}.{name}", UNKNOWN)


def called(function: Any, arguments: Any) -> Any:
    """The value of a call in a pickle: of a name of the table, or nothing known."""
    if isinstance(function, Unknown | StorageKind):
        return UNKNOWN
    if not isinstance(function, Maker) or not isinstance(arguments, Sequence):
        raise Refused("a call of something that is no function")
    try:
        return function.make(*arguments)
    except TypeError:
        raise Refused(f"unexpected arguments of {function.name}") from None


def set_state(target: Any, state: Any) -> None:
    """The pickle's instruction that fills an object: of our stand-ins only, and checked there."""
    if isinstance(target, ElementType | Array):
        target.set_state(state)
    elif not isinstance(target, Unknown | dict):  # a table's attributes are not needed
        raise Refused(f"a state for {type(target).__name__}, which has none")
