"""How long a full training of an experiment would take on this machine, from the time of its steps.

    python benchmarks/forecast.py recipes/encoders/fb15k-237_compgcn.yaml [MORE ...] [--json FILE]

Each experiment is trained for 25 steps, exactly as the real training would be; the median of the last 20, times the number of its
steps, is the forecast. Validations are not in it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from recorded import record

from gnnkg.experiment import load_dataset, read
from gnnkg.lab.budget import step_cost


def forecast(path: Path) -> dict[str, Any]:
    experiment = read(path)
    dataset = load_dataset(experiment)
    steps = experiment.steps
    if steps is None:
        steps = round((experiment.epochs or 0) * experiment.queries.of(dataset.graph, 0).steps_per_epoch)
    cost = step_cost(replace(experiment, seed=0), dataset)
    return {
        "experiment": str(path),
        "seconds_per_step": cost.seconds,
        "peak_tensor_bytes": cost.peak_bytes,
        "steps": steps,
        "hours": steps * cost.seconds / 3600,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for path in arguments.experiments:
        rows.append(row := forecast(path))
        print(
            f"{path}: {row['seconds_per_step']:.2f} s a step, {row['peak_tensor_bytes'] / 2**30:.1f} GiB, "
            f"{row['steps']:,} steps: {row['hours']:.0f} hours",
            flush=True,
        )
    record(arguments.json, forecasts=rows)


if __name__ == "__main__":
    main()
