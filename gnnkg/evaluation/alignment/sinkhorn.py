from __future__ import annotations

import torch

from gnnkg.evaluation.alignment.correction import Correction
from gnnkg.evaluation.alignment.similarity import Similarity


@torch.no_grad()
def sinkhorn(similarity: Similarity, temperature: float = 0.02, iterations: int = 10) -> Correction:
    """The logarithm of the transport plan between the two sides: every entity gives away the same mass, and takes the same.

        s'_ij = s_ij / temperature - u_i - v_j,    such that sum_j exp(s'_ij) = 1 and sum_i exp(s'_ij) = N / M

    Rows and columns are normalised in turn, in logarithms, so that a low temperature neither overflows nor vanishes (Cuturi,
    "Sinkhorn distances", NeurIPS 2013; for alignment Mao et al., "From alignment to assignment", EMNLP 2021). The columns come
    last. It assumes that every entity has a partner among the candidates: where many have none, CSLS assumes less.

    One pass over the similarities an iteration. Raises ValueError for a temperature that is not above 0 or no iteration.
    """
    if temperature <= 0 or iterations < 1:
        raise ValueError(f"Sinkhorn needs a temperature above 0 and an iteration, not {temperature} and {iterations}")
    num_left, num_right = similarity.shape
    device = similarity.left.device
    left, right = torch.zeros(num_left, device=device), torch.zeros(num_right, device=device)
    mass = torch.tensor(num_left / num_right, device=device).log()
    for _ in range(iterations):
        columns = torch.full_like(right, -torch.inf)
        for block in similarity.blocks():
            logits = block.scores / temperature
            left[block.rows] = (logits - right).logsumexp(1)
            columns = torch.logaddexp(columns, logits.sub_(left[block.rows].unsqueeze(1)).logsumexp(0))
        right = columns - mass
    return Correction(similarity, 1 / temperature, left, right)
