from __future__ import annotations

import torch

from gnnkg.core import Blend, Labels, Scorer, Vectors
from gnnkg.transforms.towards import own_tail, soft


class Mixup:
    """Interpolation: each negative n moves towards the positive p, all components alike, and takes the soft label 1 - m.

        n' = m * n + (1 - m) * p,    m ~ Beta(2, 1) for every query and negative: 2/3 on average

    The ablation that EMU (Takamoto et al., arXiv 2504.03327) is compared with; Zhang et al., "mixup", ICLR 2018. ``label`` is one
    soft label for all negatives instead. The query's head and relation and the truth column are not touched; gradients flow into
    the positive. Where scores are linear in the candidate, the scores are mixed; elsewhere the vectors, phases on the
    circle. These are stored, (B, K, D), unless they are rows of a table that the scorer reads in place.

    Raises ValueError where the sampler gives no separate truth (1-vs-all) or labels negatives itself (K-vs-all), after another
    method, and for labels of 1 or more.
    ``views`` of the vectors are left as they are.
    """

    def __init__(self, label: float | None = None) -> None:
        if label is not None and not 0 <= label < 1:
            raise ValueError(f"label must lie in [0, 1): at 1 negatives are level with the positive; it is {label}")
        self.label = label
        self.soft = label != 0

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        own = own_tail(vectors, "Mixup")
        num_candidates = vectors.candidates.shape[1]
        keep = torch.rand(len(own), num_candidates, device=own.device, dtype=own.dtype).sqrt()  # Beta(2, 1)
        value = 1 - keep if self.label is None else torch.full_like(keep, self.label)
        columns = torch.arange(1 + keep.shape[1], device=own.device)
        share = torch.cat([torch.ones_like(keep[:, :1]), keep], 1)
        blend = Blend(columns, torch.zeros_like(share, dtype=torch.int64), share)
        return vectors.replace(blend=blend), soft(labels, value, "Mixup")
