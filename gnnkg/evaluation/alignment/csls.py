from __future__ import annotations

import torch

from gnnkg.evaluation.alignment.correction import Correction
from gnnkg.evaluation.alignment.similarity import Similarity


@torch.no_grad()
def csls(similarity: Similarity, k: int = 3) -> Correction:
    """Cross-domain similarity local scaling: an entity that is near to many is less similar to each.

        s'_ij = 2 s_ij - r_i - r_j,    r: the mean similarity to the k nearest on the other side (all, where there are fewer)

    Lample et al., "Word translation without parallel data", ICLR 2018. Two passes over the similarities. Raises ValueError for a k
    below 1.
    """
    if k < 1:
        raise ValueError(f"CSLS looks at the k >= 1 nearest neighbours, not {k}")
    num_right = similarity.shape[1]
    nearest_right, best = [], None
    for block in similarity.blocks():
        nearest_right.append(block.scores.topk(min(k, num_right), dim=1).values.mean(1))
        seen = block.scores if best is None else torch.cat([best, block.scores])
        best = seen.topk(min(k, len(seen)), dim=0).values
    assert best is not None
    return Correction(similarity, 2.0, torch.cat(nearest_right), best.mean(0))
