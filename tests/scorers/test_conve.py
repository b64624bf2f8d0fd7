from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from gnnkg.core import Model, Vectors
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.scorers import ConvE
from tests.contracts.discovered import settled


def vectors(queries: int = 6) -> Vectors:
    """12 numbers as maps of 3 x 4."""
    return Vectors(torch.randn(queries, 13), torch.randn(queries, 12), torch.randn(1, 5, 13))


def formula(scorer: ConvE, asked: Vectors) -> Tensor:
    """The layers in torch's own words, on the parameters and running statistics of a scorer without dropout."""
    first, _, conv, second, _, _, _, linear, _, third, _ = scorer.features
    picture = torch.stack(
        [torch.cat([h[:12].view(3, 4), r.view(3, 4)]) for h, r in zip(asked.head, asked.relation, strict=True)]
    )

    def norm(x: Tensor, layer: nn.Module) -> Tensor:
        running = layer.running_mean.clone(), layer.running_var.clone()
        return functional.batch_norm(x, *running, layer.weight, layer.bias, training=scorer.training)

    x = functional.conv2d(norm(picture.unsqueeze(1), first), conv.weight, conv.bias)
    x = norm(x, second).clamp(min=0).reshape(len(x), -1)
    x = norm(x @ linear.weight.t() + linear.bias, third).clamp(min=0)
    return x @ asked.tail[0, :, :12].t() + asked.tail[0, :, 12]


@pytest.mark.parametrize("training", [True, False])
def test_formula(training: bool) -> None:
    scorer, asked = settled(ConvE(12, 3, 4, 3, 0.0, 0.0, 0.0)).train(training), vectors()
    expected = formula(scorer, asked)
    assert_close(scorer(asked), expected)


def test_a_filter_sees_head_and_relation_across_their_border() -> None:
    """By hand: maps of 1 x 2, one filter of 2 x 2: a = w11 h1 + w12 h2 + w21 r1 + w22 r2, then relu, A, relu, and the tail."""
    scorer = ConvE(2, 1, 1, 2).eval()
    conv, linear = scorer.features[2], scorer.features[7]
    scorer.load_state_dict(
        scorer.state_dict()
        | {
            "features.2.weight": torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]),
            "features.2.bias": torch.tensor([0.5]),
            "features.7.weight": torch.tensor([[1.0], [-1.0]]),
            "features.7.bias": torch.tensor([0.0, 100.0]),
        }
    )
    assert (conv.weight.numel(), linear.weight.numel()) == (4, 2)
    asked = Vectors(torch.tensor([[1.0, -1.0, 9.0]]), torch.tensor([[2.0, 1.0]]), torch.tensor([[[0.1, 0.01, -3.0]]]))
    # a = 1 - 2 + 6 + 4 + 0.5 = 9.5; hidden (9.5, 90.5); score 0.95 + 0.905 - 3; each batch norm divides by sqrt(1 + 1e-5)
    assert scorer(asked).item() == pytest.approx(-1.145, abs=1e-3)


def test_published_number_of_parameters() -> None:
    """FB15k-237 with 474 relations: tables and biases, 32 filters of 3 x 3, 9,728 x 200, three batch norms."""
    scorer = ConvE()
    assert scorer.features[7].weight.shape == (200, 9728)
    facts = torch.tensor([[0, 0, 14540], [1, 236, 2]])
    model = Model(Table(KnowledgeGraph(facts, 14541, 237), scorer.space), scorer)
    assert sum(p.numel() for p in model.parameters()) == 4_964_127


def test_the_bias_is_the_tail_s() -> None:
    scorer, asked = settled(ConvE(12, 3, 4)), vectors()
    moved = asked.head.clone()
    moved[:, 12] += 5
    assert torch.equal(scorer(asked.replace(head=moved)), scorer(asked))
    tail = asked.tail.clone()
    tail[:, :, 12] += 5
    assert_close(scorer(asked.replace(candidates=tail)), scorer(asked) + 5)


def test_whole_maps_are_dropped() -> None:
    """Of all feature maps dropped, the bias of A is left; the same query twice differs where maps are drawn anew."""
    scorer, asked = ConvE(12, 3, 4, 3, 0.0, 1.0, 0.0), vectors()
    for layer in scorer.features:
        if hasattr(layer, "running_var"):
            layer.eval()
    expected = torch.relu(scorer.features[9](scorer.features[7].bias.expand(6, -1)))
    assert_close(scorer.query(asked.head, asked.relation)[:, :12], expected)


def test_initial_values() -> None:
    entity, relation = torch.empty(3000, 21), torch.empty(500, 20)
    ConvE(20, 4).space.init(entity, relation)
    assert (entity[:, 20] == 0).all()
    assert_close(entity[:, :20].std(), torch.tensor((2 / 3020) ** 0.5), rtol=0.03, atol=0)
    assert_close(relation.std(), torch.tensor((2 / 520) ** 0.5), rtol=0.05, atol=0)


@pytest.mark.parametrize("changes", [{"dim": 13}, {"kernel": 5}, {"height": 12}])
def test_a_map_must_hold_a_filter(changes) -> None:
    with pytest.raises(ValueError, match="rectangle"):
        ConvE(**({"dim": 12, "height": 3} | changes))


@pytest.mark.parametrize("changes", [{"height": 0}, {"num_filters": 0}, {"kernel": 0}])
def test_sizes_of_at_least_one(changes) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ConvE(**({"dim": 12, "height": 3} | changes))
