"""Which candidates of a query score like its known tails, and so may be true: DeMix's marginal pseudo-negatives (MPNE).

``reference.py`` is the definition; ``dispatch.py`` chooses Numba on CPU, where a dozen passes become two.
"""

from gnnkg.ops.suspects.dispatch import suspects
from gnnkg.ops.suspects.reference import Kinds

__all__ = ["Kinds", "suspects"]
