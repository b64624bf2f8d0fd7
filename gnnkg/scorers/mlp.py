from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Scorer, Space
from gnnkg.ops.matching import Mix, mutated
from gnnkg.scorers.spaces import uniform


class MLP(Scorer):
    """A network of two layers on the joined vectors: f(h, r, t) = v . relu(A [h; r; t] + a) + c.

    Dong et al., "Knowledge Vault", KDD 2014. With ``reads_head=False`` it scores [t; r], as NBFNet does, whose tail vectors know
    the head already (Zhu et al., NeurIPS 2021). Inverse relations are learned. No sum over components: candidates that EMU
    mutates are stored, (B, K, D).
    """

    def __init__(self, dim: int = 32, hidden_dim: int = 64, reads_head: bool = True) -> None:
        super().__init__()
        if hidden_dim < 1:
            raise ValueError(f"hidden_dim must be at least 1, not {hidden_dim}")
        self.space = Space(dim, dim, init=uniform(1.0))
        self.reads_head = reads_head
        self.of_query = nn.Linear(2 * dim if reads_head else dim, hidden_dim)
        self.of_tail = nn.Linear(dim, hidden_dim, bias=False)
        self.out = nn.Linear(hidden_dim, 1)
        bound = (dim * (3 if reads_head else 2)) ** -0.5  # as one layer on the joined vector would start
        for parameter in (*self.of_query.parameters(), *self.of_tail.parameters()):
            nn.init.uniform_(parameter, -bound, bound)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        return self.of_query(torch.cat([head, relation], 1) if self.reads_head else relation)

    def match(
        self, query: Float[Tensor, "B Q"], tail: Float[Tensor, "S K D"], mix: Mix | None = None
    ) -> Float[Tensor, "B K"]:
        grouped = query.view(len(tail), -1, 1, query.shape[1])  # (S, B/S, 1, Q)
        candidates = tail.unsqueeze(1) if mix is None else mutated(tail, mix)  # (S, 1 or B/S, K, D)
        scores = self.out(torch.relu(grouped + self.of_tail(candidates))).squeeze(-1)
        return scores.view(len(query), -1)
