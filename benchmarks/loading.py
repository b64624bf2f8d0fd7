"""How long 10 million facts take to load from text, and how much memory: ``python benchmarks/loading.py [--json FILE]``.

Makes a file of labelled facts with skewed entities and relations, as real graphs have them, and loads it in a process of its
own, so that the peak is that of loading alone. Exit status 1 where a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv
from recorded import record

_LOAD = """
import json, resource, sys, time
start = time.perf_counter()
from gnnkg.data import from_files
imported = time.perf_counter()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dataset = from_files(sys.argv[1])
loaded = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "facts": len(dataset.graph.facts), "entities": len(dataset.entities), "relations": len(dataset.relations),
    "read": dataset.report.splits["train"].read, "seconds": round(loaded - imported, 2),
    "import_seconds": round(imported - start, 2), "peak_bytes": peak * 1024, "peak_before_bytes": before * 1024,
}))
"""


def write_facts(path: Path, num_facts: int, num_entities: int, num_relations: int, seed: int = 0) -> None:
    """A tab separated file of random facts; entity i is drawn with a density falling as i^(-2/3)."""
    draw = np.random.default_rng(seed)
    entities = pa.array([f"http://example.org/entity/E{i}" for i in range(num_entities)])
    relations = pa.array([f"http://example.org/relation/R{i}" for i in range(num_relations)])
    options = arrow_csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with open(path, "wb") as file:
        for start in range(0, num_facts, 1_000_000):
            count = min(1_000_000, num_facts - start)
            columns = [
                names.take(pa.array((len(names) * draw.random(count) ** 3).astype(np.int64)))
                for names in (entities, relations, entities)
            ]
            arrow_csv.write_csv(pa.table(columns, names=["head", "relation", "tail"]), file, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=10_000_000)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--relations", type=int, default=1_000)
    parser.add_argument("--max-seconds", type=float, default=60.0)
    parser.add_argument("--max-bytes", type=float, default=4e9)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        write_facts(path, arguments.facts, arguments.entities, arguments.relations)
        size = path.stat().st_size
        done = subprocess.run([sys.executable, "-c", _LOAD, str(path)], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout) | {"file_bytes": size}
    print(json.dumps(result, indent=2))
    record(arguments.json, result=result)
    if result["seconds"] > arguments.max_seconds or result["peak_bytes"] > arguments.max_bytes:
        sys.exit(f"limits broken: {arguments.max_seconds} s, {arguments.max_bytes / 1e9} GB")


if __name__ == "__main__":
    main()
