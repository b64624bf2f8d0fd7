"""Schedules of the learning rate beside torch's own (``torch.optim.lr_scheduler``), stepped once a training step like those."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR


class WarmUp(SequentialLR):
    """A linear warm-up, then another schedule.

        lr_k = lr (start + (1 - start) k / steps)    for k < steps, then as ``then`` has it, from its own beginning at k = steps

    Without ``then`` the learning rate stays from there on. Goyal et al., "Accurate, large minibatch SGD", 2017.

    Raises ValueError for fewer than one step, for a start outside of (0, 1], and for a plateau schedule, which is stepped by
    validations and not by steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        steps: int,
        then: Callable[[Optimizer], LRScheduler] | None = None,
        start: float = 0.01,
    ) -> None:
        if steps < 1:
            raise ValueError(f"a warm-up needs at least one step, not {steps}")
        if not 0 < start <= 1:
            raise ValueError(
                f"start is the share of the learning rate to begin with, above 0 and at most 1, not {start}"
            )
        rising = LinearLR(optimizer, start_factor=start, total_iters=steps)
        after = ConstantLR(optimizer, factor=1.0, total_iters=1) if then is None else then(optimizer)
        if isinstance(after, ReduceLROnPlateau):
            raise ValueError("ReduceLROnPlateau is stepped by validations, and a warm-up by steps: use either")
        super().__init__(optimizer, [rising, after], [steps])
