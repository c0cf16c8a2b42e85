"""Many bytes of a text at once: what numba's array indexing has no words for.

numba loads a byte at a time and checks each index for being negative. These loads are one instruction, or
what LLVM splits it into where a processor knows none so wide. Nothing is checked: a text must go on for 64
bytes after its last place.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic

intrinsic: Any = numba_intrinsic
"""A checker takes what is declared with it for the function that makes the instructions."""
BLOCK = 64
"""Bytes of a block, and bits of what is known about one."""
SPREAD = 16
"""Numbers of one byte that are read at once."""
_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_BLOCK = ir.VectorType(_BYTE, BLOCK)


def _pointer(context: Any, builder: Any, kinds: Any, values: Any, kind: Any) -> Any:
    """Pointer to ``kind`` at ``text[p]``, of the arguments (text, p)."""
    text = context.make_array(kinds[0])(context, builder, values[0])
    start = builder.bitcast(text.data, _BYTE.as_pointer())
    return builder.bitcast(builder.gep(start, [values[1]]), kind.as_pointer())


def _load(context: Any, builder: Any, kinds: Any, values: Any, kind: Any) -> Any:
    loaded = builder.load(_pointer(context, builder, kinds, values, kind))
    loaded.align = 1
    return loaded


def _all(value: int) -> Any:
    return ir.Constant(_BLOCK, [value] * BLOCK)


@intrinsic
def word_at(typing: Any, text: Any, p: Any) -> Any:
    """The 8 bytes ``text[p:p + 8]`` as uint64, the first one lowest."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _load(context, builder, signature.args, values, _WORD)

    return types.uint64(text, types.int64), generate


@intrinsic
def byte_at(typing: Any, text: Any, p: Any) -> Any:
    """``text[p]`` as int64."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.zext(_load(context, builder, signature.args, values, _BYTE), _WORD)

    return types.int64(text, types.int64), generate


@intrinsic
def places_of(typing: Any, text: Any, p: Any, value: Any) -> Any:
    """uint64 whose bit k tells whether ``text[p + k]`` is the byte ``value``, a literal."""
    if not isinstance(value, types.IntegerLiteral):
        return None
    wanted = value.literal_value

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        block = _load(context, builder, signature.args, values, _BLOCK)
        return builder.bitcast(builder.icmp_unsigned("==", block, _all(wanted)), _WORD)

    return types.uint64(text, types.int64, value), generate


@intrinsic
def places_between(typing: Any, text: Any, p: Any, low: Any, count: Any) -> Any:
    """uint64 whose bit k tells whether low <= ``text[p + k]`` < low + count, both literals."""
    if not isinstance(low, types.IntegerLiteral) or not isinstance(count, types.IntegerLiteral):
        return None
    least, number = low.literal_value, count.literal_value

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        block = _load(context, builder, signature.args, values, _BLOCK)
        moved = builder.sub(block, _all(least))
        return builder.bitcast(builder.icmp_unsigned("<", moved, _all(number)), _WORD)

    return types.uint64(text, types.int64, low, count), generate


@intrinsic
def copy_block(typing: Any, target: Any, q: Any, text: Any, p: Any) -> Any:
    """Copy ``text[p:p + 64]`` to ``target[q:]``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        block = _load(context, builder, signature.args[2:], values[2:], _BLOCK)
        pointer = _pointer(context, builder, signature.args[:2], values[:2], _BLOCK)
        builder.store(block, pointer).align = 1
        return context.get_dummy_value()

    return types.none(target, types.int64, text, types.int64), generate


@intrinsic
def spread_numbers(typing: Any, target: Any, n: Any, text: Any, p: Any) -> Any:
    """Put the numbers that the bytes ``text[p:p + 16]`` are alone in an RLE at ``target[n:]`` (int32):
    the five low bits of byte - 48, signed."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        several, wide = ir.VectorType(_BYTE, SPREAD), ir.VectorType(ir.IntType(32), SPREAD)
        zero, unused = (ir.Constant(several, [value] * SPREAD) for value in (48, 3))
        loaded = _load(context, builder, signature.args[2:], values[2:], several)
        number = builder.shl(builder.sub(loaded, zero), unused)
        number = builder.sext(builder.ashr(number, unused), wide)
        array = context.make_array(signature.args[0])(context, builder, values[0])
        pointer = builder.bitcast(builder.gep(array.data, [values[1]]), wide.as_pointer())
        builder.store(number, pointer).align = 4
        return context.get_dummy_value()

    return types.none(target, types.int64, text, types.int64), generate


@intrinsic
def lowest_bit(typing: Any, bits: Any) -> Any:
    """Number (int64) of the lowest bit that is set; 64 for none."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], cgutils.false_bit)

    return types.int64(types.uint64), generate


@intrinsic
def leading_zeros(typing: Any, bits: Any) -> Any:
    """Zero bits (int64) above the highest that is set."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ctlz(values[0], cgutils.false_bit)

    return types.int64(types.uint64), generate


@intrinsic
def high_product(typing: Any, a: Any, b: Any) -> Any:
    """High 64 bits of the product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(values[0], wide), builder.zext(values[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), _WORD)

    return types.uint64(types.uint64, types.uint64), generate
