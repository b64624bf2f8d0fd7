"""Each scorer against its formula in plain Python, and the scorers that are special cases of others."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.testing import assert_close

from gnnkg.core import Scorer, Vectors
from gnnkg.ops.backends import use_reference
from gnnkg.scorers import HAKE, RESCAL, ComplEx, DistMult, RotatE, TransE

DIM = 3


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def one(scorer: Scorer, h: Tensor, r: Tensor, t: Tensor) -> float:
    return scorer(Vectors(h.unsqueeze(0), r.unsqueeze(0), t.view(1, 1, -1))).item()


def complexes(x: Tensor) -> list[complex]:
    re, im = x.chunk(2)
    return [complex(a, b) for a, b in zip(re.tolist(), im.tolist(), strict=True)]


def transe(h: Tensor, r: Tensor, t: Tensor, p: int) -> float:
    return 9 - sum(abs(a + b - c) ** p for a, b, c in zip(h.tolist(), r.tolist(), t.tolist(), strict=True)) ** (1 / p)


def distmult(h: Tensor, r: Tensor, t: Tensor) -> float:
    return sum(a * b * c for a, b, c in zip(h.tolist(), r.tolist(), t.tolist(), strict=True))


def complex_(h: Tensor, r: Tensor, t: Tensor) -> float:
    return sum(a * b * c.conjugate() for a, b, c in zip(complexes(h), complexes(r), complexes(t), strict=True)).real


def rescal(h: Tensor, r: Tensor, t: Tensor) -> float:
    weights = r.tolist()
    return sum(h[i].item() * weights[i * DIM + j] * t[j].item() for i in range(DIM) for j in range(DIM))


def rotate(h: Tensor, r: Tensor, t: Tensor) -> float:
    turn = [cmath.exp(1j * math.pi * angle / (11 / DIM)) for angle in r.tolist()]
    return 9 - sum(abs(a * b - c) for a, b, c in zip(complexes(h), turn, complexes(t), strict=True))


def hake(h: Tensor, r: Tensor, t: Tensor) -> float:
    span = 11 / DIM
    (p_h, m_h), (p_r, m_r, bias), (p_t, m_t) = (x.view(-1, DIM).tolist() for x in (h, r, t))
    phase = sum(abs(math.sin((a + b - c) * math.pi / span / 2)) for a, b, c in zip(p_h, p_r, p_t, strict=True))
    modulus = 0.0
    for a, stretch, b, c in zip(m_h, m_r, bias, m_t, strict=True):
        b = max(-abs(stretch), min(1.0, b))
        modulus += (a * (abs(stretch) + b) - c * (1 - b)) ** 2
    return 9 - span * phase - 3.5 * math.sqrt(modulus)


@pytest.mark.parametrize(
    ("scorer", "formula"),
    [
        (TransE(DIM), lambda *x: transe(*x, p=1)),
        (TransE(DIM, p=2), lambda *x: transe(*x, p=2)),
        (DistMult(DIM), distmult),
        (ComplEx(DIM), complex_),
        (RESCAL(DIM), rescal),
        (RotatE(DIM), rotate),
        (HAKE(DIM), hake),
    ],
    ids=["TransE", "TransE-L2", "DistMult", "ComplEx", "RESCAL", "RotatE", "HAKE"],
)
def test_formula(scorer: Scorer, formula) -> None:
    scorer, space = scorer.double(), scorer.space
    for _ in range(5):
        h, r, t = normal(space.entity_dim), normal(space.relation_dim), normal(space.entity_dim)
        assert one(scorer, h, r, t) == pytest.approx(formula(h, r, t), rel=1e-5)


def test_distmult_is_complex_without_imaginary_parts() -> None:
    h, r, t = normal(DIM), normal(DIM), normal(DIM)
    zero = torch.zeros(DIM, dtype=torch.float64)
    whole = [torch.cat([x, zero]) for x in (h, r, t)]
    assert one(ComplEx(DIM), *whole) == pytest.approx(one(DistMult(DIM), h, r, t))


def test_complex_is_symmetric_for_a_real_relation() -> None:
    h, t = normal(2 * DIM), normal(2 * DIM)
    real = torch.cat([normal(DIM), torch.zeros(DIM, dtype=torch.float64)])
    assert one(ComplEx(DIM), h, real, t) == pytest.approx(one(ComplEx(DIM), t, real, h))
    other = normal(2 * DIM)
    assert one(ComplEx(DIM), h, other, t) != pytest.approx(one(ComplEx(DIM), t, other, h))


def test_rescal_with_a_diagonal_is_distmult() -> None:
    h, r, t = normal(DIM), normal(DIM), normal(DIM)
    assert one(RESCAL(DIM), h, torch.diag(r).flatten(), t) == pytest.approx(one(DistMult(DIM), h, r, t))


def test_rotate_without_a_turn_gives_gamma_to_the_head_itself() -> None:
    h = normal(2 * DIM)
    assert one(RotatE(DIM, gamma=7.0), h, torch.zeros(DIM, dtype=torch.float64), h) == pytest.approx(7.0, abs=1e-4)


@pytest.mark.parametrize("p", [1, 2])
def test_transe_gives_gamma_to_the_exact_answer(p) -> None:
    h, r = normal(DIM), normal(DIM)
    assert one(TransE(DIM, gamma=7.0, p=p), h, r, h + r) == pytest.approx(7.0, abs=1e-4)


def test_hake_without_phase_and_bias_is_mode() -> None:
    """f = gamma - || m_h * m_r - m_t ||_2 for m_r >= 0."""
    scorer = HAKE(DIM, modulus_weight=1.0, phase_weight=0.0).double()
    m_h, m_r, m_t = normal(DIM), normal(DIM).abs(), normal(DIM)
    relation = torch.cat([normal(DIM), m_r, torch.zeros(DIM, dtype=torch.float64)])
    score = one(scorer, torch.cat([normal(DIM), m_h]), relation, torch.cat([normal(DIM), m_t]))
    assert score == pytest.approx(9 - (m_h * m_r - m_t).norm().item())


def test_the_weights_of_hake_are_trained() -> None:
    scorer = HAKE(DIM, gamma=9.0, modulus_weight=3.5, phase_weight=1.0)
    assert {name: p.item() for name, p in scorer.named_parameters()} == pytest.approx(
        {"phase_weight": 11 / DIM, "modulus_weight": 3.5}
    )
    vectors = Vectors(torch.rand(3, 2 * DIM), torch.rand(3, 3 * DIM), torch.rand(1, 5, 2 * DIM))

    def scores(weight: Tensor) -> Tensor:
        return functional_call(scorer, {"modulus_weight": weight}, (vectors,))

    found = torch.autograd.grad(scorer(vectors).square().sum(), [*scorer.parameters()])
    with use_reference():
        expected = torch.autograd.grad(scorer(vectors).square().sum(), [*scorer.parameters()])
        assert_close(torch.vmap(scores)(torch.tensor([1.0, 3.5]))[1], scorer(vectors))
    assert_close(found, expected)


def test_the_phase_range_of_hake_stands_for_half_a_turn() -> None:
    scorer = HAKE(DIM, gamma=9.0, modulus_weight=0.0, phase_weight=0.5, phase_range=2.0).double()
    h, r, t = normal(2 * DIM), normal(3 * DIM), normal(2 * DIM)
    angle = (h + r[: 2 * DIM] - t)[:DIM] * math.pi / 2
    assert one(scorer, h, r, t) == pytest.approx(9 - (angle / 2).sin().abs().sum().item())
    turned = t + scorer.space.phases * (torch.arange(2 * DIM) < DIM)
    assert one(scorer, h, r, turned) == pytest.approx(one(scorer, h, r, t))


def test_a_wide_phase_range_of_hake_starts_phases_close_together() -> None:
    check_uniform(initial(HAKE(20, phase_range=10.0))[0], 11 / 20)


def test_hake_refuses_a_phase_range_of_nothing() -> None:
    with pytest.raises(ValueError, match="phase_range must be above 0, not 0"):
        HAKE(DIM, phase_range=0)


def test_transe_refuses_another_norm() -> None:
    with pytest.raises((ValueError, TypeError), match="3"):
        TransE(DIM, p=3)  # type: ignore[arg-type]


def initial(scorer: Scorer) -> tuple[Tensor, Tensor]:
    entity, relation = torch.empty(4000, scorer.space.entity_dim), torch.empty(4000, scorer.space.relation_dim)
    scorer.space.init(entity, relation)
    return entity, relation


def check_uniform(x: Tensor, bound: float) -> None:
    assert x.abs().max() <= bound
    assert_close(x.mean(), torch.tensor(0.0), atol=4 * bound / math.sqrt(3 * x.numel()), rtol=0)
    assert_close(x.std(), torch.tensor(bound / math.sqrt(3)), rtol=0.02, atol=0)


@pytest.mark.parametrize("scorer", [TransE(20), DistMult(20), ComplEx(20), RotatE(20)], ids=lambda s: type(s).__name__)
def test_initial_values_follow_the_rotate_code(scorer: Scorer) -> None:
    """U(-(gamma + 2) / d, (gamma + 2) / d), d counting complex numbers."""
    gamma = 24.0 if isinstance(scorer, (DistMult, ComplEx)) else 9.0
    for table in initial(scorer):
        check_uniform(table, (gamma + 2) / 20)


def test_rotate_starts_with_turns_all_around_the_circle() -> None:
    scorer = RotatE(20)
    turns = initial(scorer)[1] * scorer.radians
    check_uniform(turns, math.pi)


def test_hake_starts_with_pure_rotations() -> None:
    entity, relation = initial(HAKE(20))
    phase, modulus, bias = relation.chunk(3, 1)
    check_uniform(entity, 11 / 20)
    check_uniform(phase, 11 / 20)
    assert (modulus == 1).all()
    assert (bias == 0).all()


def test_rescal_starts_normal() -> None:
    for table in initial(RESCAL(20, std=0.2)):
        assert_close(table.std(), torch.tensor(0.2), rtol=0.02, atol=0)
        assert table.abs().max() > 0.6
