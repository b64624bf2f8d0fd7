"""From the modalities of an entity to one vector."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

ReadOut = Literal["graph", "mean", "weight", "attention", "learnable", "concat", "residual"]


class Reader(nn.Module):
    """One vector an entity, of its tokens x_m, what the transformer made of them, z_m, and their confidence w_m.

        graph      z of the structure              attention   sum_m softmax_m(a . tanh(z_m)) z_m
        mean       mean_m z_m                      learnable   sum_m softmax_m(g_m) z_m,   g starts at 1
        weight     sum_m w_m x_m                   concat      W [z_1; z_2; ...] + b
        residual   x of the structure + pace * a * mean of the other z_m,   a (one number a component) starts at 0

    Modalities that an entity lacks take no part: sums, means and softmaxes are over those that it has, and ``concat`` reads zeros.
    ``residual``, which is not in the papers, begins as the structure alone and leaves its vectors free of the layer norms that
    end every z_m: for scorers and penalties to which lengths matter (ComplEx with N3). What all entities share is moved by every
    query, and would be learned long before, and in place of, what each entity has alone: ``pace`` says by how much less a step of
    Adam moves it. The more facts an entity has, the smaller a pace suits.
    """

    def __init__(self, kind: ReadOut, num_modalities: int, dim: int, pace: float = 1.0) -> None:
        super().__init__()
        self.kind: ReadOut = kind
        self.pace = pace
        self.direction = nn.Parameter(torch.empty(dim)) if kind == "attention" else None
        self.share = nn.Parameter(torch.ones(num_modalities)) if kind == "learnable" else None
        self.linear = nn.Linear(num_modalities * dim, dim) if kind == "concat" else None
        self.scale = nn.Parameter(torch.zeros(dim)) if kind == "residual" else None
        if self.direction is not None:
            nn.init.normal_(self.direction, std=dim**-0.5)

    def forward(
        self,
        tokens: Float[Tensor, "X M D"],
        hidden: Float[Tensor, "X M D"],
        confidence: Float[Tensor, "X M"],
        has: Bool[Tensor, "X M"],
    ) -> Float[Tensor, "X D"]:
        if self.kind == "graph":
            return hidden[:, 0]
        if self.kind == "weight":
            return weighted(confidence, tokens)
        if self.scale is not None:
            others = has[:, 1:].to(hidden)
            mean = weighted(others / others.sum(1, keepdim=True).clamp(min=1), hidden[:, 1:])
            return torch.where(has[:, :1], tokens[:, 0], 0) + self.pace * self.scale * mean
        if self.linear is not None:
            return self.linear(torch.where(has.unsqueeze(2), hidden, 0).flatten(1))
        if self.direction is not None:
            logits = hidden.tanh() @ self.direction
        elif self.share is not None:
            logits = self.share.expand(has.shape)
        else:
            logits = torch.zeros_like(confidence)
        return weighted(shares(logits, has), hidden)


def shares(logits: Float[Tensor, "X M"], has: Bool[Tensor, "X M"]) -> Float[Tensor, "X M"]:
    """A softmax over the modalities that an entity has."""
    return torch.softmax(logits.masked_fill(~has, -torch.inf), dim=1)


def weighted(share: Float[Tensor, "X M"], tokens: Float[Tensor, "X M D"]) -> Float[Tensor, "X D"]:
    return torch.einsum("xm,xmd->xd", share, tokens)
