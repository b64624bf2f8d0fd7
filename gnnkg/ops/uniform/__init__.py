"""Random numbers, uniform in [0, 1): torch's own, but on CPU a hash of a seed and the place, in a fifth of the time.

``reference.py`` is the definition of the hash; ``dispatch.py`` draws its seed from torch's generator.
"""

from gnnkg.ops.uniform.dispatch import uniform

__all__ = ["uniform"]
