"""List the data sets that experiments know by name, and where their files lie; or show one of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

COUNTS = ("entities", "relations", "train", "valid", "test")


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg datasets", description=__doc__)
    parser.add_argument("name", metavar="NAME", nargs="?", help="show what is known of this one")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)

    import json

    from gnnkg.cli import console
    from gnnkg.data.cache import search_path
    from gnnkg.data.load import dataset_names
    from gnnkg.data.names import closest
    from gnnkg.data.triples import DataError

    cards = [_card(name) for name in dataset_names() if arguments.name in (None, name)]
    if arguments.name is not None and not cards:
        near = ", ".join(closest(arguments.name, dataset_names()))
        raise DataError(f"no data set is called {arguments.name!r}{f'; closest: {near}' if near else ''}")
    if arguments.json:
        print(json.dumps(cards if arguments.name is None else cards[0], indent=2, ensure_ascii=False))
    elif arguments.name is None:
        console().print(_table(cards))
        print(
            f"searched: {', '.join(map(str, search_path()))}. A folder of your own is a data set too: gnnkg audit FOLDER"
        )
    else:
        for key, value in cards[0].items():
            print(f"{key:10} {f'{value:,}' if isinstance(value, int) else value}")
    return 0


def _card(name: str) -> dict[str, Any]:
    """What is known of a data set, and where it is."""
    from gnnkg.data.cache import present, search_path
    from gnnkg.data.load import BUNDLED, load
    from gnnkg.data.manifest import manifest

    if name == BUNDLED:
        cldr = load(BUNDLED)
        counts = {"entities": len(cldr.entities), "relations": len(cldr.relations)}
        counts |= {split: len(cldr.facts(split)) for split in COUNTS[2:]}
        about = {
            "title": "Languages, territories, currencies, scripts and time zones",
            "source": "https://cldr.unicode.org",
        }
        return {"name": name, **counts, **about, "licence": "Unicode License V3", "where": f"bundled: {cldr.source}"}
    known = manifest(name)
    assert known is not None
    folder = next((folder for folder in search_path() if present(folder, known.files["train"])), None)
    where = str(folder) if folder else "downloaded when first used" if known.download else "not here"
    counts = {key: known.expected[key] for key in COUNTS if key in known.expected}
    told = ("title", "about", "paper", "source", "licence", "pairs_with")
    about = {key: getattr(known, key) for key in told if getattr(known, key)}
    if known.queries:
        about["queries"] = ", ".join(each.name for each in known.queries)
    return {"name": name, **counts, **about, "where": where}


def _table(cards: list[dict[str, Any]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("name", *COUNTS, "where")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for card in cards:
        table.add_row(card["name"], *(f"{card[key]:,}" if key in card else "" for key in COUNTS), Text(card["where"]))
    return table
