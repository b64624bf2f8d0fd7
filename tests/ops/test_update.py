from __future__ import annotations

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from gnnkg.ops import cpu
from gnnkg.ops.backends import use_reference
from gnnkg.ops.update import reference, update

every_choice = pytest.mark.parametrize(
    ("parts", "norm", "shortcut"), list(itertools.product((False, True), repeat=3)), ids=str
)
NAMES = ("own", "parts", "weight", "bias", "shortcut")


def inputs(nodes: int, states: int, width: int, parts: bool, norm: bool, shortcut: bool) -> dict[str, torch.Tensor]:
    given = {"own": torch.randn(nodes, states, width)}
    if parts:
        given |= {"parts": torch.randn(nodes, states, 3, width), "scales": torch.rand(nodes, 3) + 0.2}
    if norm:
        given |= {"weight": torch.randn(width), "bias": torch.randn(width)}
    return given | ({"shortcut": torch.randn(nodes, states, width)} if shortcut else {})


def called(function, given: dict[str, torch.Tensor]) -> torch.Tensor:
    norm = (given["weight"], given["bias"]) if "weight" in given else None
    return function(given["own"], given.get("parts"), given.get("scales"), norm, given.get("shortcut"))


def value_and_gradients(function, given: dict[str, torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    leaves = {name: each.to(dtype).requires_grad_(name != "scales") for name, each in given.items()}
    out = called(function, leaves)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    return [out, *torch.autograd.grad(out, [leaves[name] for name in NAMES if name in leaves], upstream)]


@every_choice
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 2, 3), (40, 3, 17), (33, 1, 32)])
def test_equals_the_definition(shape: tuple[int, int, int], parts: bool, norm: bool, shortcut: bool) -> None:
    given = inputs(*shape, parts, norm, shortcut)
    fast = value_and_gradients(update, given, torch.float32)
    exact = value_and_gradients(reference.update, given, torch.float64)
    for ours, theirs in zip(fast, exact, strict=True):
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, rtol=1e-4, atol=1e-4, check_dtype=False)


@every_choice
def test_double_precision_differentiates_twice(parts: bool, norm: bool, shortcut: bool) -> None:
    given = {name: each.double() for name, each in inputs(2, 2, 4, parts, norm, shortcut).items()}
    leaves = {name: given[name].requires_grad_() for name in NAMES if name in given}

    def function(*values: torch.Tensor) -> torch.Tensor:
        return called(update, given | dict(zip(leaves, values, strict=True)))

    assert gradcheck(function, tuple(leaves.values()))
    assert gradgradcheck(function, tuple(leaves.values()))


def test_a_second_derivative_needs_the_reference() -> None:
    own = torch.randn(3, 2, 4, requires_grad=True)

    def second() -> torch.Tensor:
        (first,) = torch.autograd.grad(update(own).square().sum(), own, create_graph=True)
        return torch.autograd.grad(first.sum(), own)[0]

    with pytest.raises(RuntimeError, match="use_reference"):
        second()
    with use_reference():
        assert_close(second(), 2.0 * (own > 0))


def test_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "WORK_PER_THREAD", 1)
    given, results, threads = inputs(100, 3, 32, True, True, True), [], torch.get_num_threads()
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            results.append(value_and_gradients(update, given, torch.float32))
    finally:
        torch.set_num_threads(threads)
    for again in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], again, strict=True))


def test_nan_comes_through_and_memory_may_be_strided() -> None:
    own = torch.randn(4, 6, 3).transpose(0, 1)
    own[2, 1, 0] = torch.nan
    assert update(own)[2, 1, 0].isnan()
    assert_close(update(own), reference.update(own), equal_nan=True)
    assert update(torch.empty(0, 2, 3)).shape == (0, 2, 3)


def test_parts_need_scales() -> None:
    with pytest.raises(ValueError, match="go together"):
        update(torch.randn(2, 1, 3), torch.randn(2, 1, 3, 3))
