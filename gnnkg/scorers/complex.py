from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gnnkg.core import Space
from gnnkg.scorers.products import Product
from gnnkg.scorers.spaces import complex_product, conjugate, initial_range, uniform


class ComplEx(Product):
    """A complex bilinear form: f(h, r, t) = Re( sum_d h_d r_d conj(t_d) ).

    Trouillon et al., "Complex Embeddings for Simple Link Prediction", ICML 2016. ``dim`` counts complex numbers; vectors are
    2 * dim wide. ``gamma`` only sets the initial range, U(+-(gamma + 2) / dim).
    """

    curvature = "affine"

    def __init__(self, dim: int = 100, gamma: float = 24.0) -> None:
        super().__init__()
        self.space = Space(2 * dim, 2 * dim, init=uniform(initial_range(gamma, dim)), inverse=conjugate, complex=True)

    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        return complex_product(head, relation)
