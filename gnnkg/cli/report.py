"""Write the README's tables anew from recipes/*/results/*.json.

With --check nothing is written, and the exit status is 1 where a table does not say what the results say.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 where a table is stale")
    parser.add_argument("--readme", metavar="FILE", type=Path, default=Path("README.md"))
    parser.add_argument("--recipes", metavar="DIR", type=Path, default=Path("recipes"))
    arguments = parser.parse_args(argv)

    from gnnkg.evaluation.tables import report

    stale = report(arguments.readme, arguments.recipes, check=arguments.check)
    if not stale:
        print(f"{arguments.readme} says what the results say")
        return 0
    done = "does not say what the results say; gnnkg report mends it" if arguments.check else "written anew"
    print(f"{arguments.readme}: {', '.join(stale)} {done}")
    return 1 if arguments.check else 0
