"""Say what a data set holds and whether its splits leak. Exit status 1 where one does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg audit", description=__doc__)
    parser.add_argument("dataset", metavar="DATASET", help="a name that `gnnkg datasets` lists, or a folder")
    parser.add_argument(
        "--on-error", choices=("raise", "skip"), default="raise", help="skip counts and reports faulty lines"
    )
    parser.add_argument(
        "--header",
        choices=("yes", "no"),
        help="whether text files start with names of columns (default: found from them)",
    )
    parser.add_argument("--columns", help="the order of the columns, such as head,tail,relation")
    parser.add_argument(
        "--separator", help="a tab, a comma, a semicolon or a space (default: found from the first line)"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)

    import warnings

    from gnnkg.cli import console
    from gnnkg.data.assemble import SharedFacts
    from gnnkg.data.audit import audit
    from gnnkg.data.load import BUNDLED, load
    from gnnkg.data.manifest import manifest

    options: dict[str, Any] = {
        "on_error": "skip" if arguments.on_error == "skip" else None,
        "header": None if arguments.header is None else arguments.header == "yes",
        "columns": None if arguments.columns is None else arguments.columns.split(","),
        "separator": arguments.separator,
    }
    options = {name: value for name, value in options.items() if value is not None}
    published = manifest(arguments.dataset) is not None
    if options and (published or arguments.dataset.lower() == BUNDLED or not Path(arguments.dataset).is_dir()):
        named = f"--{next(iter(options)).replace('_', '-')}"
        parser.error(f"{named} is for folders: a published data set is read as its manifest says")
    if published:
        options["published_split"] = True  # what was published, not what we made of it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SharedFacts)  # the audit says so itself, and more
        found = audit(load(arguments.dataset, **options))
    if arguments.json:
        print(found.to_json())
    else:
        console().print(found.render())
    return 1 if found.leaks else 0
