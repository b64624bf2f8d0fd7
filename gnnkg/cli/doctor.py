"""Print versions, what of DGL is active, devices, backends and data folders, and the command that mends what is missing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg doctor", description=__doc__)
    parser.parse_args(argv)

    from gnnkg.doctor import doctor

    return doctor()
