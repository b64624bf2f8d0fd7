"""Continue a training that was stopped, as if it had never been."""

from __future__ import annotations

from collections.abc import Sequence

from gnnkg.cli._shared import command
from gnnkg.cli.train import report


def run(argv: Sequence[str]) -> int:
    parser = command("resume", __doc__, "run", "--quiet")
    arguments = parser.parse_args(argv)

    from gnnkg.experiment import is_first_process, resume

    try:
        resume(arguments.run, progress=not arguments.quiet)
    except KeyboardInterrupt:
        print(f"\nstopped; to continue: gnnkg resume {arguments.run}")
        raise
    if is_first_process():
        report(arguments.run)
    return 0
