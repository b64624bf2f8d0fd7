"""Attention among modalities, confidence and read-outs: invariants, and an oracle written entity by entity."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch.testing import assert_close

from gnnkg.encoders.cross_modal import CrossModalLayer, instance_confidence
from gnnkg.encoders.fusion import Fusion
from gnnkg.encoders.read_outs import ReadOut

KINDS = get_args(ReadOut)
HAS = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [True, True, False]])


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(4, 3, 6, dtype=torch.float64)


def fusion(kind: ReadOut, num_layers: int = 1, hidden_dim: int = 0) -> Fusion:
    return Fusion(kind, 3, 6, 2, num_layers, hidden_dim, 0.1, tanh=True, pace=0.5).double().eval()


def plain_layer(layer: CrossModalLayer, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer for one entity, (M, D), head by head, as the formulas stand."""
    q, k, v = layer.attention.query(x), layer.attention.key(x), layer.value(x)
    heads, betas = [], []
    for part in torch.arange(x.shape[1]).chunk(layer.attention.num_heads):
        beta = torch.softmax(q[:, part] @ k[:, part].T / math.sqrt(len(part)), dim=1)
        heads.append(beta @ v[:, part])
        betas.append(beta)
    y = layer.norm(x + layer.output(torch.cat(heads, 1)))
    if layer.inner is not None:
        y = layer.last_norm(y + layer.outer(torch.nn.functional.gelu(layer.inner(y))))
    return y, torch.stack(betas)


@pytest.mark.parametrize("hidden_dim", [0, 5])
def test_a_layer_is_what_it_is_for_one_entity_with_what_it_has(tokens, hidden_dim):
    layer = CrossModalLayer(6, 2, hidden_dim, 0.1).double().eval()
    hidden, beta = layer(tokens, HAS)
    for row, has in enumerate(HAS):
        ours, theirs = hidden[row, has], plain_layer(layer, tokens[row, has])
        assert_close(ours, theirs[0])
        assert_close(beta[row][:, has][:, :, has], theirs[1])
        confidence = torch.softmax(theirs[1].sum((0, 1)) / math.sqrt(2 * int(has.sum())), 0)
        assert_close(instance_confidence(beta, HAS)[row, has], confidence)
    assert (beta.transpose(2, 3)[~HAS.unsqueeze(1).expand(4, 2, 3)] == 0).all()


def test_confidence_sums_to_one_and_uniform_attention_trusts_all_alike():
    has = HAS.clone()
    uniform = has[:, None, None, :].expand(4, 2, 3, 3) / has.sum(1)[:, None, None, None]
    confidence = instance_confidence(uniform, has)
    assert_close(confidence, has / has.sum(1, keepdim=True))
    drawn = torch.softmax(torch.randn(4, 2, 3, 3).masked_fill(~has[:, None, None, :], -torch.inf), 3)
    assert_close(instance_confidence(drawn, has).sum(1), torch.ones(4))


def test_confidence_is_how_much_the_others_attend_by_hand():
    beta = torch.tensor([[[[0.9, 0.1], [0.8, 0.2]]]])  # columns 1.7 and 0.3, over sqrt(2)
    first = 1 / (1 + math.exp(-1.4 / math.sqrt(2)))
    assert_close(instance_confidence(beta, torch.ones(1, 2, dtype=torch.bool)), torch.tensor([[first, 1 - first]]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_there_are_no_positions(tokens, kind, num_layers):
    """Modalities in another order: confidence follows, and what treats all alike stays."""
    order = torch.tensor([0, 2, 1])  # the structure stays first, for the read-out "graph"
    fuse = fusion(kind, num_layers, hidden_dim=4)
    one, two = fuse(tokens, HAS), fuse(tokens[:, order], HAS[:, order])
    assert_close(two.confidence, one.confidence[:, order])
    if kind != "concat":
        assert_close(two.vectors, one.vectors)
    else:
        assert not torch.allclose(two.vectors, one.vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_in_a_missing_modality_is_not_read(tokens, kind):
    fuse = fusion(kind, num_layers=2)
    has = HAS | torch.tensor(
        [True, False, False]
    )  # the read-out "graph" reads the first token, which stands for a query
    other = torch.where(has.unsqueeze(2), tokens, 1e3 * torch.randn_like(tokens))
    one, two = fuse(tokens, has), fuse(other, has)
    assert_close(one.vectors, two.vectors, rtol=0, atol=0)
    assert_close(one.confidence, two.confidence, rtol=0, atol=0)
    assert (one.confidence[~has] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_read_outs_by_their_formulas(tokens, kind):
    fuse = fusion(kind)
    if fuse.reader.scale is not None:
        torch.nn.init.normal_(fuse.reader.scale)
    fused = fuse(tokens, HAS)
    reader = fuse.reader
    for row, has in enumerate(HAS):
        x, z, w = tokens[row, has], fused.hidden[row, has], fused.confidence[row, has]
        if kind == "graph":
            expected = fused.hidden[row, 0]
        elif kind == "mean":
            expected = z.mean(0)
        elif kind == "weight":
            expected = (w.unsqueeze(1) * x).sum(0)
        elif kind == "learnable":
            expected = z.mean(0)  # all shares start alike
        elif kind == "attention":
            expected = torch.softmax(z.tanh() @ reader.direction, 0) @ z
        elif kind == "residual":
            others = fused.hidden[row, 1:][has[1:]]
            expected = tokens[row, 0] * has[0] + (reader.pace * reader.scale * others.mean(0) if len(others) else 0)
        else:
            expected = reader.linear(torch.where(has.unsqueeze(1), fused.hidden[row], 0).flatten())
        assert_close(fused.vectors[row], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(tokens, kind):
    fuse = fusion(kind, hidden_dim=4)
    assert torch.autograd.gradcheck(lambda x: fuse(x, HAS).vectors, tokens.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: fuse(x, HAS).confidence, tokens)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"the width of the scorer's entity vectors, 6 \(.*\), as 1, 2, 3, 6 do, and 4 does not"
    ):
        Fusion("mean", 3, 6, 4, 1, 0, 0.1, tanh=True)
    with pytest.raises(ValueError, match="and 0 does not"):
        Fusion("mean", 3, 6, 0, 1, 0, 0.1, tanh=True)
    with pytest.raises(ValueError, match="fusion_layers must be at least 1, not 0"):
        Fusion("mean", 3, 6, 2, 0, 0, 0.1, tanh=True)
