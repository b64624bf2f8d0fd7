from __future__ import annotations

import io
import json
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from rich.console import Console

from gnnkg.core import Model, Vectors
from gnnkg.encoders import NBFNet, Table
from gnnkg.evaluation.certification import Certificate, Row, Smoothing, attack, certify, reference
from gnnkg.evaluation.certification.bound import lower_bounds, radii
from gnnkg.evaluation.certification.partial import Partial, rows_of
from gnnkg.evaluation.certification.picture import draw
from gnnkg.evaluation.certification.question import Question, draws
from gnnkg.noise import spread
from gnnkg.scorers import MLP, DistMult, RotatE
from gnnkg.stored import DamagedFile

FEW = Smoothing(draws=40, confidence=0.99, alpha=0.3, top=3, worst_rank=6)


@pytest.fixture
def model(dataset) -> Model:
    scorer = DistMult(6)
    return Model(Table(dataset.graph, scorer.space), scorer)


def test_a_certificate_is_what_the_plain_loop_counts(model, dataset):
    certificate = certify(
        model, dataset, replace(FEW, worst_rank=None, give_up=False), direction="both", num_queries=None
    )
    graph, known = dataset.graph, dataset.known("train", "valid", "test")
    assert [row.head for row in certificate.rows] == dataset.test[:, 0].tolist() + dataset.test[:, 2].tolist()
    table = model.encoder.entity.detach()
    # the 99.73 % quantile of 78 numbers is the largest
    assert certificate.deviation == pytest.approx(0.3 * float(table.abs().max()) / 3)
    successes = []
    for row in certificate.rows:
        head, relation = torch.tensor([row.head]), torch.tensor([row.relation])
        vectors = model.encoder(graph)(head, relation)
        tails = known.of(head, relation).tails.tolist()
        rivals = torch.tensor([i for i in range(13) if i not in tails and i != row.truth])
        question = Question(vectors.head[0], vectors.relation[0], table, row.truth, rivals).double()
        noise = certificate.deviation * draws(0, row.head, row.relation, (40, 6))
        assert row.successes == reference.count(model.scorer, question, noise.double(), top=3)
        clean = model.scorer(vectors)[0]
        assert row.rank == 1 + int((clean[rivals] >= clean[row.truth]).sum())
        successes.append(row.successes)
    expected = certificate.deviation * radii(lower_bounds(np.array(successes), 40, 0.99) - 1e-6)
    assert certificate.radii() == pytest.approx(expected)
    figures = certificate.figures
    assert figures["smoothed accuracy"] == pytest.approx(sum(successes) / 40 / 20)
    assert figures["acr/sigma"] == pytest.approx(expected.mean() / certificate.deviation)
    assert figures["ca"] == certificate.share_within(0) == np.mean(expected > 0)
    assert 0 < figures["ca"] < 1
    assert figures["hits"] == np.mean([row.rank <= 3 for row in certificate.rows])


def test_not_trying_and_giving_up_change_no_radius(model, dataset):
    quick = certify(model, dataset, FEW, direction="both", num_queries=None)
    full = certify(model, dataset, replace(FEW, worst_rank=None, give_up=False), direction="both", num_queries=None)
    assert quick.radii().tolist() == full.radii().tolist()
    assert quick.figures["not tried"] == sum(row.rank > 6 for row in full.rows) > 0
    assert quick.figures["given up"] > 0
    assert quick.figures["smoothed accuracy"] is None
    assert all(full_row.successes is not None for full_row in full.rows)


def test_a_statement_about_all_queries_at_once_is_weaker(model, dataset):
    certificate = certify(model, dataset, FEW, num_queries=None)
    alone, together = certificate.radii(), certificate.radii(together=True)
    assert (together <= alone).all()
    successes = np.array([row.successes or 0 for row in certificate.rows])
    expected = radii(lower_bounds(successes, 40, 1 - 0.01 / len(successes)) - certificate.lost)
    assert together == pytest.approx(certificate.deviation * expected)
    assert (together < alone).any()


def test_a_subset_is_random_fixed_and_without_repetition(model, dataset):
    chosen = [certify(model, dataset, replace(FEW, seed=seed), num_queries=5).rows for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1]
    asked = [[(row.head, row.relation, row.truth) for row in rows] for rows in chosen]
    assert asked[0] != asked[2]
    assert len(set(asked[0])) == 5
    assert set(asked[0]) <= set(map(tuple, dataset.test.tolist()))


def test_a_query_does_not_depend_on_the_others(model, dataset):
    few, many = (certify(model, dataset, FEW, num_queries=number) for number in (3, 10))
    assert set(few.rows) <= set(many.rows)


def test_what_was_stopped_goes_on_as_if_it_had_not_been(model, dataset, tmp_path):
    whole = certify(model, dataset, FEW, num_queries=6)
    partial = Partial(tmp_path / "x.json", FEW.to_dict())

    def stop(rows, total):
        partial.keep([astuple(row) for row in rows], finished=True)  # as if it were time to
        if len(rows) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify(model, dataset, FEW, num_queries=6, report=stop)
    found = [Row(*row) for row in Partial(tmp_path / "x.json", FEW.to_dict()).found]
    assert tuple(found) == whole.rows[:4]
    asked = []
    again = certify(
        model, dataset, FEW, num_queries=6, known_rows=found, report=lambda rows, total: asked.append(len(rows))
    )
    assert again.rows == whole.rows
    assert asked == [5, 6]
    with pytest.raises(ValueError, match=r"alpha was 0.3 and is now 0.5.*--fresh"):
        Partial(tmp_path / "x.json", replace(FEW, alpha=0.5).to_dict())
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match=r"x.json is damaged"):
        Partial(tmp_path / "x.json", FEW.to_dict())


@pytest.mark.parametrize("rows", [[[1, 2, 3]], [7], [[0, 0, "x", 1, 3, True, 0, 0]], None])
def test_rows_of_another_shape_are_damage(tmp_path, rows):
    (tmp_path / "x.json").write_text(json.dumps({"about": {}, "found": rows}))
    with pytest.raises(DamagedFile, match=r"x.json is damaged .*: remove it to begin anew"):
        Partial(tmp_path / "x.json", {}, rows_of(Row))


def test_seconds_add_up(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"about": {}, "seconds": 50.0, "found": [1]}))
    Partial(tmp_path / "x.json", {}).keep([1, 2], finished=True)
    again = Partial(tmp_path / "x.json", {})
    assert again.found == [1, 2]
    assert 50 < again.seconds < 60


def test_a_scorer_that_does_not_read_the_head_is_refused(dataset):
    scorer = MLP(4, 8, reads_head=False)
    with pytest.raises(ValueError, match="MLP does not read the head"):
        certify(Model(Table(dataset.graph, scorer.space), scorer), dataset, FEW)


def test_an_encoder_whose_tails_know_the_head_is_refused(dataset):
    scorer = DistMult(4)
    with pytest.raises(ValueError, match="NBFNet computes tail vectors for each head"):
        certify(Model(NBFNet(dataset.graph, scorer.space, num_layers=1), scorer), dataset, FEW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0.0}, "above 0"),
        ({"sigma": -1.0}, "above 0"),
        ({"top": 0}, "1 <= top"),
        ({"top": 60}, "top 60 and worst_rank 50"),
        ({"budget": 0.2}, "below 0.1"),
        ({"draws": 9}, "9 draws cannot certify anything.*0.464"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Smoothing(**changes)


def test_nothing_to_ask_is_refused(model, dataset):
    with pytest.raises(ValueError, match="at least one query"):
        certify(model, dataset, FEW, num_queries=0)


def a_certificate() -> Certificate:
    rows = [Row(0, 0, 1, 1, k, True, 0, 0) for k in (1000, 900, 549)] + [Row(1, 0, 2, 60, None, False, 0, 0)]
    told = {
        "dataset": "d",
        "split": "test",
        "data_hash": "0",
        "direction": "tail",
        "subset": "4 queries",
        "part": "head",
    }
    return Certificate(
        **told, smoothing=Smoothing(alpha=0.5), deviation=0.2, lost=0.0, rows=tuple(rows), wall_seconds=1.0
    )


def test_the_figures_of_a_certificate_by_hand():
    certificate = a_certificate()
    figures = certificate.figures
    assert figures["acr/sigma"] == pytest.approx((2.463 + 1.114) / 4, abs=1e-3)
    assert figures["acr"] == pytest.approx(0.2 * (2.463 + 1.114) / 4, abs=1e-3)
    assert (figures["ca"], figures["hits"], figures["not tried"]) == (0.5, 0.75, 1)
    assert [certificate.share_within(r) for r in (1.1, 1.2, 2.4, 2.5)] == [0.5, 0.25, 0.25, 0]


def test_a_certificate_survives_json_and_is_printed_with_what_it_covers(tmp_path):
    certificate = a_certificate()
    values = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert Certificate.from_dict(values) == certificate
    assert [round(row["radius"], 3) for row in values["rows"]] == [0.493, 0.223, 0, 0]
    assert "smoothed model" in values["guarantee"]
    with pytest.raises(ValueError, match="missing: deviation"):
        Certificate.from_dict({key: value for key, value in values.items() if key != "deviation"})
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(certificate)
    text = console.export_text()
    for words in ("part: head", "alpha 0.5 * sigma", "per query", "seed 0", "4 queries", "ranked below 50"):
        assert words in text
    assert draw({"one": certificate}, tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"


def test_a_distance_is_certified_too(dataset):
    scorer = RotatE(4)
    model = Model(Table(dataset.graph, scorer.space), scorer)
    certificate = certify(model, dataset, replace(FEW, alpha=0.1), num_queries=None)
    assert certificate.lost == 0
    assert certificate.figures["ca"] > 0


def test_a_boundary_is_certified_as_by_passing_messages_from_each_draw(dataset):
    scorer = MLP(4, 5, reads_head=False)
    model = Model(NBFNet(dataset.graph, scorer.space, num_layers=2), scorer).eval()
    smoothing = Smoothing(draws=40, confidence=0.99, alpha=0.5, top=3, give_up=False, worst_rank=None)
    found = certify(model, dataset, smoothing, part="boundary", num_queries=5)
    deviation = 0.5 * float(spread(model.encoder.query.weight))
    assert found.deviation == pytest.approx(deviation)
    assert found.part == "boundary"
    assert "from which messages are passed" in found.to_dict()["guarantee"]
    known = dataset.known("train", "valid", "test")
    for row in found.rows:
        head, relation = torch.tensor([row.head]), torch.tensor([row.relation])
        others = torch.ones(13, dtype=torch.bool)
        others[known.of(head, relation).tails] = others[row.truth] = False
        successes = 0
        for noise in deviation * draws(0, row.head, row.relation, (40, 4)):
            with torch.no_grad():
                query = model.encoder.query(relation)
                lookup = model.encoder(dataset.graph)
                states = lookup.states(head, query, query + noise)
                scores = scorer(Vectors(query, query, states.transpose(0, 1)))[0]
            successes += int((scores[others] >= scores[row.truth]).sum()) < 3
        assert abs(row.successes - successes) <= 1  # float32 sums in blocks
    assert 0 < sum(row.successes for row in found.rows) < 200
    hasty = certify(model, dataset, replace(smoothing, give_up=True), part="boundary", num_queries=5)
    assert (hasty.radii() == found.radii()).all()
    with pytest.raises(ValueError, match="this certificate is about the boundary"):
        attack(model, dataset, found)
    with pytest.raises(ValueError, match="Table does not start from a vector of the query"):
        certify(Model(Table(dataset.graph, scorer.space), scorer), dataset, smoothing, part="boundary")
