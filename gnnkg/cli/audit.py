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
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)

    import warnings

    from gnnkg.cli import console
    from gnnkg.data.assemble import SharedFacts
    from gnnkg.data.audit import audit
    from gnnkg.data.load import load

    options: dict[str, Any] = {"published_split": True}  # what was published, not what we made of it
    if arguments.on_error == "skip":
        if not Path(arguments.dataset).is_dir():
            parser.error("--on-error is for folders: a published data set is read as its manifest says")
        options["on_error"] = "skip"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SharedFacts)  # the audit says so itself, and more
        found = audit(load(arguments.dataset, **options))
    if arguments.json:
        print(found.to_json())
    else:
        console().print(found.render())
    return 1 if found.leaks else 0
