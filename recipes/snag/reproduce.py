"""Trains, evaluates and records SNAG and what it is compared with.

    python recipes/snag/reproduce.py cldr_snag --seed 0 --seed 1     some
    python recipes/snag/reproduce.py                                       all

Finished work is left alone, stopped work goes on; see ``recipes/reproducing.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from reproducing import main

if __name__ == "__main__":
    main(Path(__file__).parent, __doc__)
