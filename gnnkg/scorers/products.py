from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Scorer
from gnnkg.ops import matching
from gnnkg.ops.matching import Mix, Tail


class Product(Scorer):
    """A scorer whose score is the product of the query and the candidate, sum_d q_d t_d. Implementations give ``query``."""

    linear = True
    reads_rows = True

    def match(self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix | None = None) -> Float[Tensor, "B X"]:
        return matching.dot(query, tail, mix)

    def match_both(
        self, query: Float[Tensor, "B Q"], tail: Tail, mix: Mix
    ) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
        return matching.both("dot", query, tail, mix)
