from __future__ import annotations

import json
import shutil

import pytest

from gnnkg.cli import main
from tests.cli.conftest import EXPERIMENT

SNAG = """
encoder:
  class_path: SNAG
  init_args:
    modalities: {name: {class_path: TextNgrams, init_args: {dim: 8}}, relations: RelationBag}
    noise: {rho: 0.2, epsilon: 0.7}
"""


@pytest.fixture(scope="module")
def fused(family, tmp_path_factory):
    """A run of SNAG."""
    folder = tmp_path_factory.mktemp("missing")
    (folder / "experiment.yaml").write_text(EXPERIMENT.format(folder=family) + SNAG)
    assert main(["train", str(folder / "experiment.yaml"), "--run", str(folder / "fused"), "--quiet"]) == 0
    assert main(["evaluate", str(folder / "fused")]) == 0
    return folder / "fused"


def test_two_runs_are_tabled_kept_and_drawn_into_one_picture(fused, tmp_path, capsys):
    twin = shutil.copytree(fused, tmp_path / "twin")
    assert main(["missing", str(fused), str(twin), "--shares", "0", "0.5", "--seeds", "2", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert out.count("relations") == 4
    assert "50%" in out
    for run in (fused, twin):
        kept = json.loads((run / "results" / "missing-test-shares-0-0.5-seeds-2.json").read_text())
        clean = json.loads((run / "results" / "test.json").read_text())["evaluation"]["metrics"]["mrr"]
        assert list(kept["missing"]["values"]) == ["all", "name", "relations"]
        for curve in kept["missing"]["values"].values():
            assert curve["0"]["mrr"] == {"mean": clean, "sd": None, "values": [clean]}
            assert len(curve["0.5"]["mrr"]["values"]) == 2
        assert "config" in kept["provenance"]
    assert (fused / "results" / "missing-test-shares-0-0.5-seeds-2.png").stat().st_size > 1000
    assert not (twin / "results" / "missing-test-shares-0-0.5-seeds-2.png").exists()


def test_json_some_facts_and_one_modality(fused, tmp_path, capsys):
    picture = tmp_path / "curve.png"
    arguments = ["--modality", "name", "--facts", "3", "--seeds", "1", "--shares", "1", "--picture", str(picture)]
    assert main(["missing", str(fused), "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)[str(fused)]["missing"]
    assert (found["num_facts"], list(found["values"]), list(found["values"]["name"])) == (3, ["name"], ["1"])
    assert (fused / "results" / "missing-test-name-3-facts-shares-1-seeds-1.json").exists()
    assert picture.exists()


def test_a_mistake_gets_one_message(fused, trained, tmp_path, capsys):
    other = shutil.copytree(fused, tmp_path / "other")
    vocabulary = json.loads((other / "vocabulary.json").read_text())
    (other / "vocabulary.json").write_text(json.dumps(vocabulary | {"data_hash": "0" * 64}))
    for arguments, message in (
        ([str(fused), "--facts", "0"], "at least 1, not 0"),
        ([str(fused), "--modality", "image"], "has not the modality image"),
        ([str(trained)], "Table reads no modalities"),
        ([str(fused), str(other)], "runs of other data"),
    ):
        assert main(["missing", *arguments]) == 2
        assert message in capsys.readouterr().err
