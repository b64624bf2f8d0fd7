"""The command line. One file a command: its docstring is its help, ``run(argv)`` does it and gives the exit status.

Exit statuses: 0 done; 1 a check that failed (``audit``, ``report --check``); 2 something the user can mend, told in one message;
130 interrupted. Anything else is a bug and shows its traceback. torch is imported by the commands that need it, once they run.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import linecache
import os
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PACKAGE = Path(__file__).parents[1]
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""what writing to a file that is open already may end in: its error knows no name"""


def commands() -> dict[str, str]:
    """Every command with the first sentence of its help."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))
    summaries = {name: importlib.import_module(f"gnnkg.cli.{name}").__doc__ or "" for name in names}
    return {name: summary.partition("\n")[0] for name, summary in summaries.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and gives its exit status."""
    name, *arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    known = commands()
    if name in ("-h", "--help", "--version"):
        print(_help(known) if name != "--version" else _version())
        return 0
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        print(f"gnnkg: there is no command {name!r}{hint}. Commands: {', '.join(known)}", file=sys.stderr)
        return 2
    # Read when torch is imported. Threads that spin while they wait made training 7 times slower on a machine with other load.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # an experiment may name classes in files beside it
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        return importlib.import_module(f"gnnkg.cli.{name}").run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not is_message(error):
            raise
        print(f"gnnkg {name}: {error}", file=sys.stderr)
        return 2


def is_message(error: Exception) -> bool:
    """Whether an error tells the user what to mend, rather than us what to fix.

    It does where gnnkg raised it on purpose, in a ``raise`` statement of its own, and where a file cannot be opened or written.
    """
    if isinstance(error, AssertionError):
        return False
    if isinstance(error, OSError) and (error.filename is not None or error.errno in UNWRITABLE):
        return True
    frame = traceback.extract_tb(error.__traceback__)[-1]
    statement = linecache.getline(frame.filename, frame.lineno or 0).lstrip()
    return Path(frame.filename).is_relative_to(PACKAGE) and statement.startswith("raise ")


def console() -> Console:
    """For tables: as wide as the terminal, and wide enough for all columns where the output goes elsewhere."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=140)


def _help(known: dict[str, str]) -> str:
    width = max(map(len, known))
    lines = [f"  {name:{width}}  {summary}" for name, summary in known.items()]
    return "\n".join(
        [
            "usage: gnnkg COMMAND ...",
            "",
            "Learning on knowledge graphs.",
            "",
            *lines,
            "",
            "gnnkg COMMAND --help says more.",
        ]
    )


def _version() -> str:
    from gnnkg import __version__

    return f"gnnkg {__version__}"
