"""Attacks on queries: the smallest perturbation of a head vector, within an L2 ball, that ends an event (``events.py``).

Whatever an attack returns as a success was tried: the event does not hold at head + perturbation, and the perturbation is no
longer than the radius. That none was found proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.evaluation.events import Event, Smoothed


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
    for point in search.walk(steps, restarts, generator):
        search.offer(point)
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


def lowest(
    event: Smoothed,
    head: Float[Tensor, "B D"],
    radius: float | Float[Tensor, " B"],
    steps: int = 20,
    restarts: int = 4,
    directions: int = 100,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B D"]]:
    """The smallest share of the draws that was found at a distance of ``radius``, and the perturbation of this length that it has.

    By the steps of ``by_gradient`` and by random directions; nothing is shortened. Shortening a success until the draws are
    about to change their mind finds the point at which fresh draws are least likely to agree.
    """
    ball = _Ball(event, head, radius)
    least, best = torch.full_like(ball.head[:, 0], torch.inf), torch.zeros_like(ball.head)
    anywhere = (_directions(head, generator) for _ in range(directions))
    for tried in chain(ball.walk(steps, restarts, generator), anywhere):
        point = ball.onto_sphere(tried)
        share = event.share(ball.head + point, ball.query)
        better = share < least
        least[better], best[better] = share[better], point[better]
    return least, best


class _Ball:
    """The perturbations of each query that are no longer than its radius, and how a gradient walks among them."""

    def __init__(self, event: Event, head: Tensor, radius: float | Tensor) -> None:
        limit = torch.as_tensor(radius, dtype=head.dtype, device=head.device).expand(len(head))
        if not ((limit > 0) & limit.isfinite()).all():
            raise ValueError("a radius must be above 0, and finite")
        self.event = event
        self.head = head.detach()
        self.query: Int[Tensor, " B"] = torch.arange(len(head), device=head.device)
        self.limit = limit

    @property
    def radius(self) -> Float[Tensor, " B"]:
        """Inside of the ball after rounding."""
        return self.limit * (1 - 8 * torch.finfo(self.limit.dtype).eps)

    def project(self, point: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        length = point.norm(dim=1)
        return point * (self.radius / length.clamp(min=torch.finfo(point.dtype).tiny)).clamp(max=1).unsqueeze(1)

    def onto_sphere(self, point: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        length = point.norm(dim=1)
        return point * (self.radius / length.clamp(min=torch.finfo(point.dtype).tiny)).unsqueeze(1)

    def walk(self, steps: int, restarts: int, generator: torch.Generator | None) -> Iterator[Float[Tensor, "B D"]]:
        """The points that ``by_gradient`` tries: those of each start's steps, and the last once more, on the sphere."""
        fixed = self.event.rivals(self.head, self.query, 1 + restarts)
        for start in range(restarts):
            turned = start % 2 == 1  # against a rival of its own
            against = fixed[:, (start + 1) // 2] if turned else None
            point = torch.zeros_like(self.head)
            if start and not turned:
                point = self.radius.unsqueeze(1) * torch.rand(len(point), 1, generator=generator).to(point)
                point = point * _directions(self.head, generator)
            for _ in range(steps):
                slope = self.event.slope(self.head + point, self.query, against)
                length = slope.norm(dim=1, keepdim=True)
                down = torch.where(length > 0, slope / length.clamp(min=torch.finfo(slope.dtype).tiny), 0)
                point = self.project(point - 2.5 / steps * self.radius.unsqueeze(1) * down)
                yield point
            yield self.onto_sphere(point)


class _Search(_Ball):
    """The smallest perturbation so far of each query, none longer than its radius."""

    def __init__(self, event: Event, head: Tensor, radius: float | Tensor, halvings: int) -> None:
        super().__init__(event, head, radius)
        self.halvings = halvings
        self.held = event.holds(self.head, self.query)
        self.best = torch.zeros_like(self.head)
        self.distance = torch.where(self.held, torch.inf, 0.0).to(head.dtype)

    @property
    def radius(self) -> Float[Tensor, " B"]:
        """Of the ball that is searched: up to what was found, and inside of it after rounding."""
        return torch.minimum(self.limit, self.distance) * (1 - 8 * torch.finfo(self.distance.dtype).eps)

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
