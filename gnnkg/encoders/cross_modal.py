"""Attention among the modalities of one entity. A modality that an entity lacks is attended to by none."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-12
"""of the layer norms, as published"""


class CrossModalAttention(nn.Module):
    """How much modality j of an entity attends to modality m, in each head: beta = dropout(softmax_m(q_j . k_m / sqrt(D / H))).

    Keys have no bias: it would add the same to every q_j . k_m of a row, which a softmax does not see.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            fitting = [str(number) for number in range(1, min(dim, 16) + 1) if dim % number == 0]
            raise ValueError(
                f"num_heads must divide the width of the scorer's entity vectors, {dim} (of ConvE dim + 1), as "
                f"{', '.join(fitting)} do, and {num_heads} does not"
            )
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "X M D"], has: Bool[Tensor, "X M"]) -> Float[Tensor, "X H M M"]:
        query, key = (part(tokens).unflatten(2, (self.num_heads, -1)) for part in (self.query, self.key))
        logits = torch.einsum("xjhd,xmhd->xhjm", query, key) / math.sqrt(query.shape[3])
        return self.dropout(torch.softmax(logits.masked_fill(~has[:, None, None, :], -torch.inf), dim=3))


class CrossModalLayer(nn.Module):
    """One post-norm transformer layer over the modalities of an entity: no positions, no types, nothing else in the sequence.

    x' = LayerNorm(x + dropout(W_o concat_heads(beta V)));   x'' = LayerNorm(x' + dropout(W_2 GELU(W_1 x'))) if hidden_dim
    """

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = CrossModalAttention(dim, num_heads, dropout)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.inner = nn.Linear(dim, hidden_dim) if hidden_dim else None
        self.outer = nn.Linear(hidden_dim, dim) if hidden_dim else None
        self.last_norm = nn.LayerNorm(dim, EPSILON) if hidden_dim else None

    def forward(
        self, tokens: Float[Tensor, "X M D"], has: Bool[Tensor, "X M"]
    ) -> tuple[Float[Tensor, "X M D"], Float[Tensor, "X H M M"]]:
        beta = self.attention(tokens, has)
        value = self.value(tokens).unflatten(2, (beta.shape[1], -1))
        mixed = torch.einsum("xhjm,xmhd->xjhd", beta, value).flatten(2)
        tokens = self.norm(tokens + self.dropout(self.output(mixed)))
        if self.inner is not None and self.outer is not None and self.last_norm is not None:
            tokens = self.last_norm(tokens + self.dropout(self.outer(functional.gelu(self.inner(tokens)))))
        return tokens, beta


def instance_confidence(beta: Float[Tensor, "X H M M"], has: Bool[Tensor, "X M"]) -> Float[Tensor, "X M"]:
    """How far each modality of an entity is trusted: by how much its modalities attend to it.

        w_m = softmax_m( (1 / sqrt(|M| H)) sum_heads sum_j beta[head, j, m] )      over the |M| modalities that the entity has

    Column sums: the sums of rows, as the paper's indices read, are 1 for every modality.
    """
    column = (beta * has[:, None, :, None]).sum((1, 2))
    scale = (has.sum(1, keepdim=True) * beta.shape[1]).to(beta.dtype).sqrt()
    return torch.softmax((column / scale).masked_fill(~has, -torch.inf), dim=1)
