"""Arithmetic on several sentences at once: vector instructions for the compiled kernels.

Kernels store the numbers of eight sentences of equal structure next to each other: entry i of an array [.., 8] is one
vector. In float32, a vector has sixteen numbers. To vectorise a loop over eight entries, the compiler would have to
prove that the arrays do not overlap, which usually fails. A vector type makes the vectors explicit and keeps them in
registers. LLVM splits the vectors for machines with shorter registers.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from .jit import compiled, compiled_pass, instruction

WIDTH = 64
"""The size of a vector in bytes."""

LANES = WIDTH // 8
"""The number of sentences that a float64 kernel processes together."""

DEAD = -(2**40)
"""The exponent of zero. Numbers with exponents of at most ALIVE also count as zero."""

ALIVE = -(2**39)

FUSED = ("contract",)
"""The flag that lets LLVM fuse a product and a sum into one operation with one rounding."""


class Vector(types.Type):  # type: ignore[misc]  # numba has no types
    """A vector of numbers of one type, one for each sentence."""

    def __init__(self, number: types.Float) -> None:
        self.number, self.lanes = number, 8 * WIDTH // number.bitwidth
        super().__init__(name=f"Vector({number})")

    @property
    def register(self) -> ir.VectorType:
        """The LLVM type of the vector."""
        kind = ir.DoubleType() if self.number == types.float64 else ir.FloatType()
        return ir.VectorType(kind, self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]  # numba has no types
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.register)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, offset: Any = None) -> Any:
    vector, data = Vector(kind.dtype), context.make_array(kind)(context, builder, array).data
    place = builder.gep(data, [builder.mul(index, ir.Constant(ir.IntType(64), vector.lanes))])
    if offset is not None:
        # `place` so far does not change within a loop, so each iteration needs only this instruction.
        place = builder.gep(place, [offset])
    return builder.bitcast(place, vector.register.as_pointer())


@instruction
def load(typing: Any, array: Any, i: Any) -> Any:
    """The i-th vector of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4)

    return Vector(array.dtype)(array, types.int64), generate


@instruction
def store(typing: Any, array: Any, i: Any, x: Any) -> Any:
    """Writes x to the i-th vector of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, x), generate


@instruction
def load_near(typing: Any, array: Any, first: Any, offset: Any) -> Any:
    """The vector that begins `offset` numbers after the first-th vector of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4)

    return Vector(array.dtype)(array, types.int64, types.int64), generate


@instruction
def store_near(typing: Any, array: Any, first: Any, offset: Any, x: Any) -> Any:
    """Writes x to the vector that begins `offset` numbers after the first-th vector of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[3], _pointer(context, builder, signature.args[0], *arguments[:3]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, x), generate


@instruction
def number_at(typing: Any, array: Any, i: Any) -> Any:
    """The i-th number of an array of any shape. The index must be i >= 0; it is not checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, types.int64), generate


@instruction
def spread(typing: Any, p: Any) -> Any:
    """The vector whose entries are all p."""
    vector = Vector(p)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        undefined = ir.Constant(vector.register, ir.Undefined)
        single = builder.insert_element(undefined, arguments[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
        return builder.shuffle_vector(single, undefined, zeros)

    return vector(p), generate


@instruction
def times(typing: Any, x: Any, y: Any) -> Any:
    """x * y."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return x(x, y), generate


@instruction
def plus(typing: Any, x: Any, y: Any) -> Any:
    """x + y."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return x(x, y), generate


@instruction
def times_plus(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y, z = arguments
        return builder.fadd(builder.fmul(x, y, flags=FUSED), z, flags=FUSED)

    return x(x, y, z), generate


@instruction
def larger(typing: Any, x: Any, y: Any) -> Any:
    """max(x, y)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y = arguments
        return builder.select(builder.fcmp_ordered(">", x, y), x, y)

    return x(x, y), generate


@compiled_pass
def vectors(count: int, like: np.ndarray) -> np.ndarray:
    """`count` zero vectors with the dtype of `like`, each within one cache line."""
    raw = np.zeros((count + 1) * (WIDTH // like.itemsize), like.dtype)
    first = (-raw.ctypes.data % WIDTH) // like.itemsize
    return raw[first : first + count * (WIDTH // like.itemsize)]


@compiled
def powers_of_two(exponents: np.ndarray) -> None:
    """Replaces exponents [8] by 2^exponents, exactly; by 0 below 2^-1022."""
    bits = exponents.view(np.int64)
    for lane in range(LANES):
        bits[lane] = np.int64(max(min(exponents[lane], 1023.0) + 1023.0, 0.0)) << 52


@compiled
def scale_into(out: np.ndarray, at: int, values: np.ndarray, first: int, count: int, factor: np.ndarray) -> None:
    """out[at + i] = values[first + i] * factor for i < count."""
    by = load(factor, 0)
    for i in range(count):
        store(out, at + i, times(load(values, first + i), by))


@compiled
def normalise(values: np.ndarray, first: int, count: int, exponents: np.ndarray, factor: np.ndarray) -> None:
    """Brings the largest of values[first .. first + count - 1] into [1/2, 1) in each lane by a power of two.

    Args:
        values: [slots * 8].
        first: the first vector.
        count: the number of vectors.
        exponents: [8]; the exponent of the power is added, and a lane of zeros gets DEAD.
        factor: [8], overwritten.
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
