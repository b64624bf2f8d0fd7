from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gnnkg.core import Space
from gnnkg.scorers.batch_norm import BatchNorm
from gnnkg.scorers.products import Product
from gnnkg.scorers.spaces import xavier_normal


class ConvE(Product):
    """A convolution over head and relation as one picture: f(h, r, t) = relu( A vec( relu( [h; r] * w ) ) ) . t + b_t.

    Dettmers et al., "Convolutional 2D Knowledge Graph Embeddings", AAAI 2018. h and r are maps of ``height`` rows, stacked; batch
    norm, ``input_dropout``, ``num_filters`` filters without padding, batch norm, relu, ``feature_dropout`` of whole maps, the
    matrix A, ``hidden_dropout``, batch norm, relu. The last of the dim + 1 numbers of an entity is its bias b, which heads do not
    read. Inverse relations are learned.

    Raises ValueError where maps are no rectangles of ``height`` rows, or smaller than a filter.
    """

    def __init__(
        self,
        dim: int = 200,
        height: int = 20,
        num_filters: int = 32,
        kernel: int = 3,
        input_dropout: float = 0.2,
        feature_dropout: float = 0.2,
        hidden_dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim must be at least 1, not {dim}")
        if min(height, num_filters, kernel) < 1:
            raise ValueError(
                f"height, num_filters and kernel must be at least 1, not {height}, {num_filters} and {kernel}"
            )
        width, odd = divmod(dim, height)
        if odd or min(2 * height, width) < kernel:
            raise ValueError(
                f"{dim} numbers as a map of {height} rows, two of them stacked, must be a rectangle that holds filters of "
                f"{kernel} x {kernel}: choose another dim, height or kernel"
            )
        self.space = Space(dim + 1, dim, init=_init, biases=1)
        self.map = height, width
        num_features = num_filters * (2 * height - kernel + 1) * (width - kernel + 1)
        self.features = nn.Sequential(
            BatchNorm(1),
            nn.Dropout(input_dropout),
            nn.Conv2d(1, num_filters, kernel),
            BatchNorm(num_filters),
            nn.ReLU(),
            nn.Dropout2d(feature_dropout),
            nn.Flatten(),
            nn.Linear(num_features, dim),
            nn.Dropout(hidden_dropout),
            BatchNorm(dim),
            nn.ReLU(),
        )

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        picture = torch.cat([head[:, :-1].unflatten(1, self.map), relation.unflatten(1, self.map)], dim=1)
        return functional.pad(self.features(picture.unsqueeze(1)), (0, 1), value=1.0)  # the bias counts as it is


def _init(entity: Tensor, relation: Tensor) -> None:
    xavier_normal(entity[:, :-1], relation)
    nn.init.zeros_(entity[:, -1])
