"""Which backend serves a call: one rule for all ops.

    reference   float64; inside ``use_reference()``; devices other than CPU and CUDA
    numba       CPU
    triton      CUDA

The fast backends compute in float32, half precision included, and have one derivative. Whoever differentiates twice, or
wants forward mode, vmap or double precision, asks for the reference: plain torch, differentiable any number of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["reference", "numba", "triton"]

_reference_wanted: ContextVar[bool] = ContextVar("reference_wanted", default=False)


@contextmanager
def use_reference() -> Iterator[None]:
    """Calls inside go to the reference; what they return may be differentiated twice, inside and outside."""
    token = _reference_wanted.set(True)
    try:
        yield
    finally:
        _reference_wanted.reset(token)


class _AsNow:
    """The choice of a backend as it is when this is made; may be entered again and again."""

    def __init__(self) -> None:
        self.wanted = _reference_wanted.get()
        self.tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self.tokens.append(_reference_wanted.set(self.wanted))

    def __exit__(self, *_: object) -> None:
        _reference_wanted.reset(self.tokens.pop())


def recomputed() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """``context_fn`` of ``torch.utils.checkpoint``: what is computed again goes where it went first."""
    return nullcontext(), _AsNow()


def choose(*tensors: Tensor | None) -> Backend:
    """The backend for these inputs. Raises ImportError where they are on CUDA and Triton is missing."""
    given = [tensor for tensor in tensors if tensor is not None]
    if _reference_wanted.get() or any(tensor.dtype == torch.float64 for tensor in given):
        return "reference"
    device = given[0].device.type
    if device == "cpu":
        return "numba"
    if device != "cuda":
        return "reference"
    if find_spec("triton") is None:
        raise ImportError(
            "the ops of gnnkg on CUDA need Triton: pip install triton; "
            "or call them under gnnkg.ops.backends.use_reference(), which is slower and takes more memory"
        )
    return "triton"


def one_derivative(of: str) -> RuntimeError:
    """What to raise where a fused op, ``the fused update``, is differentiated twice."""
    return RuntimeError(
        f"{of} has one derivative: compute what is differentiated twice under gnnkg.ops.backends.use_reference()"
    )
