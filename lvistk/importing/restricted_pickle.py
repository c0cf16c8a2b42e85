"""Pickles read as data by a machine of our own: arrays, tensors and containers come out.

A pickle is a program for a machine with a stack. Python's machine imports what the program names and
calls it; this one does neither. A name stands for one of the stand-ins of ``pickle_values``, a call
shapes checked bytes, and a size that the file declares is never believed beyond the file's own.
"""

import io
import pickletools
from collections.abc import Callable
from typing import IO, Any

from lvistk.importing.pickle_values import (
    UNKNOWN,
    Refused,
    Unknown,
    called,
    named,
    set_item,
    set_state,
)

MAX_INSTRUCTIONS = 2_000_000
"""A detector with its optimiser takes some hundred thousand."""
MAX_OPEN = 1000
"""Containers inside one another that are being filled."""
PUSHED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
READ = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
"""Instructions whose argument is the value: numbers, text and bytes."""


def load_restricted(
    data: bytes | IO[bytes], *, load_storage: Callable[[Any], Any] | None = None
) -> Any:
    """The value of one pickle, read from where ``data`` stands.

    data: bytes, or a file that is open for reading and can be rewound.
    load_storage: answers torch's references to tensor data with a ``Storage``.

    Arrays come out as ``Array``, objects that are not known as ``Unknown``. Raises ``Refused`` for what
    is cut off or damaged, asks for more than a checkpoint needs, or exceeds the limits above.
    """
    file = _Bounded(io.BytesIO(data) if isinstance(data, bytes) else data)
    try:
        return _Machine(load_storage or _no_storage).run(file)
    except Refused:
        raise
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError, RuntimeError):
        raise Refused("a damaged pickle") from None


def _no_storage(pid: Any) -> Any:
    raise Refused("a reference to data outside the file")


class _Bounded:
    """A file that refuses to be asked for more bytes than it has."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, here = file, file.tell()
        self._left = file.seek(0, io.SEEK_END) - here
        file.seek(here)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._left:
            raise Refused("the file ends within its pickle")
        self._left -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline()
        self._left -= len(line)
        return line


class _Machine:
    """The stack, the stacks below each open container's mark, and the memo."""

    def __init__(self, load_storage: Callable[[Any], Any]) -> None:
        self._load_storage = load_storage
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: _Bounded) -> Any:
        for number, (instruction, argument, _) in enumerate(pickletools.genops(file)):  # pyright: ignore[reportArgumentType]  # it reads by read and readline alone
            if number >= MAX_INSTRUCTIONS:
                raise Refused(f"more than {MAX_INSTRUCTIONS:,} instructions")
            name = instruction.name
            if name == "STOP":
                return self._stack.pop()
            if not (
                self._plain(name, argument)
                or self._containers(name)
                or self._objects(name, argument)
            ):
                raise Refused(f"the instruction {name}, which no checkpoint needs")
        raise Refused("the file ends within its pickle")

    def _plain(self, name: str, argument: Any) -> bool:
        """Values that stand in the pickle itself, and the memo; whether ``name`` was one of these."""
        stack = self._stack
        if name in READ:
            stack.append(argument)
            return True
        if name in PUSHED:
            stack.append(PUSHED[name])
            return True
        match name:
            case "PROTO" | "FRAME":
                pass
            case "BYTEARRAY8":
                stack.append(bytes(argument))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "POP":
                self._pop()
            case "DUP":
                stack.append(stack[-1])
            case _:
                return False
        return True

    def _containers(self, name: str) -> bool:
        stack = self._stack
        if name in TUPLES:
            stack.append(tuple(self._last(TUPLES[name])))
            return True
        match name:
            case "MARK":
                self._open()
            case (
                "POP_MARK" | "ADDITEMS"
            ):  # a set's items are not needed, and hashing them could go deep
                self._items()
            case "EMPTY_SET":
                stack.append(UNKNOWN)
            case "FROZENSET":
                self._push_after_items(lambda _: UNKNOWN)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE":
                self._push_after_items(tuple)
            case "LIST":
                self._push_after_items(list)
            case "DICT":
                self._push_after_items(lambda items: _set_items({}, items))
            case "APPEND":
                _extend(stack[-2], self._last(1))
            case "APPENDS":
                items = self._items()
                _extend(self._stack[-1], items)
            case "SETITEM":
                _set_items(stack[-3], self._last(2))
            case "SETITEMS":
                items = self._items()
                _set_items(self._stack[-1], items)
            case _:
                return False
        return True

    def _objects(self, name: str, argument: Any) -> bool:
        """Names, calls, states, and references to tensor data."""
        stack = self._stack
        match name:
            case "GLOBAL":
                stack.append(named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(named(*self._last(2)))
            case "REDUCE" | "NEWOBJ":
                stack.append(called(*self._last(2)))
            case "NEWOBJ_EX":
                stack.append(called(*self._last(3)[:2]))
            case "INST":
                kind = named(*argument.split(" ", 1))
                self._push_after_items(lambda items: called(kind, items))
            case "OBJ":
                self._push_after_items(lambda items: called(items[0], items[1:]))
            case "BUILD":
                set_state(stack[-2], self._last(1)[0])
            case "PERSID":
                stack.append(self._load_storage(argument))
            case "BINPERSID":
                stack.append(self._load_storage(stack.pop()))
            case _:
                return False
        return True

    def _open(self) -> None:
        if len(self._below) >= MAX_OPEN:
            raise Refused(f"more than {MAX_OPEN} containers inside one another")
        self._below.append(self._stack)
        self._stack = []

    def _items(self) -> list[Any]:
        """What was pushed since the last mark, which is closed."""
        items = self._stack
        self._stack = self._below.pop()
        return items

    def _push_after_items(self, make: Callable[[list[Any]], Any]) -> None:
        value = make(self._items())
        self._stack.append(value)

    def _last(self, count: int) -> list[Any]:
        """The ``count`` values on top of the stack, which are taken off."""
        if count > len(self._stack):
            raise Refused("a damaged pickle")
        first = len(self._stack) - count
        taken = self._stack[first:]
        del self._stack[first:]
        return taken

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:  # a mark lies on top
            self._items()


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Unknown):
        raise Refused(f"items for {type(target).__name__}, which takes none")


def _set_items(target: Any, items: list[Any]) -> Any:
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            set_item(target, key, value)
    elif not isinstance(target, Unknown):
        raise Refused(f"items for {type(target).__name__}, which takes none")
    return target
