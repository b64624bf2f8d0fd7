from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from gnnkg.core import Model
from gnnkg.encoders import Table
from gnnkg.noise import entity_vectors, spread, unit_noise
from gnnkg.scorers import DistMult
from tests.random_data import random_graph

CDF = {
    "gaussian": stats.norm.cdf,
    "laplacian": stats.laplace(scale=1 / math.sqrt(2)).cdf,
    "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)).cdf,
}


@pytest.mark.parametrize("family", CDF)
def test_noise_has_its_family_s_distribution(family):
    drawn = unit_noise((20_000,), family, torch.Generator().manual_seed(0), dtype=torch.float64)
    assert stats.kstest(drawn.numpy(), CDF[family]).pvalue > 0.001
    assert drawn.var().item() == pytest.approx(1, abs=0.05)
    again = unit_noise((20_000,), family, torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(drawn, again)


def test_the_spread_is_an_order_statistic_over_the_divisor():
    vectors = torch.arange(1.0, 1001.0).reshape(10, 100) * torch.tensor([1.0, -1.0]).repeat(50)
    assert spread(vectors, divisor=1).item() == 998  # the smallest value that 99.73 % do not exceed
    assert spread(vectors, divisor=2, quantile=0.5).item() == 250
    assert torch.equal(spread(vectors, 1, 1.0, per_entity=True), torch.arange(100.0, 1001.0, 100.0))


def test_divisor_3_is_about_the_standard_deviation_of_normal_vectors():
    vectors = torch.randn(500, 100, generator=torch.Generator().manual_seed(0)) * 0.4
    assert spread(vectors).item() == pytest.approx(0.4, rel=0.02)


@pytest.mark.parametrize("wrong", [{"divisor": 0}, {"quantile": 0}, {"quantile": 1.1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="divisor must be a number above 0"):
        spread(torch.ones(2, 2), **wrong)
    with pytest.raises(ValueError, match="no vectors"):
        spread(torch.ones(0, 2))


def test_entity_vectors_are_the_table_s_rows():
    graph = random_graph(num_entities=7, num_relations=2, num_facts=10)
    model = Model(Table(graph, DistMult(3).space), DistMult(3))
    assert torch.equal(entity_vectors(model.encoder(graph)), model.encoder.entity)
