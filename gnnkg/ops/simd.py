"""Vectors of 16 numbers as values of Numba kernels: they stay in registers, where arrays of 16 would go through memory.

    v = load(table, row)        a row of a C-contiguous (n, 16) array of float32 or int32, aligned to 64 bytes
    store(table, row, v)
    load_at(table, row, c, d), store_at(table, row, c, d, v)
                                8 columns from c on and 8 from d on, of a matrix of float32, or of bfloat16, given as int16
    load_some(table, row, c, mask), store_some(table, row, c, mask, v)
                                those of 16 columns from c on whose mask is set, of a matrix of float32; the others load as 0
    number_at(table, row, c), store_number_at(table, row, c, number)
                                one column of such a matrix
    at(array, i), entry(matrix, i, j)
                                one number of C-contiguous ones, without the look whether i or j counts from the end
    splat(number)               16 times the same
    counted()                   0, 1, 2 .. 15
    lanes_below(number)         the mask of the first lanes, so many
    aligned(rows)               such a table (rows, 16) of float32, not filled
    v + w, v - w, v * w, v / w, v < w, v > w, v <= w, v == w, fma(u, v, w) = u * v + w
                                of floats
    v * w, v < w, v == w        of integers, modulo 2^32

One AVX-512 register each; narrower machines take several. A ``strict`` kernel computes what it says, in that order: a fused
multiply-add stands only where ``fma`` does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import extending
from numba.core.extending import lower_builtin, models, register_model
from numba.core.imputils import impl_ret_untracked
from numba.core.typing import templates
from numba.core.typing.templates import AbstractTemplate, signature

from gnnkg.ops.cpu import kernel

intrinsic: Any = extending.intrinsic  # their first parameter is not the caller's
infer_global: Any = templates.infer_global

LANES = 16
HALF = LANES // 2
LINE = 64
"""bytes of 16 numbers, and of a cache line"""

ELEMENTS = {"float32": ir.FloatType(), "int32": ir.IntType(32), "bool": ir.IntType(1)}


class Vector(types.Type):
    def __init__(self, element: str) -> None:
        self.element = element
        super().__init__(f"{element}x{LANES}")


FLOATS, INTS, MASK = Vector("float32"), Vector("int32"), Vector("bool")
VECTORS = {types.float32: FLOATS, types.int32: INTS}


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(ELEMENTS[vector.element], LANES))


def strict(function: Callable[..., Any]) -> Any:
    """A kernel without fast math."""
    return kernel(function, fast_math=set())


def inlined(function: Callable[..., Any]) -> Any:
    """A part of strict kernels: vectors are passed in registers, and conditions on constants are decided."""
    return kernel(function, fast_math=set(), forceinline=True)


def _operator(symbol: Any, given: Vector, result: Vector, build: Callable[[Any, Any, Any], Any]) -> None:
    @infer_global(symbol)
    class _Typed(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(result, given, given) if tuple(args) == (given, given) else None

    @lower_builtin(symbol, given, given)
    def _lowered(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return impl_ret_untracked(context, builder, sig.return_type, build(builder, *args))


_operator(operator.add, FLOATS, FLOATS, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, FLOATS, FLOATS, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, FLOATS, FLOATS, lambda builder, a, b: builder.fmul(a, b))
_operator(operator.truediv, FLOATS, FLOATS, lambda builder, a, b: builder.fdiv(a, b))
_operator(operator.lt, FLOATS, MASK, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_operator(operator.gt, FLOATS, MASK, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_operator(operator.le, FLOATS, MASK, lambda builder, a, b: builder.fcmp_ordered("<=", a, b))
_operator(operator.eq, INTS, MASK, lambda builder, a, b: builder.icmp_signed("==", a, b))
_operator(operator.lt, INTS, MASK, lambda builder, a, b: builder.icmp_signed("<", a, b))
_operator(operator.mul, INTS, INTS, lambda builder, a, b: builder.mul(a, b))
_operator(operator.and_, MASK, MASK, lambda builder, a, b: builder.and_(a, b))
_operator(operator.or_, MASK, MASK, lambda builder, a, b: builder.or_(a, b))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index_type: Any, index: Any, scale: int) -> Any:
    index = context.cast(builder, index, index_type, types.intp)
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [builder.mul(index, ir.Constant(index.type, scale))])


@intrinsic
def at(typing: Any, array: Any, index: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], 1))

    return array.dtype(array, index), build


@intrinsic
def entry(typing: Any, matrix: Any, row: Any, column: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        row, column = (
            context.cast(builder, value, kind, types.intp) for value, kind in zip(args[1:], sig.args[1:], strict=True)
        )
        begin = builder.gep(array.data, [builder.mul(row, builder.extract_value(array.shape, 1))])
        return builder.load(builder.gep(begin, [column]))

    return matrix.dtype(matrix, row, column), build


@intrinsic
def load(typing: Any, table: Any, row: Any) -> Any:
    vector = VECTORS[table.dtype]

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], LANES)
        whole = builder.bitcast(pointer, context.get_value_type(vector).as_pointer())
        return builder.load(whole, align=LINE)

    return vector(table, row), build


@intrinsic
def store(typing: Any, table: Any, row: Any, vector: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1], LANES)
        builder.store(args[2], builder.bitcast(pointer, args[2].type.as_pointer()), align=LINE)
        return context.get_dummy_value()

    return types.void(table, row, vector), build


def _address(context: Any, builder: Any, table_type: Any, table: Any, types_of: Any, place: Any) -> Any:
    """Of table[row, column], where columns lie side by side."""
    array = context.make_array(table_type)(context, builder, table)
    row, column = (context.cast(builder, value, kind, types.intp) for value, kind in zip(place, types_of, strict=True))
    stride = builder.extract_value(array.strides, 0)
    offset = builder.add(builder.mul(row, stride), builder.mul(column, array.itemsize))
    return builder.add(builder.ptrtoint(array.data, offset.type), offset)


class _Run:
    """``lanes`` numbers side by side in a matrix of float32, or of bfloat16, which NumPy lacks and is given as int16."""

    def __init__(self, lanes: int, table: Any) -> None:
        if table.dtype not in (types.float32, types.int16):
            raise TypeError(f"a table of float32, or of bfloat16 as int16, is read, not of {table.dtype}")
        self.lanes, self.half = lanes, table.dtype == types.int16
        half = self.half
        self.stored, self.number, self.word = (
            self.of(kind) for kind in (ir.IntType(16) if half else ir.FloatType(), ir.FloatType(), ir.IntType(32))
        )

    def of(self, kind: Any) -> Any:
        return kind if self.lanes == 1 else ir.VectorType(kind, self.lanes)

    def same(self, value: int) -> Any:
        return ir.Constant(self.word, value if self.lanes == 1 else [value] * self.lanes)

    def load(self, builder: Any, address: Any) -> Any:
        stored = builder.load(builder.inttoptr(address, self.stored.as_pointer()), align=1)
        if not self.half:
            return stored
        return builder.bitcast(builder.shl(builder.zext(stored, self.word), self.same(16)), self.number)

    def store(self, builder: Any, address: Any, value: Any) -> None:
        if self.half:  # to the nearest, ties to even; NaN stays NaN
            bits = builder.bitcast(value, self.word)
            high = builder.lshr(bits, self.same(16))
            up = builder.add(self.same(0x7FFF), builder.and_(high, self.same(1)))
            nearest = builder.lshr(builder.add(bits, up), self.same(16))
            unknown = builder.fcmp_unordered("uno", value, value)
            kept = builder.select(unknown, builder.or_(high, self.same(0x40)), nearest)
            value = builder.trunc(kept, self.stored)
        builder.store(value, builder.inttoptr(address, self.stored.as_pointer()), align=1)


def _halves(builder: Any, vector: Any) -> list[Any]:
    word = ir.IntType(32)
    orders = [ir.Constant(ir.VectorType(word, HALF), list(range(begin, begin + HALF))) for begin in (0, HALF)]
    return [builder.shuffle_vector(vector, vector, order) for order in orders]


@intrinsic
def load_at(typing: Any, table: Any, row: Any, first: Any, second: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        run, (kind, at_row, *columns) = _Run(HALF, sig.args[0]), sig.args
        low, high = (
            run.load(builder, _address(context, builder, kind, args[0], (at_row, column), (args[1], value)))
            for column, value in zip(columns, args[2:], strict=True)
        )
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(LANES)))
        return builder.shuffle_vector(low, high, order)

    return FLOATS(table, row, first, second), build


@intrinsic
def store_at(typing: Any, table: Any, row: Any, first: Any, second: Any, vector: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        run, (kind, at_row, *columns, _) = _Run(HALF, sig.args[0]), sig.args
        halves = _halves(builder, args[4])
        for column, value, half in zip(columns, args[2:4], halves, strict=True):
            place = _address(context, builder, kind, args[0], (at_row, column), (args[1], value))
            run.store(builder, place, half)
        return context.get_dummy_value()

    return types.void(table, row, first, second, vector), build


@intrinsic
def number_at(typing: Any, table: Any, row: Any, column: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        run = _Run(1, sig.args[0])
        return run.load(builder, _address(context, builder, sig.args[0], args[0], sig.args[1:], args[1:]))

    return types.float32(table, row, column), build


@intrinsic
def store_number_at(typing: Any, table: Any, row: Any, column: Any, number: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        run = _Run(1, sig.args[0])
        place = _address(context, builder, sig.args[0], args[0], sig.args[1:3], args[1:3])
        run.store(builder, place, args[3])
        return context.get_dummy_value()

    return types.void(table, row, column, number), build


def _masked(builder: Any, name: str, result: Any, *parameters: Any) -> Any:
    name = f"llvm.masked.{name}.v{LANES}f32.p0"
    kind = ir.FunctionType(result, parameters)
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


SOME = ir.VectorType(ir.FloatType(), LANES)
BITS = ir.VectorType(ir.IntType(1), LANES)
FLOAT_ALIGNED = ir.Constant(ir.IntType(32), 4)


@intrinsic
def load_some(typing: Any, table: Any, row: Any, column: Any, mask: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], sig.args[1:3], args[1:3])
        pointer = builder.inttoptr(address, SOME.as_pointer())
        function = _masked(builder, "load", SOME, pointer.type, FLOAT_ALIGNED.type, BITS, SOME)
        return builder.call(function, [pointer, FLOAT_ALIGNED, args[3], ir.Constant(SOME, [0.0] * LANES)])

    return FLOATS(table, row, column, mask), build


@intrinsic
def store_some(typing: Any, table: Any, row: Any, column: Any, mask: Any, vector: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], sig.args[1:3], args[1:3])
        pointer = builder.inttoptr(address, SOME.as_pointer())
        function = _masked(builder, "store", ir.VoidType(), SOME, pointer.type, FLOAT_ALIGNED.type, BITS)
        builder.call(function, [args[4], pointer, FLOAT_ALIGNED, args[3]])
        return context.get_dummy_value()

    return types.void(table, row, column, mask, vector), build


@intrinsic
def splat(typing: Any, number: Any) -> Any:
    vector = VECTORS[number]

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        undefined = ir.Constant(context.get_value_type(vector), ir.Undefined)
        one = builder.insert_element(undefined, args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    return vector(number), build


@intrinsic
def counted(typing: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(INTS), list(range(LANES)))

    return INTS(), build


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once where the machine can"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = args[0].type
        name = f"llvm.fmuladd.v{LANES}f32"
        function = builder.module.globals.get(name)
        function = function or ir.Function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, args)

    return FLOATS(FLOATS, FLOATS, FLOATS), build


@intrinsic
def select(typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """a where the mask is set, elsewhere b"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(mask, a, b), build


@intrinsic
def bits(typing: Any, vector: Any) -> Any:
    """Floats as the integers of the same bits"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(INTS))

    return INTS(FLOATS), build


@intrinsic
def above(typing: Any, a: Any, b: Any) -> Any:
    """a > b, or a is NaN and b is not"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b = args
        return builder.and_(builder.fcmp_unordered(">", a, b), builder.fcmp_ordered("ord", b, b))

    return MASK(FLOATS, FLOATS), build


@intrinsic
def below(typing: Any, a: Any, b: Any) -> Any:
    """a < b, or a is NaN and b is not"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b = args
        return builder.and_(builder.fcmp_unordered("<", a, b), builder.fcmp_ordered("ord", b, b))

    return MASK(FLOATS, FLOATS), build


@intrinsic
def swap(typing: Any, vector: Any) -> Any:
    """The upper half first"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        order = [(lane + HALF) % LANES for lane in range(LANES)]
        return builder.shuffle_vector(args[0], args[0], ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))

    return vector(vector), build


def _of_vectors(builder: Any, name: str, kind: Any) -> Any:
    name = f"llvm.{name}.v{LANES}f32"
    return builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(kind, [kind]), name)


def _of_each(name: str) -> Any:
    """LLVM's function of this name, of each number."""

    def function(typing: Any, vector: Any) -> Any:
        def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.call(_of_vectors(builder, name, args[0].type), args)

        return vector(vector), build

    function.__name__ = name
    return intrinsic(function)


root, absolute = _of_each("sqrt"), _of_each("fabs")
nearest = _of_each("rint")
"""whole numbers, of two the even one"""


@intrinsic
def inverse_root(typing: Any, vector: Any) -> Any:
    """1 / sqrt of numbers above zero, to about 2e-7: by the machine's estimate and a step of Newton's where it has one"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = args[0].type
        square_root = builder.call(_of_vectors(builder, "sqrt", kind), args, fastmath=["arcp"])
        return builder.fdiv(ir.Constant(kind, [1.0] * LANES), square_root, flags=["arcp"])

    return vector(vector), build


@intrinsic
def with_sign(typing: Any, vector: Any, other: Any) -> Any:
    """vector * sign(other), with sign(0) = sign(NaN) = 0"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, other = args
        words = context.get_value_type(INTS)
        sign = builder.and_(builder.bitcast(other, words), ir.Constant(words, [-(2**31)] * LANES))
        turned = builder.bitcast(builder.xor(builder.bitcast(value, words), sign), value.type)
        zero = ir.Constant(value.type, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered("!=", other, zero), turned, zero)

    return vector(vector, other), build


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """The sum of the 16 numbers, by halves"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sums = args[0]
        for half in (8, 4, 2, 1):
            order = [(lane + half) % LANES for lane in range(LANES)]
            other = builder.shuffle_vector(sums, sums, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))
            sums = builder.fadd(sums, other)
        return builder.extract_element(sums, ir.Constant(ir.IntType(32), 0))

    return types.float32(vector), build


@intrinsic
def some(typing: Any, mask: Any) -> Any:
    """Whether any of the 16 is set"""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), build


@intrinsic
def nan(typing: Any, vector: Any) -> Any:
    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fcmp_unordered("uno", args[0], args[0])

    return MASK(FLOATS), build


@intrinsic
def wide(typing: Any) -> Any:
    """Registers of 64 bytes for the loops of the kernel that calls this, where the machine has them; LLVM else takes 32."""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite lists no attributes with values
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def as_float(typing: Any, bits: Any) -> Any:
    """The float32 that has the bits of an int32; of one number, and loops of it become vectors."""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), build


@intrinsic
def prefetch(typing: Any, table: Any, row: Any, column: Any) -> Any:
    """Asks for the cache line that table[row, column] lies in; the row may lie outside."""

    def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        address = builder.inttoptr(_address(context, builder, sig.args[0], args[0], sig.args[1:], args[1:]), byte)
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name)
        function = function or ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [byte, *[word] * 3]), name)
        builder.call(function, [address, *(ir.Constant(word, flag) for flag in (1, 3, 1))])  # to write, keep it, data
        return context.get_dummy_value()

    return types.void(table, row, column), build


@inlined
def aligned(rows):
    numbers = np.empty((rows + 1) * LANES, np.float32)
    first = -(numbers.ctypes.data // numbers.itemsize) % LANES
    return numbers[first : first + rows * LANES].reshape(rows, LANES)


@inlined
def lanes_below(number):
    return counted() < splat(np.int32(number))


@inlined
def prefetch_row(table, row, first, last):
    """Asks for the columns [first, last) of a row."""
    for column in range(first, last, LANES):
        prefetch(table, row, column)
