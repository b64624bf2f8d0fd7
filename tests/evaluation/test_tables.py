from __future__ import annotations

from pathlib import Path

import pytest

from gnnkg.evaluation.results import InvalidResult, write_result
from gnnkg.evaluation.tables import report, table
from tests.evaluation.toys import a_result

README = """# A project
<!-- results:begin baselines/fb15k-237 -->
<!-- results:end -->
text between
<!-- results:begin baselines/umls,fb15k-237 grid -->
old
<!-- results:end -->
the end
"""


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "recipes" / "baselines" / "results"
    for seed, mrr in enumerate((0.33, 0.34, 0.35)):
        write_result(a_result(seed=seed, metrics=a_result().metrics | {"mrr": mrr}), folder)
    write_result(a_result(model="TransE", paper=None, wall_seconds=90.0), folder)
    write_result(a_result(dataset="umls"), folder)
    write_result(a_result(model="ComplEx"), tmp_path / "recipes" / "emu" / "results")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def rewrite(project: Path, check: bool = False) -> list[str]:
    return report(project / "README.md", project / "recipes", check)


def test_tables_are_written_between_their_markers(project):
    assert rewrite(project) == ["baselines/fb15k-237", "baselines/umls,fb15k-237 grid"]
    text = (project / "README.md").read_text()
    assert text.startswith("# A project\n<!-- results:begin baselines/fb15k-237 -->\n| data set |")
    assert "old" not in text
    assert text.endswith("<!-- results:end -->\nthe end\n")
    for line in (
        "| fb15k-237 | DistMult | plain | 0.340 ± 0.010 | 0.247 ± 0.000 | 0.370 ± 0.000 | 0.519 ± 0.000 "
        "| MRR 0.343, Hits@10 0.531 (LibKGE) | 30 "
        "| [0](recipes/baselines/results/fb15k-237-distmult-plain-seed0.json)",
        "| fb15k-237 | TransE | plain | 0.337 | 0.247 | 0.370 | 0.519 |  | 1.5 |",
        "| model | method | umls | fb15k-237 |\n| --- | --- | ---: | ---: |\n| DistMult | plain | 0.337 | 0.340 ± 0.010 |",
        "| TransE | plain |  | 0.337 |",
        "Protocol: filtered by train + valid + test",
        "Measured on a processor, 2 cores.",
    ):
        assert line in text
    assert "ComplEx" not in text


def test_what_is_written_is_up_to_date_until_a_number_changes(project):
    rewrite(project)
    text = (project / "README.md").read_text()
    assert rewrite(project, check=True) == []
    (project / "README.md").write_text(text.replace("| TransE | plain |  | 0.337 |", "| TransE | plain |  | 0.357 |"))
    assert rewrite(project, check=True) == ["baselines/umls,fb15k-237 grid"]
    assert "0.357" in (project / "README.md").read_text()  # a check changes nothing
    assert rewrite(project) == ["baselines/umls,fb15k-237 grid"]
    assert (project / "README.md").read_text() == text
    write_result(a_result(model="RotatE"), project / "recipes" / "baselines" / "results")
    assert len(rewrite(project, check=True)) == 2


def test_other_protocols_are_kept_out_of_a_table(project):
    results = project / "recipes" / "baselines" / "results"
    write_result(a_result(model="HAKE", protocol=a_result().protocol | {"ties": "optimistic"}), results)
    with pytest.raises(ValueError, match=r"cannot stand in one table.*optimistic against realistic"):
        rewrite(project)


@pytest.mark.parametrize(
    "text",
    ["no table", "<!-- results:begin x -->\n", README + "<!-- results:end -->", README + "<!-- results:begin x -->\n"],
)
def test_markers_without_a_partner_are_refused(project, text):
    (project / "README.md").write_text(text)
    with pytest.raises(ValueError, match="in pairs"):
        rewrite(project)


@pytest.mark.parametrize("name", ["emu/umls", "nothing", "baselines/wn18rr", "baselines list"])
def test_a_table_without_results_is_refused_and_told_what_there_is(name):
    results = {Path("recipes/baselines/results/a.json"): a_result()}
    with pytest.raises(ValueError, match="there are: baselines/fb15k-237"):
        table(name, results, Path())


def test_two_results_with_one_seed_are_refused():
    folder = Path("recipes/baselines/results")
    with pytest.raises(ValueError, match="same seed"):
        table("baselines", {folder / "a.json": a_result(), folder / "b.json": a_result()}, Path())


def test_a_faulty_result_stops_the_report(project):
    (project / "recipes" / "emu" / "results" / "broken.json").write_text("{}")
    with pytest.raises(InvalidResult, match=r"broken\.json"):
        rewrite(project)


def test_sampled_hits_get_a_column_where_a_result_has_them():
    folder = Path("recipes/baselines/results")
    protocol = a_result().protocol | {"sampled": "50 drawn"}
    sampled = a_result(metrics=a_result().metrics | {"hits@10_50": 0.876}, protocol=protocol)
    text = table("baselines", {folder / "a.json": a_result(model="A"), folder / "b.json": sampled}, Path())
    assert "| Hits@10 | Hits@10 of 50 | published |" in text
    assert "| 0.519 | 0.876 |" in text
    assert "| 0.519 |  |" in text
    assert "; Hits@10 of 50: 50 drawn. Measured" in text
