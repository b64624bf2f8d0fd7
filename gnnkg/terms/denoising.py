from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal
from weakref import WeakSet

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Batch, Encoder, Labels, Lookup, Model, Scorer, Vectors
from gnnkg.graph import KnowledgeGraph
from gnnkg.inputs import from_boundary, input_table
from gnnkg.noise import Family, entity_vectors, unit_noise
from gnnkg.strength import Alpha, HoldWins, Observes, Strength
from gnnkg.terms.input_slope import boundary_slopes, table_slopes
from gnnkg.terms.slope import Part, refuse_untrainable, slopes

READ: dict[str, tuple[Part, ...]] = {"head": ("head",), "tail": ("tail",), "alternate": ("head", "tail")}
"""the vectors with noise, where they are what a scorer reads; the other parts lie before message passing"""


class Denoising(nn.Module):
    """Denoising score matching on the query's entity: the gradient of a noisy fact's score shall point back to the clean one.

        L = weight * mean over facts of (1/D) || s * grad f(h + s u, r, t) + u ||^2,    s = alpha * sigma,  u ~ unit noise

    Song et al., "Robust Knowledge Graph Embedding via Denoising", ESWC 2026, arXiv 2505.18171 (RKGE-D); add it to any term that
    trains on clean vectors. f is the score of the batch's own facts, differentiated twice. With ``part`` "head" that is the scorer
    alone, so the encoder may be any; of a GNN the noise is on its output. For scores that are affine in h (DistMult, ComplEx) this
    is a penalty on the gradient, (s^2/D) ||grad f||^2 + 1 in the mean over u. ``closed`` takes that formula, at the clean vectors
    and without noise, for any scorer. Of a piecewise linear scorer (ReLU) it trains the weights and no vector. ``weight=0`` draws
    nothing and leaves a training what it is, bitwise.

    The paper leaves open: ``divisor``, ``quantile``, ``per_entity``, ``sigma``, ``refresh`` and schedules as ``alpha``, see
    ``Strength``. ``sign``: the target -u, or +u (the wrong one, for ablation). ``scale="raw"`` compares the gradient with h - h~
    itself, s u in place of u. ``reduce="sum"`` leaves out the 1/D. ``part``: the vector with noise; ``"alternate"`` tosses a coin
    for each fact, for training without inverse queries. ``detach`` keeps the gradient from the perturbed vector itself.
    ``mode="train"`` leaves batch norms and dropout as in training, which joins the rows of a batch.

    Two parts lie before message passing, and sigma is theirs. ``"boundary"``: the vector of the query that NBFNet starts from.
    ``"table"``: the free vectors of all entities that CompGCN or RGCN read; h above is then the whole table, of N D components,
    with one draw of noise for a batch, and the squares are estimated without bias, see ``table_slopes``. They encode the batch's
    graph once more, by the definition of message passing in plain torch, as the fused one cannot be differentiated twice: it takes
    a vector for each edge (with NBFNet and each query) and layer, in time and memory. ``facts`` takes so many facts of each batch,
    at random.

    Raises ValueError for a scorer with nothing to train: one that does not read the part (``MLP(reads_head=False)``, as under
    NBFNet), or whose gradient is constant almost everywhere (``TransE`` with p=1); and for an encoder that has not the part.
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
        part: Literal["head", "tail", "alternate", "boundary", "table"] = "head",
        sign: Literal["back", "forward"] = "back",
        scale: Literal["unit", "raw"] = "unit",
        reduce: Literal["mean", "sum"] = "mean",
        detach: bool = False,
        mode: Literal["eval", "train"] = "eval",
        closed: bool = False,
        facts: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight must be at least 0, not {weight}")
        if isinstance(alpha, HoldWins) and (part != "head" or closed):
            raise ValueError("HoldWins watches noise on the head: it needs part='head' and closed=False")
        if facts is not None and (facts < 1 or part in READ):
            raise ValueError(
                f"facts is at least 1, and goes with the parts boundary and table; it is {facts}, with {part}"
            )
        if part not in READ and detach:
            raise ValueError(f"detach is of what a scorer reads: it does not go with part={part!r}")
        if part == "boundary" and per_entity:
            raise ValueError(
                "no entity has a boundary of its own: noise on it has one sigma for all, not one an entity"
            )
        self.weight = weight
        self.strength = Strength(alpha, divisor, quantile, per_entity, sigma, refresh)
        self.noise: Family = noise
        self.part = part
        self.parts = READ.get(part, ())
        self.sign = sign
        self.scale = scale
        self.reduce = reduce
        self.detach = detach
        self.mode = mode
        self.closed = closed
        self.facts = facts
        self._trainable: WeakSet[Scorer] = WeakSet()
        self._batch: Batch | None = None

    def before_epoch(self, epoch: int) -> None:
        self.strength.before_epoch(epoch)

    def before_batch(self, batch: Batch, encode: Callable[[], Lookup]) -> None:
        if self.weight:
            self._batch = batch
            self.strength.before_batch(batch, lambda: self._vectors(batch, encode))

    def _vectors(self, batch: Batch, encode: Callable[[], Lookup]) -> Float[Tensor, "X D"]:
        """Those that sigma is of."""
        if self.parts:
            return entity_vectors(encode(), batch.head.device)
        _, encoder, graph = _shown(batch)
        return from_boundary(encoder, graph).boundaries if self.part == "boundary" else input_table(encoder)

    def forward(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, ""]:
        if not self.weight:
            return labels.weight.new_zeros(())
        if not self.parts:
            return self.weight * self._before_messages(scorer, labels.weight)
        each = self._of_vectors(scorer, vectors, labels)
        return self.weight * (labels.weight * each).sum() / labels.weight.sum()

    def _of_vectors(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, " B"]:
        if scorer not in self._trainable:
            for part in self.parts:
                refuse_untrainable(scorer, part)
            self._trainable.add(scorer)
        each = self.of_facts(scorer, vectors.head, vectors.relation, vectors.truth(labels))
        if isinstance(self.strength.alpha, Observes):
            self.strength.show(scorer, vectors, self.strength.noisy(vectors, self.noise), labels)
        return each

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
            noise = self._draw(given[part]) * here
            of_part = self.strength.of(given[part], tails=part == "tail") * here
            clean = given[part].detach() if self.detach else given[part]
            noisy[part], drawn, strength = clean + of_part * noise, drawn + noise, strength + of_part
        found = slopes(scorer, noisy["head"], relation, noisy["tail"], self.parts, self.mode == "eval")
        slope = sum((x * here for x, here in zip(found, places, strict=True)), torch.zeros_like(head))
        return self._reduced(self._distance(slope, drawn, strength))

    def _before_messages(self, scorer: Scorer, weight: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """The mean over the batch's facts, or over those that are drawn of them."""
        batch, encoder, graph = _shown(self._batch)
        every = torch.arange(len(weight), device=weight.device)
        rows = every if self.facts is None else every[torch.randperm(len(weight))[: self.facts]]
        taken = {name: getattr(batch, name)[rows] for name in ("head", "relation", "tail", "weight")}
        asked, model = replace(batch, **taken), Model(encoder, scorer)
        share = weight[rows] / weight[rows].sum()
        if self.part == "table":
            return self._of_table(model, graph, asked, share)
        like = from_boundary(encoder, graph).boundaries[batch.relation]
        strength, noise = self.strength.of(like).expand(len(like), 1)[rows], self._draw(like[rows])
        slope = boundary_slopes(model, graph, asked, strength * noise, self.mode == "eval")
        return (share * self._reduced(self._distance(slope, noise, strength))).sum()

    def _of_table(
        self, model: Model, graph: KnowledgeGraph, asked: Batch, share: Float[Tensor, " B"]
    ) -> Float[Tensor, ""]:
        table = input_table(model.encoder)
        strength, noise = self.strength.of_table(asked, table), self._draw(table)
        along, across = table_slopes(model, graph, asked, strength * noise, share, self.mode == "eval")
        # the square multiplied out: of the slope, which is estimated, of both, and what is left where there is no slope
        square = (strength * across if self.scale == "unit" else across).square()
        both = 2 * strength * noise * (along if self.sign == "back" else -along)
        distance = square + both + self._distance(torch.zeros_like(noise), noise, strength)
        return self._reduced(distance.reshape(1, -1))[0]

    def _draw(self, like: Float[Tensor, "X D"]) -> Float[Tensor, "X D"]:
        if self.closed:
            return torch.zeros_like(like)
        return unit_noise(tuple(like.shape), self.noise, device=like.device, dtype=like.dtype)

    def _distance(
        self, slope: Float[Tensor, "X D"], noise: Float[Tensor, "X D"], strength: Float[Tensor, "#X 1"]
    ) -> Float[Tensor, "X D"]:
        """The squares of the comparison, component by component."""
        if self.scale == "unit":
            slope, size = strength * slope, torch.ones_like(strength)
        else:
            noise, size = strength * noise, strength.square()
        distance = (slope + noise if self.sign == "back" else slope - noise).square()
        return distance + size if self.closed else distance  # the mean of the squared noise

    def _reduced(self, distance: Float[Tensor, "X D"]) -> Float[Tensor, " X"]:
        return distance.mean(1) if self.reduce == "mean" else distance.sum(1)


def _shown(batch: Batch | None) -> tuple[Batch, Encoder, KnowledgeGraph]:
    if batch is None or batch.source is None:
        raise ValueError(
            "noise before message passing encodes again: train through an Objective, which shows the encoder"
        )
    return batch, *batch.source
