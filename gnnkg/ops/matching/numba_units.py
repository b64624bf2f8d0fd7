"""Distances and their slopes for vectors of 16: a unit of 16 candidates, or 16 units of one. Each kernel is compiled for one op."""

from __future__ import annotations

from gnnkg.ops.matching.numba_kernels import COSINE_TERMS, HALF, L1, MODULUS, SINE_TERMS, SQUARED, TINY, TURN, ZERO
from gnnkg.ops.simd import absolute, fma, inlined, inverse_root, nearest, root, splat, with_sign


@inlined
def turns(a):
    """The angle in half turns, less the nearest whole number of them: |sin(pi x)| has period 1."""
    whole = a * splat(TURN)
    return whole - nearest(whole)


@inlined
def phi(op, a, b):
    """One unit's share of the sum, for the difference a (and b, the imaginary part, in a modulus)."""
    if op == L1:
        return absolute(a)
    if op == SQUARED:
        return a * a
    if op == MODULUS:
        return root(fma(a, a, fma(b, b, splat(TINY))))
    f = turns(a)
    f2 = f * f
    sine = splat(ZERO)
    for c in SINE_TERMS[::-1]:
        sine = fma(f2, sine, splat(c))
    return absolute(f * sine)


@inlined
def slope(op, a, b, g):
    """g * d phi / d a; for a modulus, the factor that a and b are still to be multiplied by."""
    if op == L1:
        return with_sign(g, a)
    if op == SQUARED:
        return (g + g) * a
    if op == MODULUS:
        return g * inverse_root(fma(a, a, fma(b, b, splat(TINY))))
    f = turns(a)
    f2 = f * f
    cosine = splat(ZERO)
    for c in COSINE_TERMS[::-1]:
        cosine = fma(f2, cosine, splat(c))
    return with_sign(splat(HALF) * g, f) * cosine
