"""The gradient of a fact's score by its head or tail, differentiable itself, and for which scorers it can be trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnkg.core import Scorer, Vectors, in_evaluation_mode
from gnnkg.ops.backends import use_reference

Part = Literal["head", "tail"]


@contextmanager
def differentiable_twice(module: nn.Module, device: torch.device, evaluation: bool) -> Iterator[None]:
    """Gradients of what is computed inside may be differentiated: by the definitions of the ops, and in full precision.

    ``evaluation``: the module is without dropout and has running statistics. In training mode a batch norm joins the rows.
    """
    mode = in_evaluation_mode(module) if evaluation else nullcontext()
    with torch.enable_grad(), use_reference(), torch.autocast(device.type, enabled=False), mode:
        yield


def slopes(
    scorer: Scorer,
    head: Float[Tensor, "B D"],
    relation: Float[Tensor, "B W"],
    tail: Float[Tensor, "B D"],
    parts: tuple[Part, ...] = ("head",),
    evaluation: bool = True,
) -> tuple[Float[Tensor, "B D"], ...]:
    """grad f(h, r, t) by each of the parts, which may be differentiated again; zeros where f does not read the part."""
    by = [x if x.requires_grad else x.requires_grad_() for x in ({"head": head, "tail": tail}[part] for part in parts)]
    with differentiable_twice(scorer, head.device, evaluation):
        scores = scorer(Vectors(head, relation, tail.unsqueeze(1)))
        if not scores.requires_grad:
            return tuple(torch.zeros_like(x) for x in by)
        return torch.autograd.grad(scores.sum(), by, create_graph=True, allow_unused=True, materialize_grads=True)


def refuse_untrainable(scorer: Scorer, part: Part) -> None:
    """Raises ValueError where no loss on the slope can train: it is zero, or the same almost everywhere.

    Tried at random vectors, from a generator of its own.
    """
    space, name = scorer.space, type(scorer).__name__
    draw = torch.Generator().manual_seed(0)
    like = next(scorer.parameters(), torch.zeros(()))
    widths = (space.entity_dim, space.relation_dim, space.entity_dim)
    with torch.enable_grad():
        points = [torch.randn(16, width, generator=draw).to(like).requires_grad_() for width in widths]
        head, relation, tail = points
        (slope,) = slopes(scorer, head, relation, tail, (part,))
        if not slope.detach().any():
            other = " (denoise part='tail' instead)" if part == "head" else ""
            raise ValueError(f"{name} does not read the {part}: its scores have no gradient by it to denoise{other}")
        trained = [*points, *(p for p in scorer.parameters() if p.requires_grad)]
        bends = slope.requires_grad and any(
            gradient.any()
            for gradient in torch.autograd.grad(slope.square().sum() + slope.sum(), trained, materialize_grads=True)
        )
    if not bends:
        raise ValueError(
            f"the gradient of {name}'s score by the {part} is constant almost everywhere, as that of a sum of absolute values is, "
            "so that denoising it trains nothing: use a smooth distance, such as TransE with p=2"
        )
