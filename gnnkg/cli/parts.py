"""List the classes that an experiment can name, or what one of them accepts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg parts", description=__doc__)
    parser.add_argument("name", metavar="NAME", nargs="?", help="a class, e.g. DistMult or package.module.Class")
    arguments = parser.parse_args(argv)

    from gnnkg.config import ConfigError
    from gnnkg.parts import PLACES, closest, describe

    if arguments.name is None:
        for place in PLACES.values():
            print(f"{place.word:10} {', '.join(place.classes())}")
        return 0
    places = [place for place in PLACES.values() if arguments.name in {*place.classes(), *place.unusable}]
    if not places:
        known = [name for place in PLACES.values() for name in place.classes()]
        raise ConfigError(f"there is no {arguments.name!r}{closest(arguments.name, known)}: gnnkg parts lists all")
    print("\n\n".join(f"{place.word}: {describe(place, arguments.name)}" for place in places))
    return 0
