"""Views of the encoders of link prediction, against what SNAG itself says of the same entities."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from gnnkg.alignment.encoder import AlignmentEncoder, cosine_space
from gnnkg.annotations import Feature
from gnnkg.core import Encoder
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import SNAG, DiagonalGAT, GaussModalityNoise, NBFNet
from gnnkg.features import Given, RelationBag

SPACE = cosine_space(13, 8)
IDS = torch.tensor([5, 0, 5, 11])


@pytest.fixture
def partly(dataset) -> Dataset:
    """Entity 5 lacks the feature, though numbers stand in its row."""
    has = (torch.arange(13) != 5).unsqueeze(1).expand(13, 2)
    return replace(dataset, features={"own": Feature(torch.randn(13, 2), has, ("a", "b"))})


def snag(dataset: Dataset, **settings) -> SNAG:
    modalities = {"relations": RelationBag("count", directed=False), "own": Given("own")}
    return SNAG(dataset.graph, SPACE, modalities, DiagonalGAT, num_heads=1, hidden_dim=5, tanh=False, **settings)


def test_the_views_of_snag_are_its_modalities_before_and_after_fusion(partly):
    encoder = AlignmentEncoder(snag(partly)).eval()
    assert encoder.names == ("structure", "relations", "own")
    views = encoder(partly.graph)(IDS)
    whole = encoder.encoder(partly.graph).whole
    assert_close(torch.stack([*views.modalities.values()], 1), whole.tokens[IDS])
    assert_close(torch.stack([*views.hidden.values()], 1), whole.fused.hidden[IDS])
    assert_close(views.confidence, whole.fused.confidence[IDS])
    assert torch.equal(views.has, whole.has[IDS])
    assert_close(views.confidence.sum(1), torch.ones(4))
    everyone = encoder(partly.graph)(None, fused=False)
    assert_close(everyone.joint()[IDS], views.joint())
    assert everyone.hidden is None


def test_what_is_missing_is_in_no_view_and_is_not_trusted(partly):
    views = AlignmentEncoder(snag(partly)).eval()(partly.graph)(IDS)
    assert views.has.tolist() == [[True, True, False], [True] * 3, [True, True, False], [True] * 3]
    assert not views.modalities["own"][0].any()
    assert views.confidence[0, 2] == 0
    assert_close(views.joint()[0].norm(), torch.tensor(2**0.5 / 3))


def test_structure_alone_may_come_from_any_encoder(dataset):
    gat = DiagonalGAT(dataset.graph, SPACE)
    encoder = AlignmentEncoder(gat)
    views = encoder(dataset.graph)(IDS)
    assert encoder.names == ("structure",)
    zero = torch.zeros(1, dtype=torch.int64)
    assert_close(views.modalities["structure"], gat(dataset.graph)(zero, zero).tail[0][IDS])
    assert views.confidence is None
    assert_close(encoder(dataset.graph)().joint().norm(dim=1), torch.ones(13))


def test_noise_is_on_all_modalities_in_training_and_on_none_in_evaluation(partly):
    noise = GaussModalityNoise(1.0, 0.5, structure_scale=0.5, before_messages=True)
    encoder = AlignmentEncoder(snag(partly, noise=noise, dropout=0.0))
    noised, clean = (encoder.train(training)(partly.graph)() for training in (True, False))
    for name, view in noised.modalities.items():
        assert (view != clean.modalities[name]).any(1).sum() > 3, name
    without = AlignmentEncoder(snag(partly))
    without.load_state_dict(encoder.state_dict(), strict=False)
    assert_close(without.eval()(partly.graph)().joint(), clean.joint())


def test_only_the_ratios_of_the_global_weights_are_learned_beside(partly):
    encoder = AlignmentEncoder(snag(partly)).eval()
    assert_close(encoder(partly.graph)(IDS).weight, torch.full((3,), 1 / 3))
    encoder.weight.data += 4.0
    assert_close(encoder(partly.graph)(IDS).weight, torch.full((3,), 1 / 3))


def test_a_read_out_without_the_last_layer_is_refused(partly):
    with pytest.raises(ValueError, match="read_out: weight leaves out the last layer"):
        AlignmentEncoder(snag(partly, read_out="weight"))


def test_vectors_that_depend_on_the_query_are_refused(dataset):
    make: partial[Encoder] = partial(NBFNet, num_layers=1)
    with pytest.raises(ValueError, match="NBFNet computes the vectors of entities anew for each query"):
        AlignmentEncoder(make(dataset.graph, SPACE))
