"""Attacks on queries: the smallest perturbation of a head vector, within an L2 ball, that ends an event (``events.py``).

Whatever an attack returns as a success was tried: the event does not hold at head + perturbation, and the perturbation is no
longer than the radius. That none was found proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.evaluation.events import Event


@dataclass(frozen=True)
class Attack:
    """What was found for each query."""

    held: Bool[Tensor, " B"]
    """whether the event holds without a perturbation; where it does not, there is nothing to attack"""
    distance: Float[Tensor, " B"]
    """the length of the smallest perturbation that ends it; infinite where none was found, 0 where it did not hold"""
    perturbation: Float[Tensor, "B D"]
    """zeros where none was found"""

    @property
    def succeeded(self) -> Bool[Tensor, " B"]:
        """Where the event held, and a perturbation ends it."""
        return self.held & self.distance.isfinite()

    def or_worse(self, other: Attack) -> Attack:
        """The smaller perturbation of the two attacks on the same queries."""
        nearer = other.distance < self.distance
        perturbation = torch.where(nearer.unsqueeze(1), other.perturbation, self.perturbation)
        return Attack(self.held, torch.where(nearer, other.distance, self.distance), perturbation)


def by_gradient(
    event: Event,
    head: Float[Tensor, "B D"],
    radius: float | Float[Tensor, " B"],
    steps: int = 20,
    restarts: int = 4,
    halvings: int = 12,
    generator: torch.Generator | None = None,
) -> Attack:
    """Projected gradient: normalised steps of 2.5 radius / steps down the slope of the event, projected onto the ball.

    The first start is the clean vector, against the nearest rival of each step. Later ones take turns: against the second, third,
    ... rival from the clean vector, and from a random point against the nearest. A perturbation that ends the event is shortened
    along its line by so many halvings, and the ball of the query shrinks to what was found.
    """
    search = _Search(event, head, radius, halvings)
    fixed = event.rivals(head, search.query, 1 + restarts)
    for start in range(restarts):
        turned = start % 2 == 1  # against a rival of its own
        against = fixed[:, (start + 1) // 2] if turned else None
        point = torch.zeros_like(head)
        if start and not turned:
            point = search.radius.unsqueeze(1) * torch.rand(len(head), 1, generator=generator).to(head)
            point = point * _directions(head, generator)
        for _ in range(steps):
            slope = event.slope(head + point, search.query, against)
            length = slope.norm(dim=1, keepdim=True)
            down = torch.where(length > 0, slope / length.clamp(min=torch.finfo(head.dtype).tiny), 0)
            point = search.project(point - 2.5 / steps * search.radius.unsqueeze(1) * down)
            search.offer(point)
        search.offer(search.onto_sphere(point))
    return search.result()


def by_random_directions(
    event: Event,
    head: Float[Tensor, "B D"],
    radius: float | Float[Tensor, " B"],
    directions: int = 100,
    halvings: int = 12,
    generator: torch.Generator | None = None,
) -> Attack:
    """Points on the sphere in uniform directions; one that ends the event is shortened along its line."""
    search = _Search(event, head, radius, halvings)
    for _ in range(directions):
        search.offer(search.onto_sphere(_directions(head, generator)))
    return search.result()


def worst(
    event: Event,
    head: Float[Tensor, "B D"],
    radius: float | Float[Tensor, " B"],
    steps: int = 20,
    restarts: int = 4,
    directions: int = 100,
    generator: torch.Generator | None = None,
) -> Attack:
    """The smaller perturbation that projected gradient or random directions find."""
    found = by_gradient(event, head, radius, steps, restarts, generator=generator)
    return found.or_worse(by_random_directions(event, head, radius, directions, generator=generator))


class _Search:
    """The smallest perturbation so far of each query, none longer than its radius."""

    def __init__(self, event: Event, head: Tensor, radius: float | Tensor, halvings: int) -> None:
        limit = torch.as_tensor(radius, dtype=head.dtype, device=head.device).expand(len(head))
        if not ((limit > 0) & limit.isfinite()).all():
            raise ValueError("a radius must be above 0, and finite")
        self.event = event
        self.head = head.detach()
        self.query: Int[Tensor, " B"] = torch.arange(len(head), device=head.device)
        self.halvings = halvings
        self.held = event.holds(self.head, self.query)
        self.best = torch.zeros_like(self.head)
        self.distance = torch.where(self.held, torch.inf, 0.0).to(head.dtype)
        self.limit = limit

    @property
    def radius(self) -> Float[Tensor, " B"]:
        """Of the ball that is searched: up to what was found, and inside of it after rounding."""
        return torch.minimum(self.limit, self.distance) * (1 - 8 * torch.finfo(self.distance.dtype).eps)

    def project(self, point: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        length = point.norm(dim=1)
        return point * (self.radius / length.clamp(min=torch.finfo(point.dtype).tiny)).clamp(max=1).unsqueeze(1)

    def onto_sphere(self, point: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        length = point.norm(dim=1)
        return point * (self.radius / length.clamp(min=torch.finfo(point.dtype).tiny)).unsqueeze(1)

    def offer(self, point: Float[Tensor, "B D"]) -> None:
        """Keeps what ends the event, shortened: every length that is kept was tried."""
        before = self.distance.clone()
        self._keep(point, self.query)
        rows = (self.distance < before).nonzero().squeeze(1)
        low, high = torch.zeros(len(rows), dtype=point.dtype, device=point.device), torch.ones_like(self.distance[rows])
        for _ in range(self.halvings if len(rows) else 0):
            middle = (low + high) / 2
            ends = self._keep(middle.unsqueeze(1) * point[rows], rows)
            low, high = torch.where(ends, low, middle), torch.where(ends, middle, high)

    def _keep(self, point: Float[Tensor, "X D"], rows: Int[Tensor, " X"]) -> Bool[Tensor, " X"]:
        """Which of the points end their query's event within the ball; those that are shorter than the best become it."""
        length = point.norm(dim=1)
        ends = ~self.event.holds(self.head[rows] + point, rows) & (length <= self.limit[rows]) & (length > 0)
        better = ends & (length < self.distance[rows])
        self.best[rows[better]] = point[better]
        self.distance[rows[better]] = length[better]
        return ends

    def result(self) -> Attack:
        return Attack(self.held, self.distance, self.best)


def _directions(head: Float[Tensor, "B D"], generator: torch.Generator | None) -> Float[Tensor, "B D"]:
    """Uniform on the unit sphere, a row each."""
    drawn = torch.randn(head.shape, generator=generator).to(head)
    return drawn / drawn.norm(dim=1, keepdim=True)
