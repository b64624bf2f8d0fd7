"""Ranking the truth among candidates: how many score above it and how many equal, known answers left out.

``reference.py`` is the definition; ``dispatch.py`` chooses Numba on CPU and Triton on GPU, which read each score once and
make nothing of the scores' size.
"""

from gnnkg.ops.ranking.dispatch import rank_counts
from gnnkg.ops.ranking.reference import RankCounts

__all__ = ["RankCounts", "rank_counts"]
