"""Train an experiment from its YAML file.

Any field of the file can be changed: --seed 3, --scorer.dim 70, --terms.mutated.transform.keep 0.5. `gnnkg parts` lists the classes
that a file can name, `gnnkg parts EMU` what one of them accepts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="gnnkg train",
        usage="%(prog)s FILE [--field value ...] [--run DIR]",
        description=__doc__,
        allow_abbrev=False,
    )
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="the experiment, e.g. recipes/baselines/umls_distmult.yaml"
    )
    parser.add_argument("--run", metavar="DIR", type=Path, help="the run directory (default: runs/<name>-<date>)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    arguments, rest = parser.parse_known_args(argv)

    from gnnkg.config import ConfigError, parse_overrides
    from gnnkg.experiment import is_first_process, read, train

    experiment = read(arguments.file, parse_overrides(rest))
    if experiment.devices > 1 and arguments.run is None:
        raise ConfigError("several processes must agree on the run directory: name it with --run")
    path = arguments.run or Path("runs") / f"{arguments.file.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    if is_first_process():
        print(f"run directory: {path}")
    try:
        done = train(experiment, path, progress=not arguments.quiet, say=lambda note: print(note, file=sys.stderr))
    except KeyboardInterrupt:
        print(f"\nstopped; to continue: gnnkg resume {path}")
        raise
    if is_first_process():
        report(done.path)
    return 0


def report(path: Path) -> None:
    """What a finished training came to, and what can be done with it."""
    from gnnkg.run import RunDirectory

    metrics = RunDirectory.open(path).metrics
    best = metrics.loc[metrics["valid/mrr"].idxmax()]
    print(
        f"best validation MRR {best['valid/mrr']:.4f} at step {int(best['step']):,} of {int(metrics['step'].iloc[-1]):,}"
    )
    print(f"training curve: {path / 'curve.png'}")
    print(f"next: gnnkg evaluate {path}")
