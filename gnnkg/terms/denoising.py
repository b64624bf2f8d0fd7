from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from weakref import WeakSet

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnkg.core import Batch, Labels, Lookup, Scorer, Vectors
from gnnkg.noise import Family, unit_noise
from gnnkg.strength import Alpha, HoldWins, Observes, Strength
from gnnkg.terms.slope import Part, refuse_untrainable, slopes


class Denoising(nn.Module):
    """Denoising score matching on the query's entity: the gradient of a noisy fact's score shall point back to the clean one.

        L = weight * mean over facts of (1/D) || s * grad f(h + s u, r, t) + u ||^2,    s = alpha * sigma,  u ~ unit noise

    Song et al., "Robust Knowledge Graph Embedding via Denoising", ESWC 2026, arXiv 2505.18171 (RKGE-D); add it to any term that
    trains on clean vectors. f is the score: only the scorer is differentiated, twice, on the batch's own facts, so the encoder may
    be any; with a GNN the noise is on its output. For scores that are affine in h (DistMult, ComplEx) this is a penalty on the
    gradient, (s^2/D) ||grad f||^2 + 1 in the mean over u. ``closed`` takes that formula, at the clean vectors and without noise,
    for any scorer. Of a piecewise linear scorer (ReLU) it trains the weights and no vector. ``weight=0`` draws nothing and leaves
    a training what it is, bitwise.

    The paper leaves open: ``divisor``, ``quantile``, ``per_entity``, ``sigma``, ``refresh`` and schedules as ``alpha``, see
    ``Strength``. ``sign``: the target -u, or +u (the wrong one, for ablation). ``scale="raw"`` compares the gradient with h - h~
    itself, s u in place of u. ``reduce="sum"`` leaves out the 1/D. ``part``: the vector with noise; ``"alternate"`` tosses a coin
    for each fact, for training without inverse queries. ``detach`` keeps the gradient from the perturbed vector itself.
    ``mode="train"`` leaves the scorer's batch norms and dropout as in training, which joins the rows of a batch.

    Raises ValueError for a scorer with nothing to train: one that does not read the part (``MLP(reads_head=False)``, as under
    NBFNet), or whose gradient is constant almost everywhere (``TransE`` with p=1).
    """

    def __init__(
        self,
        weight: float,
        alpha: float | Alpha = 1.0,
        divisor: float = 3.0,
        quantile: float = 0.9973,
        per_entity: bool = False,
        sigma: float | None = None,
        refresh: int | None = 1,
        noise: Family = "gaussian",
        part: Literal["head", "tail", "alternate"] = "head",
        sign: Literal["back", "forward"] = "back",
        scale: Literal["unit", "raw"] = "unit",
        reduce: Literal["mean", "sum"] = "mean",
        detach: bool = False,
        mode: Literal["eval", "train"] = "eval",
        closed: bool = False,
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"weight must be at least 0, not {weight}")
        if isinstance(alpha, HoldWins) and (part != "head" or closed):
            raise ValueError("HoldWins watches noise on the head: it needs part='head' and closed=False")
        self.weight = weight
        self.strength = Strength(alpha, divisor, quantile, per_entity, sigma, refresh)
        self.noise: Family = noise
        self.parts: tuple[Part, ...] = ("head", "tail") if part == "alternate" else (part,)
        self.sign = sign
        self.scale = scale
        self.reduce = reduce
        self.detach = detach
        self.mode = mode
        self.closed = closed
        self._trainable: WeakSet[Scorer] = WeakSet()

    def before_epoch(self, epoch: int) -> None:
        self.strength.before_epoch(epoch)

    def before_batch(self, batch: Batch, encode: Callable[[], Lookup]) -> None:
        if self.weight:
            self.strength.before_batch(batch, encode)

    def forward(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, ""]:
        if not self.weight:
            return labels.weight.new_zeros(())
        if scorer not in self._trainable:
            for part in self.parts:
                refuse_untrainable(scorer, part)
            self._trainable.add(scorer)
        each = self.of_facts(scorer, vectors.head, vectors.relation, vectors.truth(labels))
        if isinstance(self.strength.alpha, Observes):
            self.strength.show(scorer, vectors, self.strength.noisy(vectors, self.noise), labels)
        return self.weight * (labels.weight * each).sum() / labels.weight.sum()

    def of_facts(
        self,
        scorer: Scorer,
        head: Float[Tensor, "B D"],
        relation: Float[Tensor, "B W"],
        tail: Float[Tensor, "B D"],
    ) -> Float[Tensor, " B"]:
        """The loss of each fact, without the weight."""
        head, relation, tail = (x.float() if x.dtype.itemsize < 4 else x for x in (head, relation, tail))
        places = [torch.ones(len(head), 1, dtype=torch.bool, device=head.device)]
        if len(self.parts) == 2:
            coin = torch.rand(len(head), 1, device=head.device) < 0.5
            places = [coin, ~coin]
        given: dict[Part, Tensor] = {"head": head, "tail": tail}
        noisy, drawn, strength = given.copy(), torch.zeros_like(head), torch.zeros_like(head[:, :1])
        for part, here in zip(self.parts, places, strict=True):
            noise = self._draw(given[part], here)
            of_part = self.strength.of(given[part], tails=part == "tail") * here
            clean = given[part].detach() if self.detach else given[part]
            noisy[part], drawn, strength = clean + of_part * noise, drawn + noise, strength + of_part
        found = slopes(scorer, noisy["head"], relation, noisy["tail"], self.parts, self.mode == "eval")
        slope = sum((x * here for x, here in zip(found, places, strict=True)), torch.zeros_like(head))
        return self._compared(slope, drawn, strength)

    def _draw(self, like: Float[Tensor, "B D"], here: Bool[Tensor, "B 1"]) -> Float[Tensor, "B D"]:
        if self.closed:
            return torch.zeros_like(like)
        return unit_noise(tuple(like.shape), self.noise, device=like.device, dtype=like.dtype) * here

    def _compared(
        self, slope: Float[Tensor, "B D"], noise: Float[Tensor, "B D"], strength: Float[Tensor, "B 1"]
    ) -> Float[Tensor, " B"]:
        if self.scale == "unit":
            slope, size = strength * slope, torch.ones_like(strength)
        else:
            noise, size = strength * noise, strength.square()
        distance = (slope + noise if self.sign == "back" else slope - noise).square()
        if self.closed:
            distance = distance + size  # the mean of the squared noise
        return distance.mean(1) if self.reduce == "mean" else distance.sum(1)
