from __future__ import annotations

import io
import json
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console

from gnnkg import quickstart as module
from gnnkg.evaluation import Evaluation
from gnnkg.quickstart import quickstart, verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The main job with a quarter of its steps: its folder, its output and its seconds, of all cores together."""
    folder = tmp_path_factory.mktemp("quickstart")
    for name in module.TITLES:
        (folder / f"{name}.yaml").write_text(f"base: {module.FOLDER / name}.yaml\nsteps: 200\nvalidate_every: 50\n")
    console = Console(width=140, file=io.StringIO())
    start = time.process_time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FOLDER", folder)
        quickstart(folder / "runs", console, progress=False)
    return folder / "runs", console.file.getvalue(), time.process_time() - start


def evaluation_of(folder, name) -> Evaluation:
    return Evaluation.from_dict(json.loads((folder / name / "results" / "test.json").read_text())["evaluation"])


@pytest.mark.parametrize("name", module.TITLES)
def test_both_models_learn(finished, name):
    folder, out, _ = finished
    evaluation = evaluation_of(folder, name)
    assert evaluation.metrics["mrr"] > 0.3
    figures = "".join(f".*{evaluation.metrics[metric]:.3f}" for metric in ("mrr", "hits@1", "hits@3", "hits@10"))
    assert re.search(module.TITLES[name] + figures, out)


def test_five_questions_are_answered_with_the_held_out_truth_marked(finished):
    _, out, _ = finished
    questions = out[out.index("Questions") : out.index("The runs")]
    assert questions.count("...?") == 5
    assert questions.count("true: held out, in test") >= 5
    assert "Switzerland" in questions


def test_each_run_has_its_curve_and_is_named(finished):
    folder, out, _ = finished
    for name in module.TITLES:
        curve = folder / name / "curve.png"
        assert curve.read_bytes().startswith(b"\x89PNG")
        assert str(curve) in out


def test_a_quarter_of_the_main_job_is_quick(finished):
    assert finished[2] < 120


def test_the_verdict_says_who_is_ahead_and_whether_that_is_sure(finished):
    one = evaluation_of(finished[0], "emu")
    low, high = one.intervals["mrr"]
    better = replace(
        one, metrics={**one.metrics, "mrr": one.metrics["mrr"] + 0.5}, intervals={"mrr": (low + 0.5, high + 0.5)}
    )
    assert (
        verdict("EMU", better, one)
        == "With EMU the MRR is 0.500 higher; one seed each, and the intervals do not overlap."
    )
    close = replace(one, metrics={**one.metrics, "mrr": one.metrics["mrr"] - 0.001})
    assert verdict("EMU", close, one) == "With EMU the MRR is 0.001 lower; one seed each, and the intervals overlap."
