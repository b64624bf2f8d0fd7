from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnnkg.core import Labels, Scorer, Vectors
from gnnkg.ops.matching import Drawn, Mix
from gnnkg.transforms.towards import own_tail, soft


class EMU:
    """Embedding mutation: each negative n takes some components of the positive p, and the soft label ``label``.

        n' = m * n + (1 - m) * p,    m_d ~ Bernoulli(keep) for every component

    Takamoto et al., arXiv 2504.03327. With ``CrossEntropy`` and ``per_negative`` it is the published method; ``keep=1`` is
    unbounded label smoothing alone, ``label=0`` mutation alone. The query's head and relation and the truth column are not
    touched; gradients flow into the copied components unless ``detach_positive``.

    ``masks`` says which pairs share a mask. ``"pair"`` (published): none, one mask for each query and negative. ``"query"``: one
    for each query, shared by its negatives, or ``num_masks`` for the whole batch, each for queries that follow each other, at about
    the cost of no mutation; ``"negative"``: one for each candidate, shared by the queries of its table. The (B, K, D) mutated
    vectors are stored only by scorers that are no sum over components (MLP): masks of pairs are drawn while scores are summed, once
    more for the gradients, each as the product of a random word of the query's and one of the negative's (``gnnkg.ops.matching``).
    ``mask_unit="block"`` mutates complex numbers as a whole; shared masks on RotatE always do, since its modulus joins the halves.
    ``count="exact"`` keeps exactly round(keep * D) components instead of a binomial number; masks of pairs are then stored, and
    the vectors too. An entity's bias (ConvE) is no component: it stays the negative's.

    ``choose`` takes the round((1 - keep) * D) components that matter most in place of random ones, one mask a query:
    ``"gradient"`` those by which the truth's score grows fastest, |df/dp_d|, and ``"variance"`` those in which the
    batch's own tails differ most. The paper leaves open whether such a choice is better; both are ours. Of components that are
    level, to a part in 10,000, random ones are taken: the slopes of L1 distances and of moduli (TransE, RotatE) all are.

    Raises ValueError where the sampler gives no separate truth (1-vs-all) or labels negatives itself (K-vs-all), after another EMU,
    and for labels of 1 or more.
    ``views`` of the vectors are left as they are.
    """

    def __init__(
        self,
        keep: float = 0.39,
        label: float = 0.53,
        masks: Literal["query", "negative", "pair"] = "query",
        mask_unit: Literal["real", "block"] = "real",
        count: Literal["bernoulli", "exact"] = "bernoulli",
        choose: Literal["random", "gradient", "variance"] = "random",
        detach_positive: bool = False,
        num_masks: int | None = None,
    ) -> None:
        if not 0 <= keep <= 1:
            raise ValueError(f"keep is a probability, not {keep}")
        if not 0 <= label < 1:
            raise ValueError(f"label must lie in [0, 1): at 1 negatives are level with the positive; it is {label}")
        if choose != "random" and masks != "query":
            raise ValueError(f"choose={choose!r} gives one mask a query: it needs masks='query', not {masks!r}")
        if num_masks is not None and (num_masks < 1 or masks != "query" or choose != "random"):
            raise ValueError(
                f"num_masks is a number of random masks that queries share (masks='query'), of at least 1; it is {num_masks}, with "
                f"masks={masks!r}, choose={choose!r}"
            )
        self.num_masks = num_masks
        self.keep = keep
        self.label = label
        self.soft = label > 0
        self.masks = masks
        self.mask_unit = mask_unit
        self.count = count
        self.choose = choose
        self.detach_positive = detach_positive

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        own, (num_tables, num_candidates, _) = own_tail(vectors, "EMU"), vectors.candidates.shape
        if self.detach_positive:
            own = own.detach()
        labels = soft(labels, torch.full((1, num_candidates), self.label, device=own.device, dtype=own.dtype), "EMU")
        if self.keep == 1:
            return vectors, labels
        if self.choose != "random":
            return vectors.replace(mix=Mix(own, self._chosen(scorer, vectors))), labels
        if self.masks != "pair":
            number = len(own) if self.num_masks is None else min(self.num_masks, len(own))
            shape = (number,) if self.masks == "query" else (num_tables, num_candidates)
            return vectors.replace(mix=Mix(own, self._mask(shape, scorer, own))), labels
        if self.count == "bernoulli":
            form = "block" if self._block(scorer) else "both"
            drawn = Drawn(self.keep, int(torch.randint(2**62, ())), form, scorer.space.biases)
            return vectors.replace(mix=Mix(own, drawn)), labels
        mask = self._mask((len(own), num_candidates), scorer, own)
        each = vectors.tail.repeat_interleave(len(own) // num_tables, 0)
        return vectors.replace(candidates=torch.lerp(own.unsqueeze(1), each, mask)), labels

    def _block(self, scorer: Scorer) -> bool:
        """Whether the two halves of a complex number share their mask."""
        space = scorer.space
        return space.complex and (self.mask_unit == "block" or (space.joined and self.masks != "pair"))

    def _mask(self, shape: tuple[int, ...], scorer: Scorer, like: Tensor) -> Float[Tensor, "*shape D"]:
        block, biases = self._block(scorer), scorer.space.biases
        width = like.shape[-1] // 2 if block else like.shape[-1] - biases
        if self.count == "bernoulli":
            mask = torch.empty(*shape, width, device=like.device, dtype=like.dtype).bernoulli_(self.keep)
        else:
            order = torch.rand(*shape, width, device=like.device).argsort(-1).argsort(-1)
            mask = (order < round(self.keep * width)).to(like.dtype)
        return _whole(mask, block, biases)

    def _chosen(self, scorer: Scorer, vectors: Vectors) -> Float[Tensor, "B D"]:
        """0 for the components that matter most."""
        own = vectors.own
        assert own is not None
        if self.choose == "variance":
            matters = own.detach().var(0, correction=0).expand_as(own)
        else:
            with torch.enable_grad():
                leaf = own.detach().requires_grad_()
                truth = Vectors(vectors.head.detach(), vectors.relation.detach(), leaf.unsqueeze(1))
                (slope,) = torch.autograd.grad(scorer(truth).sum(), leaf)
            matters = slope.square()
        block, biases = self._block(scorer), scorer.space.biases
        if block:
            re, im = matters.chunk(2, -1)
            matters = re + im
        matters = matters[:, : matters.shape[1] - biases]
        matters = matters * (1 + 1e-4 * torch.rand_like(matters))  # no order among what is level
        order = matters.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        mask = (order >= round((1 - self.keep) * matters.shape[-1])).to(own.dtype)
        return _whole(mask, block, biases)


def _whole(mask: Float[Tensor, "*shape U"], block: bool, biases: int) -> Float[Tensor, "*shape D"]:
    """A mask of all components: of both halves of complex numbers, and of biases, which it keeps."""
    if block:
        return torch.cat([mask, mask], dim=-1)
    return functional.pad(mask, (0, biases), value=1.0) if biases else mask
