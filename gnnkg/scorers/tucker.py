from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Space
from gnnkg.scorers.batch_norm import BatchNorm
from gnnkg.scorers.products import Product
from gnnkg.scorers.spaces import xavier_normal


class TuckER(Product):
    """A bilinear form whose matrices share a core: f(h, r, t) = h^T W(r) t, W(r) = sum_k r_k W_k.

    Balazevic et al., "TuckER: Tensor Factorization for Knowledge Graph Completion", EMNLP 2019. The core, ``relation_dim``
    matrices (None: as many as ``dim``), starts from U(-1, 1). As published the head is normalised (batch norm) and dropped out
    (``input_dropout``), W(r) dropped out (``core_dropout``), and their product normalised and dropped out (``query_dropout``);
    without ``batch_norm`` and dropout, a superdiagonal core is DistMult. Inverse relations are learned. A dropout of W(r) stores
    and draws a matrix a query, (B, D, D): most of a step on CPU, which ``core_dropout=0`` saves.
    """

    curvature = "affine"

    def __init__(
        self,
        dim: int = 200,
        relation_dim: int | None = None,
        input_dropout: float = 0.3,
        core_dropout: float = 0.4,
        query_dropout: float = 0.5,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.space = Space(dim, dim if relation_dim is None else relation_dim, init=xavier_normal)
        self.core = nn.Parameter(torch.empty(self.space.relation_dim, dim, dim).uniform_(-1, 1))
        self.before = nn.Sequential(BatchNorm(dim) if batch_norm else nn.Identity(), nn.Dropout(input_dropout))
        self.core_dropout = nn.Dropout(core_dropout)
        self.after = nn.Sequential(BatchNorm(dim) if batch_norm else nn.Identity(), nn.Dropout(query_dropout))

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        head = self.before(head)
        if self.training and self.core_dropout.p:
            matrix = self.core_dropout(relation @ self.core.flatten(1)).unflatten(1, self.core.shape[1:])  # (B, D, D)
            return self.after(torch.bmm(head.unsqueeze(1), matrix).squeeze(1))
        pairs = (relation.unsqueeze(2) * head.unsqueeze(1)).flatten(1)  # (B, W D), the same without a matrix a query
        return self.after(pairs @ self.core.flatten(0, 1))
