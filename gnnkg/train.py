"""The training loop: ``fit`` is the only one of link prediction (``gnnkg.alignment.fit`` trains on pairs of entities).

All randomness of a step is seeded by (seed, step, process), and the order of an epoch by (seed, epoch). A step is therefore a
pure function of the state and its number, and a run that was killed and continued equals one that never stopped: bitwise on CPU,
for the same number of threads.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from rich import progress as bars
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gnnkg.core import Batch, Model, Objective
from gnnkg.data.dataset import Dataset
from gnnkg.data.queries import Queries, step_seed
from gnnkg.data.split import sample_facts
from gnnkg.devices import fabric_on
from gnnkg.evaluation.metrics import metrics
from gnnkg.evaluation.ranks import rank_facts
from gnnkg.graph import KnowledgeGraph, KnownTails
from gnnkg.holding import held
from gnnkg.ops import heap
from gnnkg.progress import Progress, Row, TrainingFailed
from gnnkg.run import RunDirectory
from gnnkg.state import Schedule, State

Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Fitted:
    """What a training gave. The model holds the best weights by validation."""

    best_metrics: dict[str, float]
    best_step: int
    steps: int
    seconds: float
    history: list[Row]


class _Step(nn.Module):
    """Model and objective as one module from tensors to tensors, as mixed precision and several processes need it."""

    def __init__(self, model: Model, objective: Objective, graph: KnowledgeGraph) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.graph = graph

    def forward(self, head: Tensor, relation: Tensor, tail: Tensor, weight: Tensor) -> dict[str, Tensor]:
        return self.objective(self.model, Batch(self.graph, head, relation, tail, weight))


def fit(
    model: Model,
    objective: Objective,
    dataset: Dataset,
    *,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    queries: Queries | None = None,
    schedule: Callable[[Optimizer], Schedule] | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    validate_every: int | None = None,
    validate_facts: int | None = None,
    patience: int | None = None,
    seed: int = 0,
    run: RunDirectory | Path | str | None = None,
    checkpoint_seconds: float = 60.0,
    accelerator: str = "auto",
    devices: int = 1,
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true"] = "32-true",
    clip_norm: float | None = None,
    average: float | None = None,
    explosion: float = 1e4,
    before_epoch: Callable[[int], None] | None = None,
    measure: Callable[[], Mapping[str, float]] | None = None,
    memory: int | None = None,
    progress: bool = True,
) -> Fitted:
    """Trains for ``steps`` or ``epochs`` (give one), keeping the weights with the best validation MRR.

    Validation ranks both directions over all entities, filtered by train and valid, every ``validate_every`` steps (default: an
    epoch), on ``validate_facts`` seeded facts or all. ``patience`` stops after so many validations without a better MRR. A plateau
    schedule is stepped by the validation MRR and needs ``mode="max"``; any other once a training step. ``before_epoch(n)``, of
    model and objective and the one given, is called before each epoch begins, and again at the same place where a run continues.
    ``measure()`` gives further figures for the report of each validation; the time that it takes does not count.
    ``average``: what is validated and kept are not the weights of a step but their exponential average, of which each step keeps so
    much of the one before, such as .999; so the noise of large steps is there to learn by and not to answer with. After n steps it
    keeps n / (n + 9) at most, so that a short training is not judged by the weights that it began with.

    With a ``run`` that holds a checkpoint, training continues from it; a path is that of a run, which begins there if there is none
    yet. ``devices`` processes share each batch: each averages over its own share, and gradients are averaged over processes. A
    batch of fewer queries than processes is not shared: all of them learn from the whole of it, as one process does.

    Without a run the model has its best weights so far also where the training is interrupted or fails.

    Raises TrainingFailed where a loss is NaN, infinite or has grown ``explosion``-fold; ValueError for settings that contradict,
    and where the run is of other data or its checkpoint of another training; TypeError for what is no function, or no data set;
    InUse where another process trains the run.
    """
    _expect_types(dataset, optimizer, schedule)
    for name, value in {"validate_every": validate_every, "patience": patience, "clip_norm": clip_norm}.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, not {value}")
    fabric = fabric_on(accelerator, devices=devices, precision=precision)
    if devices > 1:
        fabric.launch()
    heap.keep()
    graph = dataset.graph.to(fabric.device)
    queries = queries or Queries()
    plan = queries.of(graph, seed)
    total = _total_steps(steps, epochs, plan.steps_per_epoch)
    validate_every = validate_every or plan.steps_per_epoch
    facts = _validation_facts(dataset, validate_facts, seed).to(fabric.device)
    known = dataset.known("train", "valid").to(fabric.device)

    step_module = _Step(model, objective, graph)
    opt = optimizer(step_module.parameters())
    scheduler = schedule(opt) if schedule else None
    if isinstance(scheduler, ReduceLROnPlateau) and scheduler.mode != "max":
        raise ValueError("a plateau schedule watches the validation MRR, which should rise: give it mode='max'")
    module, wrapped = fabric.setup(step_module, opt)
    averaged = None if average is None else _averaged(model, average)
    judged: Any = model if averaged is None else averaged.module
    run = _opened(run, dataset, fabric)
    state = State(model, objective, opt, scheduler, averaged, fabric.strategy.precision)
    about = state.told(seed, queries, average)
    restored = run and state.restore(run, about)
    at = restored or Progress()
    resumed_at, seconds_before, start = at.step, at.seconds, time.perf_counter()
    last_saved = start
    writer = run if fabric.is_global_zero else None  # one process writes
    best = None if run else copy.deepcopy(model.state_dict())

    model.train()
    alone = nullcontext() if writer is None else held(writer.path)
    with (
        alone,
        _bar(progress and fabric.is_global_zero) as bar,
        _events(writer, at) as events,
        _ending_well(model, lambda: best if at.best_step else None),
    ):
        if writer and restored and at.step < total and not at.finished:
            writer.note_continued(at.step)
        if writer and at.history:
            if len(writer.metrics) < len(at.history):  # the end came between a checkpoint and its report
                writer.write_metrics(at.history)
            events(at.history[-1])
        task = bar.add_task("training", total=total, completed=at.step, note="")
        while at.step < total and not at.finished:
            step = at.step
            if step % plan.steps_per_epoch == 0 or step == resumed_at:
                for begins in filter(None, (model.before_epoch, objective.before_epoch, before_epoch)):
                    begins(step // plan.steps_per_epoch)
            rank, batch = _share(plan[step], fabric.global_rank, fabric.world_size)
            torch.manual_seed(step_seed(seed, step, rank))
            wrapped.zero_grad()  # before the forward pass, so that it needs no room beside the last gradients
            losses = module(*batch)
            at.account(losses, explosion, run.checkpoint if run else None)
            fabric.backward(torch.stack(list(losses.values())).sum())
            if clip_norm is not None:
                fabric.clip_gradients(module, wrapped, max_norm=clip_norm)
            wrapped.step()
            if averaged is not None:
                averaged.update_parameters(model)
            if scheduler and not isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step()
            at.step += 1
            at.seconds = seconds_before + time.perf_counter() - start
            bar.update(task, completed=at.step)
            reports = at.step % validate_every == 0 or at.step == total
            if reports:
                valid = _validate(judged, graph, facts, known, memory)
                begin = time.perf_counter()
                further = {} if measure is None else dict(measure())
                start += time.perf_counter() - begin
                at.report(valid | further, opt.param_groups[0]["lr"], plan.steps_per_epoch, patience)
                if at.best_step == at.step and writer:
                    writer.save_weights(judged, step=at.step, **valid)
                elif at.best_step == at.step and best is not None:
                    best = copy.deepcopy(judged.state_dict())
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(valid["valid/mrr"])
                bar.update(task, note=f"valid MRR {valid['valid/mrr']:.4f}, best {at.best_mrr:.4f}")
            if writer and (reports or time.perf_counter() - last_saved > checkpoint_seconds):
                state.save(writer, at, about)
                last_saved = time.perf_counter()
            if writer and reports:
                writer.write_metrics(at.history)
                events(at.history[-1])
    fabric.barrier()
    if best is not None:
        model.load_state_dict(best)
    elif run is not None:
        run.load_weights(model)
    model.eval()
    return Fitted(at.best_metrics(), at.best_step, at.step, at.seconds, at.history)


def _expect_types(dataset: object, optimizer: object, schedule: object) -> None:
    """Raises TypeError, which says what to give instead."""
    if not isinstance(dataset, Dataset):
        raise TypeError(f"fit trains on a Dataset, as gnnkg.load gives it, not on {_kind(dataset)}")
    if isinstance(optimizer, Optimizer) or not callable(optimizer):
        raise TypeError(
            f"optimizer is a function of parameters, such as partial(Adam, lr=0.1), not {_kind(optimizer)}: the objective may have "
            "parameters to train as well as the model"
        )
    if schedule is not None and (isinstance(schedule, Schedule) or not callable(schedule)):
        raise TypeError(
            f"schedule is a function of the optimizer, such as partial(StepLR, step_size=1000), not {_kind(schedule)}"
        )


def _kind(value: object) -> str:
    return repr(value) if isinstance(value, str | int | float | None) else f"an object of {type(value).__name__}"


def _opened(run: RunDirectory | Path | str | None, dataset: Dataset, fabric: Fabric) -> RunDirectory | None:
    """The run to train in. Raises ValueError where it is of other data; TypeError for what is neither a run nor a path."""
    if run is None:
        return None
    if isinstance(run, str | Path):
        if fabric.is_global_zero and not (Path(run) / "config.yaml").exists():
            RunDirectory.create(run, {}, dataset)
        fabric.barrier()  # until the first process has begun it
        run = RunDirectory.open(run)
    if not isinstance(run, RunDirectory):
        raise TypeError(f"run is a RunDirectory or the path of one, not {_kind(run)}")
    run.check(dataset)
    return run


@contextmanager
def _ending_well(model: Model, best: Callable[[], dict[str, Any] | None]) -> Iterator[None]:
    """Gives the model the best weights that there are, and evaluation mode, where the training is interrupted or fails."""
    try:
        yield
    except (KeyboardInterrupt, TrainingFailed):
        if (weights := best()) is not None:
            model.load_state_dict(weights)
        model.eval()
        raise


def _averaged(model: Model, decay: float) -> AveragedModel:
    if not 0 < decay < 1:
        raise ValueError(f"average is the share of the old weights that each step keeps, between 0 and 1, not {decay}")

    def update(average: Tensors, now: Tensors, count: Tensor | int) -> None:
        steps = int(count)
        get_ema_multi_avg_fn(min(decay, steps / (steps + 9)))(average, now, count)

    return AveragedModel(model, multi_avg_fn=update)


def _total_steps(steps: int | None, epochs: float | None, steps_per_epoch: int) -> int:
    if (steps is None) == (epochs is None):
        raise ValueError("say how long to train: give either steps or epochs")
    total = steps if steps is not None else math.ceil((epochs or 0) * steps_per_epoch)
    if total < 1:
        raise ValueError(f"training needs at least one step, not {total}")
    return total


def _validation_facts(dataset: Dataset, count: int | None, seed: int) -> Tensor:
    """The validation facts, or a seeded sample of them. Raises ValueError where there are none to choose a model by."""
    if not len(dataset.valid):
        raise ValueError(
            f"{dataset.name} has no validation facts to choose a model by: carve some out of train, with "
            "dataset_options: {carve: 0.05} in an experiment, or load(..., carve=0.05)"
        )
    return sample_facts(dataset.valid, count, seed)


def _share(batch: Batch, rank: int, world_size: int) -> tuple[int, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """This process's part of a batch, every world_size-th query: heads, relations, tails and weights; and whose random numbers go
    with it. Where there are too few for all, each process does what the first would do alone: their mean is the same.
    """
    if len(batch.head) < world_size:
        rank, world_size = 0, 1
    own = slice(rank, None, world_size)
    return rank, (batch.head[own], batch.relation[own], batch.tail[own], batch.weight[own])


def _validate(model: Model, graph: KnowledgeGraph, facts: Tensor, known: KnownTails, memory: int | None) -> Row:
    """The filtered metrics of the validation facts: realistic ties, both directions."""
    ranks = rank_facts(model, graph, facts, known, memory)
    return {f"valid/{name}": value for name, value in metrics(ranks.ranks(), ranks.candidates).items()}


def _bar(shown: bool) -> bars.Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return bars.Progress(*columns, TextColumn("{task.fields[note]}"), disable=not shown, refresh_per_second=4)


@contextmanager
def _events(run: RunDirectory | None, at: Progress) -> Iterator[Callable[[Row], None]]:
    """Writes report rows as TensorBoard events; those from the last report on, from before a crash, are superseded."""
    if run is None:
        yield lambda row: None
        return
    from torch.utils.tensorboard import SummaryWriter

    superseded = int(at.history[-1]["step"]) if at.history else at.step + 1
    with SummaryWriter(str(run.path / "tensorboard"), purge_step=superseded) as writer:

        def write(row: Row) -> None:
            for name in row.keys() - {"step"}:
                writer.add_scalar(name, row[name], int(row["step"]))
            writer.flush()

        yield write
