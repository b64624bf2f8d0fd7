"""Training: what it learns, when it stops, and that being killed changes nothing."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import Adagrad, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR, ReduceLROnPlateau

from gnnkg import checkpoint
from gnnkg.core import Model, Objective
from gnnkg.data import Dataset
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.holding import InUse
from gnnkg.losses import CrossEntropy, SelfAdversarial
from gnnkg.progress import Row, TrainingFailed
from gnnkg.run import RunDirectory
from gnnkg.samplers import Uniform
from gnnkg.schedules import WarmUp
from gnnkg.scorers import HAKE, DistMult, RotatE, TransE
from gnnkg.terms import Ranking
from gnnkg.train import _share, fit
from gnnkg.transforms import EMU

NUM_ENTITIES = 40


def ring(seed: int = 0) -> Dataset:
    """Relation k steps k + 1 places around a ring: RotatE can learn it."""
    place = torch.arange(NUM_ENTITIES)
    facts = torch.cat(
        [torch.stack([place, torch.full_like(place, k), (place + k + 1) % NUM_ENTITIES], 1) for k in range(4)]
    )
    facts = facts[torch.randperm(len(facts), generator=torch.Generator().manual_seed(seed))]
    names = tuple(f"e{i}" for i in range(NUM_ENTITIES))
    graph = KnowledgeGraph(facts[:-20], NUM_ENTITIES, 4)
    return Dataset("ring", graph, facts[-20:-10], facts[-10:], names, tuple("abcd"))


def parts(dataset: Dataset, seed: int = 0, dropout: float = 0.1) -> tuple[Model, Objective]:
    torch.manual_seed(seed)
    scorer = DistMult(16)
    model = Model(Table(dataset.graph, scorer.space, entity_dropout=dropout), scorer)
    mutated = Ranking(CrossEntropy(), per_negative=True, transform=EMU())
    return model, Objective(Uniform(16), {"plain": Ranking(CrossEntropy(), 0.5), "mutated": mutated})


SETTINGS = {
    "queries": Queries(batch_size=64, subsampling=True),
    "steps": 60,
    "validate_every": 10,
    "progress": False,
    "accelerator": "cpu",
}


def test_it_learns_and_keeps_the_best_weights():
    dataset = ring()
    torch.manual_seed(0)
    scorer = RotatE(16)
    model = Model(Table(dataset.graph, scorer.space, inverse="tied"), scorer)
    objective = Objective(Uniform(32, filtered=True), {"loss": Ranking(SelfAdversarial())})
    before = torch.get_rng_state()
    settings = SETTINGS | {"steps": 400, "validate_every": 40}
    fitted = fit(model, objective, dataset, optimizer=partial(Adam, lr=0.05), **settings)
    assert fitted.best_metrics["valid/mrr"] > 0.5
    assert fitted.best_metrics["valid/mrr"] == max(row["valid/mrr"] for row in fitted.history)
    assert not model.training
    assert len(before) == len(torch.get_rng_state())


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"schedule": partial(MultiStepLR, milestones=[20, 40])},
        {"schedule": partial(CosineAnnealingLR, T_max=60)},
        {"schedule": partial(ReduceLROnPlateau, mode="max", patience=0)},
        {"schedule": partial(WarmUp, steps=20, then=partial(CosineAnnealingLR, T_max=40))},
        {"schedule": partial(WarmUp, steps=15, then=partial(LambdaLR, lr_lambda=lambda step: 0.9**step))},
        {"average": 0.9},
    ],
)
def test_continuing_equals_never_stopping_bitwise(tmp_path, more):
    dataset = ring()
    settings = SETTINGS | {"optimizer": partial(Adagrad, lr=0.1)} | more

    def weights(run: RunDirectory | None, steps: int) -> dict[str, torch.Tensor]:
        model, objective = parts(dataset)
        fit(model, objective, dataset, run=run, **(settings | {"steps": steps}))
        return model.state_dict()

    whole = RunDirectory.create(tmp_path / "whole", {}, dataset)
    weights(whole, 60)
    broken = RunDirectory.create(tmp_path / "broken", {}, dataset)

    class Killed(Exception):
        pass

    for attempt in range(3):
        model, objective = parts(dataset, seed=99 if attempt else 0)  # later on the checkpoint's weights must win
        steps_left = 13

        def stopper(module, inputs):
            nonlocal steps_left
            steps_left -= 1
            if not steps_left:
                raise Killed

        objective.register_forward_pre_hook(stopper)
        with pytest.raises(Killed):
            fit(model, objective, dataset, run=broken, checkpoint_seconds=0.0, **settings)
    model, objective = parts(dataset, seed=99)
    fit(model, objective, dataset, run=broken, **settings)
    one, other = whole.load_checkpoint(), broken.load_checkpoint()
    assert one is not None
    assert other is not None
    for part in ("model", "average", "optimizer", "schedule"):
        assert_equal(one[part], other[part])
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in run["progress"]["history"]] for run in (one, other)
    ]
    assert timeless[0] == timeless[1]


def assert_equal(one: object, other: object) -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    else:
        assert one == other


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from test_train import *
dataset = ring()
model, objective = parts(dataset)
path = Path(sys.argv[1])
run = RunDirectory.open(path) if (path / "config.yaml").exists() else RunDirectory.create(path, {{}}, dataset)
print("started", flush=True)
def slowly(module, inputs):
    time.sleep(0.01)
objective.register_forward_pre_hook(slowly)
fit(model, objective, dataset, run=run, checkpoint_seconds=0.03, optimizer=partial(Adam, lr=0.01), **(SETTINGS | {{"steps": 120}}))
"""


def test_a_process_killed_more_than_once_ends_where_an_undisturbed_one_does(tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", script]

    def start(path: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, str(path)], stdout=subprocess.PIPE, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        )

    undisturbed = start(tmp_path / "whole")
    kills = 0
    for _ in range(3):
        process = start(tmp_path / "killed")
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.6)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 2, "the runs ended before they could be killed"
    process = start(tmp_path / "killed")
    process.communicate(timeout=120)
    undisturbed.communicate(timeout=120)
    assert process.returncode == undisturbed.returncode == 0
    one, other = (checkpoint.load(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "killed"))
    assert one["progress"]["step"] == other["progress"]["step"] == 120
    assert_equal(one["model"], other["model"])
    assert_equal(one["optimizer"], other["optimizer"])
    best = [checkpoint.load(tmp_path / name / "weights.safetensors")["model"] for name in ("whole", "killed")]
    assert_equal(*best)


def test_a_run_that_another_process_trains_is_refused(tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], stdout=subprocess.PIPE) as process:
        checkpointed = tmp_path / "run" / "checkpoint.safetensors"
        while not checkpointed.exists():
            assert process.poll() is None
            time.sleep(0.01)
        run = RunDirectory.open(tmp_path / "run")
        with pytest.raises(InUse, match="another process is at work"):
            fit(*parts(ring()), ring(), run=run, optimizer=partial(Adam, lr=0.01), **SETTINGS)
        process.kill()


def test_what_is_judged_and_kept_is_the_average_over_steps(tmp_path):
    dataset, decay, weights = ring(), 0.3, []
    model, objective = parts(dataset)

    def keep(_: int) -> None:
        weights.append(model.encoder.get_parameter("entity").detach().clone())

    settings = SETTINGS | {"queries": Queries(batch_size=1000), "steps": 6, "validate_every": 6, "average": decay}
    run = RunDirectory.create(tmp_path / "run", {}, dataset)
    fit(model, objective, dataset, optimizer=partial(Adagrad, lr=0.1), before_epoch=keep, run=run, **settings)
    last = checkpoint.load(run.checkpoint)["model"]["encoder.entity"]
    average = weights[1]  # the first step's
    for steps, each in enumerate([*weights[2:], last], 1):
        kept = min(decay, steps / (steps + 9))
        average = kept * average + (1 - kept) * each
    assert torch.allclose(model.encoder.get_parameter("entity"), average, atol=1e-6)
    assert not torch.allclose(last, average, atol=1e-4)


def test_early_stopping_waits_for_patience():
    dataset = ring()
    model, objective = parts(dataset)
    fitted = fit(model, objective, dataset, optimizer=partial(Adam, lr=0.0), patience=3, **SETTINGS)
    assert fitted.steps == 40  # the first validation is the best, three more bring nothing better
    assert fitted.best_step == 10


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_an_unusable_loss_stops_and_says_where(tmp_path, bad):
    dataset = ring()
    model, objective = parts(dataset)
    calls = 0
    good = objective.terms["plain"]

    def turning(scorer, vectors, labels):
        nonlocal calls
        calls += 1
        return good(scorer, vectors, labels) * (bad if calls > 15 else 1.0)

    objective.terms["plain"] = turning
    run = RunDirectory.create(tmp_path / "run", {}, dataset)
    with pytest.raises(TrainingFailed, match=r"step 15: the loss term 'plain' is .*checkpoint\.safetensors"):
        fit(model, objective, dataset, run=run, optimizer=partial(Adam, lr=0.01), **SETTINGS)
    saved = run.load_checkpoint()
    assert saved is not None
    assert all(torch.isfinite(value).all() for value in saved["model"].values())


def test_contradictions_are_refused():
    dataset = ring()
    for wrong, message in (
        ({"steps": 1, "epochs": 1.0}, "either steps or epochs"),
        ({"steps": None}, "either steps or epochs"),
        ({"steps": 0}, "at least one step"),
        ({"schedule": partial(ReduceLROnPlateau, mode="min")}, "mode='max'"),
        ({"average": 1.0}, "between 0 and 1"),
        ({"clip_norm": -1.0}, "clip_norm must be above 0, not -1"),
        ({"validate_every": 0}, "validate_every must be above 0"),
        ({"patience": 0}, "patience must be above 0"),
    ):
        model, objective = parts(dataset)
        with pytest.raises(ValueError, match=message):
            fit(model, objective, dataset, optimizer=partial(Adam, lr=0.01), **(SETTINGS | wrong))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "with seed 0, not 1: continue it with what it began with"),
        ({"optimizer": partial(Adagrad, lr=0.1)}, "with optimizer 'Adam', not 'Adagrad'"),
        ({"schedule": partial(MultiStepLR, milestones=[20])}, "with schedule None, not 'MultiStepLR'"),
        ({"queries": Queries(32)}, "with queries .*'batch_size': 64.*, not .*'batch_size': 32"),
        ({"average": 0.9}, "with average None, not 0.9"),
    ],
)
def test_a_checkpoint_of_another_training_is_not_continued(tmp_path, other, message):
    dataset = ring()
    run = RunDirectory.create(tmp_path / "run", {}, dataset)
    settings = SETTINGS | {"run": run, "steps": 10, "optimizer": partial(Adam, lr=0.01)}
    fit(*parts(dataset), dataset, **settings)
    with pytest.raises(ValueError, match=message):
        fit(*parts(dataset), dataset, **settings | {"steps": 20} | other)
    model, objective = parts(dataset)
    with pytest.raises(
        ValueError, match=r"is of another training, with terms \{'plain': 'Ranking', 'mutated': 'Ranking'\}"
    ):
        fit(model, Objective(objective.sampler, {"plain": objective.terms["plain"]}), dataset, **settings)
    scorer = DistMult(8)
    with pytest.raises(ValueError, match=r"(?s)checkpoint\.safetensors does not fit this model.*size mismatch"):
        fit(Model(Table(dataset.graph, scorer.space), scorer), objective, dataset, **settings)


def test_a_run_of_other_data_is_not_continued(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {}, ring())
    settings = SETTINGS | {"run": run, "steps": 10, "optimizer": partial(Adam, lr=0.01)}
    fit(*parts(ring()), ring(), **settings)
    with pytest.raises(ValueError, match="its facts or names have changed"):
        fit(*parts(ring(1)), ring(1), **settings | {"steps": 20})


def test_a_run_may_be_named_by_its_path(tmp_path):
    dataset, path = ring(), tmp_path / "runs" / "mine"
    settings = SETTINGS | {"run": str(path), "optimizer": partial(Adam, lr=0.01)}
    assert fit(*parts(dataset), dataset, **settings | {"steps": 10}).steps == 10
    fitted = fit(*parts(dataset, seed=99), dataset, **settings | {"steps": 20})
    assert [row["step"] for row in fitted.history] == [10, 20]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metrics.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds metrics\.csv"):
        fit(*parts(dataset), dataset, **settings | {"run": tmp_path / "other"})


@pytest.mark.parametrize("reports", [1, 3])
def test_an_end_between_a_checkpoint_and_its_report_is_made_good(tmp_path, monkeypatch, reports):
    class Killed(BaseException):
        pass

    def killed(run: RunDirectory, rows: list[Row]) -> None:
        if len(rows) == reports:
            raise Killed
        write(run, rows)

    dataset, write = ring(), RunDirectory.write_metrics
    run = RunDirectory.create(tmp_path / "run", {}, dataset)
    settings = SETTINGS | {"run": run, "steps": 10 * reports, "optimizer": partial(Adam, lr=0.01)}
    monkeypatch.setattr(RunDirectory, "write_metrics", killed)
    with pytest.raises(Killed):
        fit(*parts(dataset), dataset, **settings)
    monkeypatch.undo()
    assert len(run.metrics) == reports - 1
    fitted = fit(*parts(dataset), dataset, **settings)
    assert list(run.metrics["step"]) == [10 * (n + 1) for n in range(reports)]
    assert run.metrics["valid/mrr"].iloc[-1] == pytest.approx(fitted.history[-1]["valid/mrr"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, TrainingFailed])
def test_the_best_weights_so_far_outlast_an_interruption(error):
    dataset = ring()
    kept: list[dict[str, torch.Tensor]] = []

    def best_then_worse() -> dict[str, float]:
        if len(kept) == 2:
            raise error
        kept.append({name: each.clone() for name, each in model.state_dict().items()})
        return {}

    model, objective = parts(dataset)
    with pytest.raises(error):
        fit(model, objective, dataset, optimizer=partial(Adam, lr=1e-6), measure=best_then_worse, **SETTINGS)
    assert not model.training
    assert_equal(dict(model.state_dict()), kept[0])  # the best, because nothing later is better
    assert not torch.equal(kept[0]["encoder.entity"], kept[1]["encoder.entity"])

    def at_once() -> None:
        raise error

    model, objective = parts(dataset)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    with pytest.raises(error):
        fit(model, objective, dataset, optimizer=partial(Adam, lr=0.1), measure=at_once, **SETTINGS)
    assert not model.training
    assert not torch.equal(model.state_dict()["encoder.entity"], before["encoder.entity"])  # nothing was judged yet


MISTAKES = """
from tests.test_train import *
dataset = ring()
model, objective = parts(dataset)
adam = Adam(model.parameters())
right = SETTINGS | {"model": model, "objective": objective, "dataset": dataset, "optimizer": Adam}
for wrong in (
    {"optimizer": adam},
    {"optimizer": "Adam"},
    {"schedule": MultiStepLR(adam, [1])},
    {"run": 3},
    {"dataset": dataset.graph},
):
    try:
        fit(**right | wrong)
    except TypeError as error:
        print(error)
try:
    Table(dataset, model.scorer.space)
except TypeError as error:
    print(error)
"""


def test_what_is_given_to_fit_is_told_from_what_it_takes():
    """In a process of its own, where no signature is executed."""
    done = subprocess.run(
        [sys.executable, "-c", MISTAKES], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    told = done.stdout.splitlines()
    assert len(told) == 6, done.stdout
    assert "such as partial(Adam, lr=0.1), not an object of Adam: the objective may" in told[0]
    assert "such as partial(Adam, lr=0.1), not 'Adam'" in told[1]
    assert "such as partial(StepLR, step_size=1000), not an object of MultiStepLR" in told[2]
    assert told[3] == "run is a RunDirectory or the path of one, not 3"
    assert told[4] == "fit trains on a Dataset, as gnnkg.load gives it, not on an object of KnowledgeGraph"
    assert told[5].startswith(
        "Table is made for a KnowledgeGraph, such as the graph of a data set (dataset.graph), not for an"
    )


def test_too_few_queries_to_share_are_learned_from_by_each_process():
    batch = Queries(3).of(ring().graph, 0)[0]
    for rank in range(4):
        drawn, (head, relation, tail, _) = _share(batch, rank, 4)
        assert drawn == 0
        assert_equal([*map(list, (head, relation, tail))], [*map(list, (batch.head, batch.relation, batch.tail))])
    shares = [_share(batch, rank, 3) for rank in range(3)]
    assert [rank for rank, _ in shares] == [0, 1, 2]
    assert torch.cat([share[0] for _, share in shares]).tolist() == batch.head.tolist()


def test_the_hook_is_called_before_each_epoch():
    dataset = ring()
    model, objective = parts(dataset)
    seen: list[int] = []
    settings = SETTINGS | {"steps": None, "epochs": 3.0}
    fit(model, objective, dataset, optimizer=partial(Adam, lr=0.01), before_epoch=seen.append, **settings)
    assert seen == [0, 1, 2]


def test_no_gradients_are_held_while_a_step_is_computed():
    dataset = ring()
    model, objective = parts(dataset)
    held: list[bool] = []
    seen = model.encoder.register_forward_pre_hook(
        lambda *_: held.append(any(each.grad is not None for each in model.parameters()))
    )
    fit(model, objective, dataset, optimizer=partial(Adagrad, lr=0.1), **(SETTINGS | {"steps": 5, "validate_every": 5}))
    seen.remove()
    assert held[:5] == [False] * 5


def test_further_figures_stand_in_the_report_and_their_time_does_not_count():
    dataset = ring()
    model, objective = parts(dataset)

    def measure() -> dict[str, float]:
        time.sleep(0.5)
        return {"own/figure": 3.0}

    fitted = fit(
        model,
        objective,
        dataset,
        optimizer=partial(Adam, lr=0.01),
        measure=measure,
        **SETTINGS | {"validate_every": 20},
    )
    assert [row["own/figure"] for row in fitted.history] == [3.0] * 3
    assert fitted.seconds < 1.5
    assert "own/figure" not in fitted.best_metrics


def test_bf16_learns_the_same_task():
    dataset = ring()
    model, objective = parts(dataset, dropout=0.0)
    fitted = fit(model, objective, dataset, optimizer=partial(Adagrad, lr=0.1), precision="bf16-mixed", **SETTINGS)
    model, objective = parts(dataset, dropout=0.0)
    full = fit(model, objective, dataset, optimizer=partial(Adagrad, lr=0.1), **SETTINGS)
    assert fitted.best_metrics["valid/mrr"] == pytest.approx(full.best_metrics["valid/mrr"], abs=0.15)


@pytest.mark.parametrize(
    "scorer", [DistMult(16), TransE(16), RotatE(16), HAKE(16)], ids=lambda scorer: type(scorer).__name__
)
@pytest.mark.parametrize("masks", ["pair", "query"])
def test_weights_of_half_precision_train(scorer, masks):
    """Kernels keep float32 where bfloat16 is the type of all new tensors."""
    dataset = ring()
    torch.manual_seed(0)
    model = Model(Table(dataset.graph, scorer.space, inverse="tied"), scorer)
    terms = {
        "plain": Ranking(CrossEntropy(), 0.5),
        "mutated": Ranking(CrossEntropy(), transform=EMU(masks=masks)),
    }
    fitted = fit(
        model,
        Objective(Uniform(16), terms),
        dataset,
        optimizer=partial(Adagrad, lr=0.1),
        precision="bf16-true",
        **SETTINGS,
    )
    assert fitted.history[-1]["loss/plain"] < fitted.history[0]["loss/plain"]
    assert torch.get_default_dtype() == torch.float32


def test_metrics_are_written_and_drawn(tmp_path):
    dataset = ring()
    model, objective = parts(dataset)
    run = RunDirectory.create(tmp_path / "run", {"seed": 0}, dataset)
    fit(
        model,
        objective,
        dataset,
        run=run,
        optimizer=partial(Adam, lr=0.01),
        schedule=partial(LambdaLR, lr_lambda=lambda s: 1.0),
        **SETTINGS,
    )
    assert list(run.metrics["step"]) == [10, 20, 30, 40, 50, 60]
    assert {"valid/mrr", "loss/plain", "loss/mutated", "lr"} <= set(run.metrics.columns)
    assert run.draw_curve().read_bytes().startswith(b"\x89PNG")
    assert any((run.path / "tensorboard").iterdir())
