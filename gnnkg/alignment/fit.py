"""Training on aligned pairs. Not ``gnnkg.train.fit``: a batch is a set of pairs that are each other's rivals, the seeds grow on the
way, and models are chosen by where partners rank among the other graph's entities.

As there, the randomness of a step is seeded by (seed, step) and the order of an epoch by (seed, epoch), so that a run that was
stopped and continued from its checkpoint equals one that never was.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gnnkg import checkpoint as stored
from gnnkg.alignment.encoder import AlignmentEncoder
from gnnkg.alignment.losses import AlignmentObjective
from gnnkg.alignment.origin import expect_same, origin
from gnnkg.alignment.pseudo_labels import Probation, PseudoLabels
from gnnkg.core import FollowsEpochs
from gnnkg.data.alignment import AlignmentData, Links
from gnnkg.data.queries import step_seed
from gnnkg.devices import fabric_on
from gnnkg.evaluation.alignment import AlignmentRanks, Similarity, csls, evaluate_alignment, mutual_best, plain
from gnnkg.evaluation.alignment.correction import Correct
from gnnkg.evaluation.alignment.ranking import Candidates
from gnnkg.evaluation.ranks import evaluating
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops import heap
from gnnkg.progress import Progress, Row

UNCERTAINTY_RATE = 5.0
"""how much faster the uncertainties of the losses learn, as published"""

Joint = Literal["weights", "confidence"]
"""which joint vectors are compared: by the weights of all entities, or by each entity's confidence"""


@dataclass(frozen=True)
class FittedAlignment:
    """What a training gave. The encoder holds the best weights by validation."""

    best_metrics: dict[str, float]
    best_step: int
    seconds: float
    history: list[Row]
    pseudo_labels: Links
    """pairs that joined the seeds"""


def joint_vectors(
    encoder: AlignmentEncoder, data: AlignmentData, joint: Joint = "weights"
) -> tuple[Float[Tensor, "N D"], Float[Tensor, "M D"]]:
    """The joint vectors of all left and all right entities, on CPU, wherever the encoder is."""
    return _joint_vectors(encoder, data.graph.to(encoder.weight.device), data, joint)


def _joint_vectors(
    encoder: AlignmentEncoder, graph: KnowledgeGraph, data: AlignmentData, joint: Joint
) -> tuple[Float[Tensor, "N D"], Float[Tensor, "M D"]]:
    with evaluating(encoder), torch.no_grad():
        by_confidence = joint == "confidence"
        vectors = encoder(graph)(None, fused=by_confidence).joint(by_confidence).cpu()
    return vectors[data.is_left], vectors[~data.is_left]


def evaluate_encoder(
    encoder: AlignmentEncoder,
    data: AlignmentData,
    part: Literal["valid", "test"] = "test",
    correct: Correct = csls,
    candidates: Candidates = "linked",
    joint: Joint = "weights",
) -> AlignmentRanks:
    """Ranks of the partners of one part's links."""
    return evaluate_alignment(*joint_vectors(encoder, data, joint), getattr(data, part), correct, candidates)


def fit_alignment(
    encoder: AlignmentEncoder,
    objective: AlignmentObjective,
    data: AlignmentData,
    *,
    optimizer: Callable[[Any], Optimizer],
    epochs: int,
    batch_size: int = 3500,
    warm_up: float = 0.15,
    clip_norm: float | None = 1.0,
    validate_every: int = 10,
    patience: int | None = None,
    pseudo_labels: Probation | None = None,
    joint: Joint = "weights",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    explosion: float = 1e4,
    stop_after: float | None = None,
    accelerator: str = "cpu",
    report: Callable[[Row], None] = lambda row: None,
) -> FittedAlignment:
    """Trains for some epochs, keeping the weights with the best MRR of the validation links, both ways, among all entities.

    The learning rate rises over the first ``warm_up`` of the steps and falls as a cosine to 0; the weights of the losses learn at
    ``UNCERTAINTY_RATE`` times it, and what is no matrix does not decay. With ``pseudo_labels``, pairs that the model believes in
    join the seeds. ``patience``: so many validations without a better one end it. ``stop_after`` seconds it ends after the epoch
    that is running. With a ``checkpoint`` file training continues from it, also where it ran out of time, and writes it every
    ``checkpoint_seconds``; it keeps ``seed``, links, graphs and ``config``, which says how encoder and losses were made and all
    settings, and is refused where they are others. ``report`` is given a row a validation. ``accelerator``: where it trains, as of
    ``gnnkg.train.fit``, and where the encoder stays; partners are ranked and believed in on CPU.

    Raises TrainingFailed where a loss is no longer a usable number; ValueError without seeds or validation links, for a checkpoint
    of another training, and for an accelerator that is not, or not here.
    """
    if not len(data.train) or not len(data.valid):
        raise ValueError(
            f"{data.name} has {len(data.train)} seeds and {len(data.valid)} links for validation: both are needed"
        )
    device = fabric_on(accelerator, devices=1).device
    heap.keep()
    graph = data.graph.to(device)
    parts = nn.ModuleDict({"encoder": encoder, "objective": objective}).to(device)
    opt = _optimizer(optimizer, encoder, objective)
    pseudo = None if pseudo_labels is None else PseudoLabels(pseudo_labels)
    steps_per_epoch = -(-len(data.train) // batch_size)
    total = epochs * steps_per_epoch
    schedule = LambdaLR(opt, lambda step: _rate(step / total, warm_up))
    at, best, epoch = Progress(), copy.deepcopy(encoder.state_dict()), 0
    trained_on = origin(data, seed, config or {})
    if checkpoint is not None and checkpoint.exists():
        saved = stored.load(checkpoint, remedy="delete it, and the training begins anew")
        expect_same(checkpoint, saved.get("origin"), trained_on)
        parts.load_state_dict(saved["parts"])
        opt.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        at, best, epoch = Progress(**saved["progress"]), saved["best"], saved["epoch"]
        if pseudo is not None:
            pseudo.load_state_dict(saved["pseudo_labels"])

    def validate(num_seeds: int) -> None:
        nonlocal best
        vectors = _joint_vectors(encoder, graph, data, joint)
        found = evaluate_alignment(*vectors, data.valid, plain, "all").metrics("both")
        valid = {f"valid/{name}": value for name, value in found.items()}
        at.report(valid, opt.param_groups[0]["lr"], steps_per_epoch, patience)
        at.history[-1] |= {"epoch": epoch, "seeds": num_seeds}
        if at.best_step == at.step:
            best = copy.deepcopy(encoder.state_dict())
        report(at.history[-1])

    before, start, late = at.seconds, time.perf_counter(), False
    written = start
    while epoch < epochs and not at.finished and not late:
        parts.train()
        for module in parts.modules():
            if isinstance(module, FollowsEpochs):
                module.before_epoch(epoch)
        seeds = data.train if pseudo is None else torch.cat([data.train, pseudo.promoted])
        for pairs in _batches(data.joint(seeds), batch_size, step_seed(seed, epoch)):
            torch.manual_seed(step_seed(seed, at.step))
            opt.zero_grad()  # before the forward pass, so that it needs no room beside the last gradients
            losses = _losses(encoder, objective, graph, pairs.to(device))
            at.account(losses, explosion, checkpoint)
            torch.stack(list(losses.values())).sum().backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(parts.parameters(), clip_norm)
            opt.step()
            at.step += 1
        for _ in range(steps_per_epoch):  # by epochs, so that more seeds do not shorten it
            schedule.step()
        epoch += 1
        if pseudo is not None and pseudo.probation.looks_after(epoch):
            pseudo.look(_mutual(_joint_vectors(encoder, graph, data, joint), data, pseudo))
        at.seconds = before + time.perf_counter() - start
        late = stop_after is not None and at.seconds > stop_after
        validates = epoch % validate_every == 0 or epoch == epochs
        if validates:
            validate(len(seeds))
        if checkpoint is not None and (
            time.perf_counter() - written > checkpoint_seconds or epoch == epochs or at.finished or late
        ):
            state: dict[str, Any] = {"parts": parts.state_dict(), "optimizer": opt.state_dict(), "best": dict(best)}
            state |= {"schedule": schedule.state_dict(), "progress": vars(at), "epoch": epoch}
            state["pseudo_labels"] = None if pseudo is None else pseudo.state_dict()
            state["origin"] = trained_on
            stored.save(checkpoint, state)
            written = time.perf_counter()
        if late and not validates:  # for what is given back now; who goes on from the checkpoint does not see it
            validate(len(seeds))
    encoder.load_state_dict(best)
    encoder.eval()
    promoted = data.train[:0] if pseudo is None else pseudo.promoted
    return FittedAlignment(at.best_metrics(), at.best_step, at.seconds, at.history, promoted)


def _optimizer(make: Callable[[Any], Optimizer], encoder: AlignmentEncoder, objective: AlignmentObjective) -> Optimizer:
    """Matrices decay as the optimiser says; biases, global weights and uncertainties do not. ValueError for settings of no use."""
    weights = list(encoder.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1]},
        {"params": [weight for weight in weights if weight.dim() <= 1], "weight_decay": 0.0},
        {"params": list(objective.parameters()), "weight_decay": 0.0},
    ]
    try:
        opt = make(groups)
    except ValueError as error:  # torch's own, of a rate below 0
        raise ValueError(f"the optimizer cannot be made: {error}") from error
    opt.param_groups[-1]["lr"] *= UNCERTAINTY_RATE
    return opt


def _losses(
    encoder: AlignmentEncoder, objective: AlignmentObjective, graph: KnowledgeGraph, pairs: Links
) -> dict[str, Tensor]:
    lookup = encoder(graph)
    return objective(*(lookup(column, objective.needs_fusion) for column in pairs.unbind(1)))


def _batches(pairs: Links, size: int, seed: int) -> Iterable[Links]:
    """Seeded batches of nearly the same size."""
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    return pairs[order].tensor_split(-(-len(pairs) // size))


def _mutual(vectors: tuple[Tensor, Tensor], data: AlignmentData, pseudo: PseudoLabels) -> Links:
    """The mutual-nearest pairs of entities outside the seeds."""
    left, right = vectors
    free_left, free_right = pseudo.pools(data.train, len(left), len(right))
    if not len(free_left) or not len(free_right):
        return data.train[:0]
    correct = csls if pseudo.probation.nearest == "csls" else plain
    pairs = mutual_best(correct(Similarity(left[free_left], right[free_right])))
    return torch.stack([free_left[pairs.left], free_right[pairs.right]], 1)


def _rate(done: float, warm_up: float) -> float:
    """The learning rate's factor where a share of the steps is done."""
    if done < warm_up:
        return max(done / warm_up, 0.01)
    return float(0.5 * (1 + torch.cos(torch.tensor(torch.pi * (done - warm_up) / max(1 - warm_up, 1e-9)))))
