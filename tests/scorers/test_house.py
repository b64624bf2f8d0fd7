from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from gnnkg.core import Vectors
from gnnkg.ops.matching import Mix
from gnnkg.scorers import HousE, householder


def matrix(units: Tensor, shares: list[float]) -> Tensor:
    """(I - c_m u_m u_m^T) ... (I - c_1 u_1 u_1^T), in full."""
    whole = torch.eye(units.shape[-1], dtype=units.dtype)
    for u, share in zip(units, shares, strict=True):
        u = u / u.norm()
        whole = whole - share * torch.outer(u, u @ whole)
    return whole


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("width", "num_reflections"), [(2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("translation", [False, True])
@pytest.mark.parametrize("num_projections", [0, 2])
def test_formula(width: int, num_reflections: int, num_projections: int, translation: bool) -> None:
    """Against matrices, block by block; two blocks."""
    n, k, m = 2, width, num_projections
    scorer = HousE(n * k, 7.0, k, m, 0.5, translation).double()
    turn, of_head, of_tail = normal(n, num_reflections, k), normal(n, m, k), normal(n, m, k)
    direction, scale, move = normal(2, n, m), normal(2, n, m), normal(n, k) if translation else normal(0)
    of = [x.flatten() for x in (turn, of_head, of_tail, direction[0], scale[0], direction[1], scale[1], move)]
    relation = torch.cat(of)
    assert scorer.space.relation_dim == len(relation)
    h, t = normal(n, k), normal(n, k)
    shares = (direction * scale.abs()).clamp(max=0.5).tolist()
    expected = 7.0
    for i in range(n):
        x = matrix(of_head[i], shares[0][i]) @ h[i]
        x = matrix(turn[i], [2.0] * num_reflections) @ (x + move[i] if translation else x)
        expected -= (x - matrix(of_tail[i], shares[1][i]) @ t[i]).norm().item()
    score = scorer(Vectors(h.view(1, -1), relation.unsqueeze(0), t.view(1, 1, -1)))
    assert score.item() == pytest.approx(expected)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_without_projections_norms_are_kept(width: int) -> None:
    scorer = HousE(3 * width, house_dim=width, num_projections=0).double()
    head, relation = normal(4, 3 * width), normal(4, scorer.space.relation_dim)
    turned = scorer.query(head, relation)
    assert turned.shape == head.shape
    norms = [x.unflatten(1, (3, width)).norm(dim=2) for x in (turned, head)]
    assert_close(*norms)
    assert not torch.allclose(turned, head)


def test_two_reflections_turn_the_plane_by_twice_their_angle() -> None:
    """By hand: across lines whose normals are 30 degrees apart, (1, 0) turns by 60."""
    scorer = HousE(2, 5.0, house_dim=2, num_projections=0).double()
    angle = math.radians(30)
    relation = torch.tensor([[1.0, 0.0, math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    head = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    turned = torch.tensor([[0.5, math.sqrt(0.75)]], dtype=torch.float64)
    assert_close(scorer.query(head, relation), turned)
    assert scorer(Vectors(head, relation, turned.unsqueeze(0))).item() == pytest.approx(5.0, abs=1e-5)


def test_a_projection_of_one_takes_a_direction_away() -> None:
    x = householder.apply(torch.tensor([3.0, 4.0]), torch.tensor([[1.0, 0.0]]), torch.tensor([1.0]))
    assert x.tolist() == [0.0, 4.0]


def cases(group: int, m: int, masked: bool) -> tuple[Tensor, ...]:
    query, tail, units = normal(2 * group, 3, 4), normal(2, 150, 12), normal(2 * group, 3, m, 4)
    keep = torch.randint(2, (2 * group, 3, 4)).double() if masked else None
    return query, tail, units, normal(2 * group, 3, m).clamp(max=0.6), keep


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("m", [0, 1, 3])
def test_products_give_the_distance(m: int, masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, with candidates in one part and in three."""
    query, tail, units, shares, keep = cases(5, m, masked)
    leaves = [x.requires_grad_() for x in (query, tail, units, shares)]
    seen = tail if keep is None else tail.repeat_interleave(5, 0) * keep.view(10, 1, 12)
    expected = householder.distance(query, seen, householder.unit(units), shares)
    upstream = normal(*expected.shape)
    right = torch.autograd.grad(expected, leaves, upstream, materialize_grads=True)
    for at_once in (2**24, 1):
        monkeypatch.setattr(householder, "AT_ONCE", at_once)
        found = householder.distance_by_products(query, tail, householder.unit(units), shares, keep)
        assert_close(found, expected)
        assert_close(torch.autograd.grad(found, leaves, upstream, materialize_grads=True), right)


def test_products_in_single_precision() -> None:
    """To rounding, except where a candidate nearly is the answer: there to the square root of it."""
    query, tail, units, shares, _ = cases(5, 2, False)
    tail[:, 0] = 0
    query[:5] = 1e-6
    units = householder.unit(units)
    given = [x.float() for x in (query, tail, units, shares)]
    right = householder.distance(query, tail, units, shares)
    assert_close(householder.distance_by_products(*given).double(), right, rtol=1e-5, atol=1e-4)
    assert_close(householder.distance(*given).double(), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("queries", [1, 2])
def test_second_derivatives_at_the_exact_answer(queries: int) -> None:
    """Two derivatives are finite where a distance is 0: with one query the definition is differentiated, with two the products."""
    scorer = HousE(4, house_dim=2).double()
    head, relation = normal(queries, 4), normal(queries, scorer.space.relation_dim)
    relation[:, -8:] = 0.0  # the shares of the projections
    tail = torch.cat([scorer.query(head, relation)[:1, :4], normal(1, 4)]).unsqueeze(0)
    assert scorer(Vectors(head, relation, tail))[0, 0] == pytest.approx(9.0, abs=1e-5)
    leaves = [x.requires_grad_() for x in (head, relation, tail)]
    gradients = torch.autograd.grad(scorer(Vectors(*leaves)).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), leaves)
    assert all(x.isfinite().all() for x in (*gradients, *second))


def test_derivatives_with_several_maps() -> None:
    scorer = HousE(6, house_dim=3, num_projections=2).double()
    inputs = [normal(2, 6), normal(2, scorer.space.relation_dim), normal(1, 2, 6)]
    inputs = [x.requires_grad_() for x in inputs]

    def function(*x: Tensor) -> Tensor:
        return scorer(Vectors(*x))

    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("m", [0, 1, 3])
@pytest.mark.parametrize("width", [3, 4])
def test_inverse(m: int, width: int) -> None:
    scorer = HousE(2 * width, house_dim=width, num_projections=m).double()
    assert scorer.space.inverse is not None
    h, r, t = normal(3, 2 * width), normal(3, scorer.space.relation_dim), normal(3, 2 * width)
    backwards = scorer(Vectors(t, scorer.space.inverse(r), h.unsqueeze(1)))
    assert_close(backwards, scorer(Vectors(h, r, t.unsqueeze(1))))
    assert_close(scorer.space.inverse(scorer.space.inverse(r)), r)


def test_a_mask_a_query_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = HousE(8, house_dim=4, num_projections=2).double()
    asked = Vectors(normal(4, 8), normal(4, scorer.space.relation_dim), normal(2, 5, 8))
    own, keep = normal(4, 8), torch.randint(2, (4, 8)).double()
    stored = torch.where(keep.unsqueeze(1) == 1, asked.tail.repeat_interleave(2, 0), own.unsqueeze(1))
    expected = scorer(asked.replace(candidates=stored))
    monkeypatch.setattr("gnnkg.scorers.house.mutated", None)
    assert_close(scorer(asked.replace(mix=Mix(own, keep))), expected)


def test_initial_values() -> None:
    scorer = HousE(40, 6.0, house_dim=4, num_projections=2)
    entity, relation = torch.empty(500, 40), torch.empty(500, scorer.space.relation_dim)
    scorer.space.init(entity, relation)
    bound = 8 / (10 * 2)  # (gamma + 2) / (number of blocks * sqrt(house_dim))
    vectors, scalars = relation[:, :-80], relation[:, -80:]
    for table in (entity, vectors):
        assert table.abs().max() <= bound
        assert_close(table.std(), torch.tensor(bound / 3**0.5), rtol=0.02, atol=0)
    direction, scale, tail_direction, tail_scale = scalars.split(20, dim=1)
    assert direction.abs().max() <= 0.01
    assert 0.9 < scale.abs().max() <= 1
    assert_close(tail_direction * tail_scale.abs(), -direction * scale.abs(), rtol=0, atol=0)


def test_the_threshold_bounds_from_above() -> None:
    scorer = HousE(2, house_dim=2, threshold=0.25)
    relation = torch.zeros(3, scorer.space.relation_dim)
    relation[:, -4] = torch.tensor([0.5, 0.1, -0.9])
    relation[:, -3] = -1.0
    shares = scorer._shares(relation[:, -4:-2])
    assert_close(shares.flatten(), torch.tensor([0.25, 0.1, -0.9]))


@pytest.mark.parametrize("changes", [{"dim": 7}, {"house_dim": 1}, {"num_projections": -1}])
def test_sizes_that_do_not_fit_are_refused(changes) -> None:
    with pytest.raises(ValueError, match="at least"):
        HousE(**({"dim": 8, "house_dim": 4} | changes))
