from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Space
from gnnkg.scorers.products import Product


class RESCAL(Product):
    """A full bilinear form a relation: f(h, r, t) = h^T W_r t.

    Nickel et al., "A Three-Way Model for Collective Learning on Multi-Relational Data", ICML 2011. A relation vector is W_r
    row by row, dim * dim wide; its inverse is the transpose. Entities and relations start from N(0, ``std``).
    """

    curvature = "affine"

    def __init__(self, dim: int = 100, std: float = 0.1225) -> None:
        super().__init__()
        self.dim = dim

        def init(entity: Tensor, relation: Tensor) -> None:
            nn.init.normal_(entity, std=std)
            nn.init.normal_(relation, std=std)

        self.space = Space(dim, dim * dim, init=init, inverse=self._transpose)

    def _transpose(self, relation: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
        return relation.reshape(-1, self.dim, self.dim).transpose(1, 2).flatten(1)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        return torch.bmm(head.unsqueeze(1), relation.reshape(-1, self.dim, self.dim)).squeeze(1)
