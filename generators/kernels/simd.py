"""Arithmetic on several sentences at once: vector instructions for the compiled kernels.

A kernel keeps what it knows of eight sentences of equal structure side by side: entry i of an array [.., 8] is one vector; in
float32 there are sixteen. numba alone would have to prove for every loop over eight entries that its arrays do not overlap, and mostly fails to; a type for the
vector says it outright, and keeps it in a register. LLVM splits the vectors where a machine's are shorter.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .jit import compiled, compiled_pass

WIDTH = 64
"""Bytes of a vector."""

LANES = WIDTH // 8
"""Sentences that a kernel works on together in float64."""

DEAD = -(2**40)
"""The exponent of a number that is zero; whatever is below ALIVE is such a one."""

ALIVE = -(2**39)

FUSED = ("contract",)
"""A product and a sum may be rounded once."""


class Vector(types.Type):
    """Numbers of one kind, one a sentence."""

    def __init__(self, number: types.Float) -> None:
        self.number, self.lanes = number, 8 * WIDTH // number.bitwidth
        super().__init__(name=f"Vector({number})")

    @property
    def register(self) -> ir.VectorType:
        kind = ir.DoubleType() if self.number == types.float64 else ir.FloatType()
        return ir.VectorType(kind, self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.register)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, offset: Any = None) -> Any:
    vector, data = Vector(kind.dtype), context.make_array(kind)(context, builder, array).data
    place = builder.gep(data, [builder.mul(index, ir.Constant(ir.IntType(64), vector.lanes))])
    if offset is not None:
        # The place before does not change within a loop, so that what is left is one instruction.
        place = builder.gep(place, [offset])
    return builder.bitcast(place, vector.register.as_pointer())


@intrinsic
def load(typing: Any, array: Any, i: Any) -> Any:
    """The i-th vector of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4)

    return Vector(array.dtype)(array, types.int64), generate


@intrinsic
def store(typing: Any, array: Any, i: Any, x: Any) -> Any:
    """The i-th vector of an array becomes x."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, x), generate


@intrinsic
def load_near(typing: Any, array: Any, first: Any, offset: Any) -> Any:
    """The vector that begins `offset` numbers after the first-th of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4)

    return Vector(array.dtype)(array, types.int64, types.int64), generate


@intrinsic
def store_near(typing: Any, array: Any, first: Any, offset: Any, x: Any) -> Any:
    """The vector that begins `offset` numbers after the first-th of an array becomes x."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[3], _pointer(context, builder, signature.args[0], *arguments[:3]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, x), generate


@intrinsic
def number_at(typing: Any, array: Any, i: Any) -> Any:
    """The i-th number of an array of any shape, i >= 0: nothing asks whether i counts from the end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, types.int64), generate


@intrinsic
def spread(typing: Any, p: Any) -> Any:
    """The vector that is p everywhere."""
    vector = Vector(p)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        undefined = ir.Constant(vector.register, ir.Undefined)
        single = builder.insert_element(undefined, arguments[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
        return builder.shuffle_vector(single, undefined, zeros)

    return vector(p), generate


@intrinsic
def times(typing: Any, x: Any, y: Any) -> Any:
    """x * y"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return x(x, y), generate


@intrinsic
def plus(typing: Any, x: Any, y: Any) -> Any:
    """x + y"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return x(x, y), generate


@intrinsic
def times_plus(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y, z = arguments
        return builder.fadd(builder.fmul(x, y, flags=FUSED), z, flags=FUSED)

    return x(x, y, z), generate


@intrinsic
def larger(typing: Any, x: Any, y: Any) -> Any:
    """max(x, y)"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y = arguments
        return builder.select(builder.fcmp_ordered(">", x, y), x, y)

    return x(x, y), generate


@compiled_pass
def vectors(count: int, like: np.ndarray) -> np.ndarray:
    """count vectors of zeros, numbers as in `like`; they begin where a line of the cache does, so that none lies across two."""
    raw = np.zeros((count + 1) * (WIDTH // like.itemsize), like.dtype)
    first = (-raw.ctypes.data % WIDTH) // like.itemsize
    return raw[first : first + count * (WIDTH // like.itemsize)]


@compiled
def powers_of_two(exponents: np.ndarray) -> None:
    """exponents [8] -> 2^exponents, exactly and in place; 0 below 2^-1022."""
    bits = exponents.view(np.int64)
    for lane in range(LANES):
        bits[lane] = np.int64(max(min(exponents[lane], 1023.0) + 1023.0, 0.0)) << 52


@compiled
def scale_into(out: np.ndarray, at: int, values: np.ndarray, first: int, count: int, factor: np.ndarray) -> None:
    """out[at + i] = values[first + i] * factor for i < count"""
    by = load(factor, 0)
    for i in range(count):
        store(out, at + i, times(load(values, first + i), by))


@compiled
def normalise(values: np.ndarray, first: int, count: int, exponents: np.ndarray, factor: np.ndarray) -> None:
    """Brings the largest of values[first .. first + count - 1] into [1/2, 1) in each lane by a power of two.

    The power goes to exponents [8]; a lane of zeros gets DEAD. factor [8] is room to work in.
    """
    top = spread(0.0)
    for slot in range(first, first + count):
        top = larger(load(values, slot), top)
    store(factor, 0, top)
    bits = factor.view(np.int64)
    for lane in range(LANES):
        if factor[lane] == 0.0:
            exponents[lane] = DEAD
            factor[lane] = 1.0
        else:
            power = min(((bits[lane] >> 52) & 0x7FF) - 1022, 1022)
            exponents[lane] += power
            bits[lane] = (1023 - power) << 52
    scale_into(values, first, values, first, count, factor)
