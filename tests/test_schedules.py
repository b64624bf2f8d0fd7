from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR, StepLR

from gnnkg.schedules import WarmUp


def rates(schedule: Callable[[Optimizer], LRScheduler], steps: int = 12) -> list[float]:
    """The learning rate of each step."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = schedule(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("then", [partial(CosineAnnealingLR, T_max=8), partial(StepLR, step_size=3, gamma=0.5)])
def test_a_warm_up_is_torchs_linear_one_before_the_other_schedule(then: Callable[[Optimizer], LRScheduler]) -> None:
    def plain(optimizer: Optimizer) -> LRScheduler:
        first = LinearLR(optimizer, start_factor=0.1, total_iters=4)
        return SequentialLR(optimizer, [first, then(optimizer)], milestones=[4])

    found = rates(partial(WarmUp, steps=4, then=then, start=0.1))
    assert found == pytest.approx(rates(plain))
    assert found[4:] == pytest.approx(rates(then)[:8])


def test_a_warm_up_alone_rises_to_the_learning_rate_and_stays() -> None:
    found = rates(partial(WarmUp, steps=4, start=0.2))
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4] + [0.5] * 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "at least one step, not 0"),
        ({"steps": 3, "start": 0.0}, "above 0 and at most 1, not 0"),
        ({"steps": 3, "then": partial(ReduceLROnPlateau, mode="max")}, "is stepped by validations"),
    ],
)
def test_what_cannot_be_warmed_up_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rates(partial(WarmUp, **arguments))  # type: ignore[arg-type]
