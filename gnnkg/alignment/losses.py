from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gnnkg.alignment.encoder import Views


def contrastive_alignment_loss(
    left: Float[Tensor, "B D"],
    right: Float[Tensor, "B D"],
    weight: Float[Tensor, " B"] | None = None,
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """InfoNCE over aligned pairs: each row's partner against the other pairs' entities of both graphs, both ways, by cosine.

        -log exp(a_i b_i / tau) / ( sum_j exp(a_i b_j / tau) + sum_{j != i} exp(a_i a_j / tau) )

    and the same from b to a, each counting half (Lin et al., "Multi-modal contrastive representation learning for entity
    alignment", COLING 2022). A pair of weight 0 adds no loss of its own, and is still a rival of the others.
    """
    left, right = functional.normalize(left, dim=1), functional.normalize(right, dim=1)
    itself = torch.eye(len(left), dtype=torch.bool, device=left.device)
    across = left @ right.T / temperature
    truth = torch.arange(len(left), device=left.device)
    losses = []
    for own, to_other in ((left, across), (right, across.T)):
        within = (own @ own.T / temperature).masked_fill(itself, -torch.inf)
        losses.append(functional.cross_entropy(torch.cat([to_other, within], 1), truth, reduction="none"))
    loss = (losses[0] + losses[1]) / 2
    return loss.mean() if weight is None else (loss * weight).mean()


class UncertaintyWeighting(nn.Module):
    """Losses of several kinds, weighed by what is learned of their noise.

        sum_m exp(-s_m) L_m + s_m,    s from 0

    Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018. Losses that are not given take no
    part, and their s stays.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.log_variance = nn.Parameter(torch.zeros(len(self.names)))

    def forward(self, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        terms = [(self.log_variance[self.names.index(name)], loss) for name, loss in losses.items()]
        return torch.stack([(-s).exp() * loss + s for s, loss in terms]).sum()


class AlignmentObjective(nn.Module):
    """The losses of SNAG on a batch of aligned pairs (arXiv 2403.06832, after MEAformer).

        GMI    icl of the joint vectors, by global weights and, where an encoder gives confidence, by that too
        ECIA   icl of each modality, weighed by M * confidence (the smaller of a pair's two), summed by uncertainty
        IIR    icl of each modality after fusion, where an encoder fuses, with the same uncertainties

    M is how many modalities an entity has. Without ``confidence`` all entities are weighed alike. A pair of which one lacks a
    modality adds nothing to ECIA and IIR of it. Raises ValueError where no loss is chosen.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        temperature: float = 0.1,
        gmi: bool = True,
        ecia: bool = True,
        iir: bool = True,
        confidence: bool = True,
    ) -> None:
        super().__init__()
        if not gmi and not ecia and not iir:
            raise ValueError("an objective needs at least one of gmi, ecia and iir")
        self.temperature = temperature
        self.gmi, self.ecia, self.iir, self.confidence = gmi, ecia, iir, confidence
        self.uncertainty = UncertaintyWeighting(modalities)

    @property
    def needs_fusion(self) -> bool:
        """Whether it reads what an encoder's fusion gives."""
        return self.iir or self.confidence

    def forward(self, left: Views, right: Views) -> dict[str, Float[Tensor, ""]]:
        losses = {}
        if self.gmi:
            losses["gmi"] = self._icl(left.joint(), right.joint())
            if self.confidence and left.confidence is not None:
                losses["gmi"] = losses["gmi"] + self._icl(left.joint(True), right.joint(True))
        both = (left.has & right.has).to(left.weight.dtype)
        if self.ecia:
            weight = both
            if self.confidence and left.confidence is not None and right.confidence is not None:
                trust = [left.confidence, right.confidence]
                counts = [side.has.sum(1, keepdim=True) for side in (left, right)]
                weight = torch.minimum(trust[0] * counts[0], trust[1] * counts[1])
            losses["ecia"] = self._each(left.modalities, right.modalities, weight)
        if self.iir and left.hidden is not None and right.hidden is not None:
            losses["iir"] = self._each(left.hidden, right.hidden, both)
        return losses

    def _icl(self, left: Tensor, right: Tensor, weight: Tensor | None = None) -> Tensor:
        return contrastive_alignment_loss(left, right, weight, self.temperature)

    def _each(self, left: Mapping[str, Tensor], right: Mapping[str, Tensor], weight: Tensor) -> Tensor:
        named = zip(left, weight.unbind(1), strict=True)
        return self.uncertainty({name: self._icl(left[name], right[name], column) for name, column in named})
