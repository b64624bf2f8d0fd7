from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.Module):
    """Batch normalisation for scorers, which are called several times a training step: x -> w (x - mean) / sqrt(var + 1e-5) + b.

    Ioffe & Szegedy, ICML 2015. Training takes mean and variance of the batch, so that its rows depend on one another, and each
    call that is to be differentiated moves the running ones by a tenth. Passes without gradients (DeMix and NSCaching score so, to
    choose) normalise alike and leave the running ones alone. In evaluation mode, and for a single value a channel (the one query
    that may be left at an epoch's end), the running ones serve.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def forward(self, x: Float[Tensor, "B channels *X"]) -> Float[Tensor, "B channels *X"]:
        running = self.running_mean, self.running_var
        of_batch = self.training and x.numel() > x.shape[1]
        if of_batch and not torch.is_grad_enabled():
            running = None, None
        return functional.batch_norm(x, *running, self.weight, self.bias, training=of_batch)
