"""How strong the noise of a training is: alpha * sigma for each query. Terms and transforms that draw noise hold a ``Strength``.

sigma is the spread of the entity vectors, measured as training goes; alpha is a number, or a schedule of ``schedules.py``.
"""

from gnnkg.strength.schedules import Alpha, Annealed, ByFrequency, HoldWins
from gnnkg.strength.strength import Observes, Strength

__all__ = ["Alpha", "Annealed", "ByFrequency", "HoldWins", "Observes", "Strength"]
