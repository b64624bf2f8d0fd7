"""The modalities of some entities, made into one vector each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnkg.encoders.cross_modal import CrossModalAttention, CrossModalLayer, instance_confidence
from gnnkg.encoders.read_outs import Reader, ReadOut


class Fused(NamedTuple):
    """What fusion gives for X entities."""

    vectors: Float[Tensor, "X D"]
    hidden: Float[Tensor, "X M D"]
    """the modalities after the transformer; before it, where the read-out does not want them"""
    confidence: Float[Tensor, "X M"]


class Fusion(nn.Module):
    """The cross-modal transformer with its read-out.

    The read-out "weight" reads the attention of the last layer and not what the layer makes of the tokens: that part is left out.
    """

    def __init__(
        self,
        read_out: ReadOut,
        num_modalities: int,
        dim: int,
        num_heads: int,
        num_layers: int,
        hidden_dim: int,
        dropout: float,
        tanh: bool,
        pace: float = 1.0,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"fusion_layers must be at least 1, not {num_layers}")
        whole = num_layers - 1 if read_out == "weight" else num_layers
        self.layers = nn.ModuleList(CrossModalLayer(dim, num_heads, hidden_dim, dropout) for _ in range(whole))
        self.last = CrossModalAttention(dim, num_heads, dropout) if read_out == "weight" else None
        self.reader = Reader(read_out, num_modalities, dim, pace)
        self.tanh = tanh

    def forward(self, tokens: Float[Tensor, "X M D"], has: Bool[Tensor, "X M"]) -> Fused:
        """``has``: which modalities an entity has, at least one each."""
        hidden = tokens.tanh() if self.tanh else tokens
        beta = None
        for layer in self.layers:
            hidden, beta = layer(hidden, has)
        if self.last is not None:
            beta = self.last(hidden, has)
        assert beta is not None
        confidence = instance_confidence(beta, has)
        return Fused(self.reader(tokens, hidden, confidence, has), hidden, confidence)


class RelationGate(nn.Module):
    """Lets the relation that is asked about say which modalities of the head count: e + sum_m tanh((G r)_m) z_m.

    Candidates are shared by queries of all relations and stay as they are. G starts at 0: no relation changes anything.
    """

    def __init__(self, relation_dim: int, num_modalities: int) -> None:
        super().__init__()
        self.gate = nn.Linear(relation_dim, num_modalities, bias=False)
        nn.init.zeros_(self.gate.weight)

    def forward(self, relation: Float[Tensor, "B W"], head: Fused, has: Bool[Tensor, "B M"]) -> Float[Tensor, "B D"]:
        share = torch.where(has, self.gate(relation).tanh(), 0)
        return head.vectors + torch.einsum("xm,xmd->xd", share, head.hidden)
