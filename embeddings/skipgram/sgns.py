"""The inner loop of skip-gram with negative sampling, compiled: over numbers instead of words.

Each word of a sequence is the centre in turn, with a window of random width. Up to four words around it are taken at a
time and share their negatives, so that the work becomes products of small matrices. With x the input vector of a word
around, w the output vector of the centre (label 1) or of a negative (label 0):

    g = alpha x (label - sigmoid(<x, w>))       x += sum over w of g w       w += sum over x of g x

All vectors are taken as they stand; where one word comes twice among the four, they are taken one after the other. A
negative that is drawn twice counts twice, one that is the centre not at all; it is a word of the centre's kind, so that
a song is told from other songs and an artist from other artists. Vectors are worked on 16 numbers at a time, as `rows`
lays them out. Threads write to the same rows without a lock: little of what one adds is lost.

Every sequence has a random generator of its own, the one of `walks.py`.

Source: Mikolov et al. 2013, arXiv 1310.4546; Ji et al. 2016, arXiv 1604.04661 (shared negatives); Recht et al. 2011,
arXiv 1106.5730 (without a lock).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from embeddings.skipgram.walks import generator, mix
from graph.snapshot.arrays import Array

NEAR: Final = 4
"""Words around a centre that are taken at a time: with 5 negatives, all products stay in registers."""

_LANES: Final = 16
_BYTES: Final = 64
_VECTOR: Final = ir.VectorType(ir.FloatType(), _LANES)
_INT: Final = ir.IntType(32)
_FAST: Final = ("fast",)
_ALWAYS: Final = np.uint64(0xFFFFFFFF)
_U32: Final = np.uint64(32)
_UNIT: Final = np.float32(2.0**-32)
_HALF, _END, _C28, _C378, _C3150 = (np.float32(v) for v in (0.5, 4.97, 28, 378, 3150))
_C17325, _C62370, _C135135 = (np.float32(v) for v in (17325, 62370, 135135))

_compiled: Final = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


def rows(matrix: Array) -> Array:
    """(N, D) as float32 (N, D'), D' a multiple of 16, at a multiple of 64 bytes; itself where it is that already and
    may be written to."""
    n, dim = matrix.shape
    wide = -(-dim // _LANES) * _LANES
    ready = wide == dim and matrix.dtype == np.float32 and matrix.flags.c_contiguous and matrix.flags.writeable
    if ready and matrix.ctypes.data % _BYTES == 0:
        return matrix
    room = np.zeros(n * wide + _BYTES // 4, dtype=np.float32)
    skip = -room.ctypes.data % _BYTES // 4
    made: Array = room[skip : skip + n * wide].reshape(n, wide)
    made[:, :dim] = matrix
    return made


def _numbers(context: Any, builder: Any, signature: Any, args: Any, at: int) -> Any:
    """Where the numbers of the array `args[at]` begin."""
    return context.make_array(signature.args[at])(context, builder, args[at]).data


def _pointers(builder: Any, addresses: Any, count: int) -> list[Any]:
    loaded = [builder.load(builder.gep(addresses, [_INT(i)])) for i in range(count)]
    return [builder.inttoptr(address, _VECTOR.as_pointer()) for address in loaded]


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _multiply(typing: Any, near: Any, n: Any, far: Any, slots: Any, chunks: Any, products: Any) -> Any:  # noqa: ARG001
    """products[j m + k] = <x_j, w_k>, vectors of 16 x `chunks` numbers at the n addresses `near` and the m `far`,
    as many as the tuple `slots` is long."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x = _pointers(builder, _numbers(context, builder, signature, args, 0), n.literal_value)
        w = _pointers(builder, _numbers(context, builder, signature, args, 2), slots.count)
        zero = ir.Constant(_VECTOR, [0.0] * _LANES)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(len(x) * len(w))]
        with cgutils.for_range(builder, args[4]) as loop:
            xs = [builder.load(builder.gep(p, [loop.index]), align=4) for p in x]
            for k, p in enumerate(w):
                wk = builder.load(builder.gep(p, [loop.index]), align=4)
                for j, xj in enumerate(xs):
                    at = sums[j * len(w) + k]
                    builder.store(builder.fadd(builder.load(at), builder.fmul(xj, wk, _FAST), _FAST), at)
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _VECTOR])
        total = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{_LANES}f32")
        out = _numbers(context, builder, signature, args, 5)
        for i, at in enumerate(sums):
            value = builder.call(total, [ir.FloatType()(0.0), builder.load(at)], fastmath=_FAST)
            builder.store(value, builder.gep(out, [_INT(i)]))
        return context.get_dummy_value()

    return types.void(near, n, far, slots, types.intp, products), generate


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _add(typing: Any, near: Any, n: Any, far: Any, slots: Any, chunks: Any, gains: Any) -> Any:  # noqa: ARG001
    """x_j += sum over k of gains[j m + k] w_k and w_k += sum over j of gains[j m + k] x_j, both as they stood."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x = _pointers(builder, _numbers(context, builder, signature, args, 0), n.literal_value)
        w = _pointers(builder, _numbers(context, builder, signature, args, 2), slots.count)
        given = _numbers(context, builder, signature, args, 5)
        gain = [_spread(builder, builder.load(builder.gep(given, [_INT(i)]))) for i in range(len(x) * len(w))]
        with cgutils.for_range(builder, args[4]) as loop:
            xs = [builder.load(builder.gep(p, [loop.index]), align=4) for p in x]
            moved = list(xs)
            for k, p in enumerate(w):
                at = builder.gep(p, [loop.index])
                wk = new = builder.load(at, align=4)
                for j, xj in enumerate(xs):
                    g = gain[j * len(w) + k]
                    moved[j] = builder.fadd(moved[j], builder.fmul(g, wk, _FAST), _FAST)
                    new = builder.fadd(new, builder.fmul(g, xj, _FAST), _FAST)
                builder.store(new, at, align=4)
            for p, xj in zip(x, moved, strict=True):
                builder.store(xj, builder.gep(p, [loop.index]), align=4)
        return context.get_dummy_value()

    return types.void(near, n, far, slots, types.intp, gains), generate


def _spread(builder: Any, number: Any) -> Any:
    """A vector of this number alone."""
    empty = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(empty, number, _INT(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_INT, _LANES), [0] * _LANES))


@_compiled  # type: ignore[untyped-decorator]
def sigmoid(x: Any) -> Any:
    """Within 5e-5: (1 + tanh(x / 2)) / 2, with tanh by Lambert's continued fraction."""
    y = min(max(x * _HALF, -_END), _END)
    z = y * y
    above = _C135135 + z * (_C17325 + z * (_C378 + z))
    return _HALF + _HALF * y * above / (_C135135 + z * (_C62370 + z * (_C3150 + z * _C28)))


@_compiled  # type: ignore[untyped-decorator]
def _read(ids: Array, place: Array, keep: Array, words: Array, state: Any, step: Any) -> Any:
    """(n, state): the words of a sequence, without unknown ones and with frequent ones thinned out, as words[:n]."""
    n = 0
    for i in ids:
        if i < 0:
            break
        word = place[i]
        if word < 0:
            continue
        if keep[word] < _ALWAYS:
            state += step
            if keep[word] < mix(state) >> _U32:
                continue
        words[n] = word
        n += 1
    return n, state


@_compiled  # type: ignore[untyped-decorator]
def _draw(
    begin: int,
    size: int,
    member: Array,
    threshold: Array,
    alias: Array,
    drawn: Array,
    counts: Array,
    state: Any,
    step: Any,
) -> Any:
    """Draw the negatives drawn[1:] of the centre drawn[0] among the members that stand from `begin` on; counts[k] is
    how often k counts."""
    counts[0] = 1
    for k in range(1, len(drawn)):
        state += step
        bits = mix(state)
        slot = begin + np.int64(((bits >> _U32) * np.uint64(size)) >> _U32)
        if np.float32(bits & _ALWAYS) * _UNIT >= threshold[slot]:
            slot = begin + np.int64(alias[slot])
        word = np.int64(member[slot])
        drawn[k], counts[k] = word, 1
        for e in range(k):
            if drawn[e] == word:
                counts[k] = 0
                if e > 0:
                    counts[e] += 1
                break
    return state


@_compiled  # type: ignore[untyped-decorator]
def _distinct(near: Array) -> bool:
    for a in range(1, NEAR):
        for b in range(a):
            if near[a] == near[b]:
                return False
    return True


def kernel(negative: int) -> Callable[..., int]:
    """What trains on a piece of a corpus with that many negatives; it is compiled for them.

    Called with ids (T,) int32 and indptr (S + 1,): sequence s is ids[indptr[s]:indptr[s + 1]], over at the first
    negative number; place (numbers,) int32, the row of a number, or -1; keep (rows,) uint32, the chance to keep a word
    in 1/2^32; what negatives are drawn from: kind (rows,) of each row, member (rows,) the rows kind by kind, those of
    kind k from begin[k] to begin[k + 1], and threshold, alias (rows,), the alias table of each kind; inputs, outputs
    (rows, D') as `rows` lays them out; window, and whether its width is random; the learning rate at ids[0] and its
    fall for each number; the seed and the number of the first sequence. Returns how many words it trained on.
    """
    # its length tells the compiler how many there are, and the cache on disk holds a version for each
    return partial(_train, (0,) * (negative + 1))


@_compiled  # type: ignore[untyped-decorator]
def _learn(
    near: Array, n: int, far: Array, slots: Any, labels: Array, shares: Array, gains: Array, chunks: int
) -> None:
    others = len(slots)
    if n == NEAR and _distinct(near):
        _multiply(near, NEAR, far, slots, chunks, gains)
        for i in range(NEAR * others):
            gains[i] = shares[i] * (labels[i] - sigmoid(gains[i]))
        _add(near, NEAR, far, slots, chunks, gains)
        return
    for j in range(n):
        near[0] = near[j]
        _multiply(near, 1, far, slots, chunks, gains)
        for i in range(others):
            gains[i] = shares[i] * (labels[i] - sigmoid(gains[i]))
        _add(near, 1, far, slots, chunks, gains)


@_compiled  # type: ignore[untyped-decorator]
def _aim(drawn: Array, counts: Array, rate: Any, outputs: Array, nowhere: Any, far: Array, shares: Array) -> None:
    """Where the output vectors of `drawn` stand, and what each weighs; one that does not count is `nowhere`."""
    begin, row, others = outputs.ctypes.data, 4 * outputs.shape[1], len(drawn)
    for k in range(others):
        far[k] = begin + drawn[k] * row if counts[k] > 0 else nowhere
        for j in range(NEAR):
            shares[j * others + k] = rate * np.float32(counts[k])


@_compiled  # type: ignore[untyped-decorator]
def _train(
    slots: Any,
    ids: Array,
    indptr: Array,
    place: Array,
    keep: Array,
    negatives: Any,
    inputs: Array,
    outputs: Array,
    window: int,
    shrink: bool,
    alpha: float,
    fall: float,
    seed: Any,
    first: int,
) -> int:
    others = len(slots)
    kind, begin, member, threshold, alias = negatives
    words = np.empty(max(0, np.diff(indptr).max()), np.int64)
    near, far = np.empty(NEAR, np.int64), np.empty(others, np.int64)
    drawn, counts = np.empty(others, np.int64), np.empty(others, np.int64)
    shares, gains = np.empty(NEAR * others, np.float32), np.empty(NEAR * others, np.float32)
    labels = np.zeros(NEAR * others, np.float32)
    labels[::others] = 1
    nowhere = np.zeros(inputs.shape[1], np.float32)  # takes the place of a negative that does not count
    row, chunks = 4 * inputs.shape[1], inputs.shape[1] // _LANES
    trained = 0
    for s in range(len(indptr) - 1):
        state, step = generator(seed, first + s)
        rate = np.float32(alpha - fall * (indptr[s] - indptr[0]))
        n, state = _read(ids[indptr[s] : indptr[s + 1]], place, keep, words, state, step)
        trained += n
        for i in range(n):
            width = window
            if shrink:
                state += step
                width -= int(((mix(state) >> _U32) * np.uint64(window)) >> _U32)
            drawn[0] = words[i]
            low, high = begin[kind[words[i]]], begin[kind[words[i]] + 1]
            filled, last = 0, min(n, i + width + 1) - 1
            for j in range(max(0, i - width), last + 1):
                if j != i:
                    near[filled] = inputs.ctypes.data + words[j] * row
                    filled += 1
                if filled == NEAR or (j == last and filled):
                    state = _draw(low, high - low, member, threshold, alias, drawn, counts, state, step)
                    _aim(drawn, counts, rate, outputs, nowhere.ctypes.data, far, shares)
                    _learn(near, filled, far, slots, labels, shares, gains, chunks)
                    filled = 0
    return trained
