"""Align the entities of two graphs: which of one is which of the other.

The graphs are data sets by name or folder, with a file of seeds if there are any: two columns, labels or identifiers, separated
by a tab or a comma. Names are compared by their spelling; without seeds, names alone are the start. Or --on known links:
dbp15k/zh_en, dbp15k/fr_en, srprs/en_fr_15k_V1, cldr, or a folder in the layout of EVA or OpenEA; what is found is then judged by
its test links.

Pairs are written as CSV, one to one: seeds, then mutual-best pairs, the surest first. Seeds and names spread over both graphs
without training (label propagation); --epochs trains a graph attention network on the seeds instead, a part of which chooses
the model.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnnkg.alignment.aligner import EntityVectors
    from gnnkg.data.alignment import AlignmentData


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg align", description=__doc__)
    parser.add_argument("graphs", metavar="GRAPH", nargs="*", help="the left and the right graph, by name or folder")
    parser.add_argument("--on", metavar="NAME", help="known links, by name or folder, in place of two graphs")
    parser.add_argument("--seeds", metavar="FILE", type=Path, help="pairs that are known: two columns, comma or tab")
    parser.add_argument("--names", metavar="TEXT", default="labels", help="labels (default), a text of both, or none")
    parser.add_argument("--match", choices=("csls", "sinkhorn", "cosine"), default="csls")
    parser.add_argument("--rounds", metavar="N", type=int, default=3, help="rounds of label propagation (default: 3)")
    parser.add_argument(
        "--width", metavar="N", type=int, default=256, help="of spread labels, or a trained model (default: 256)"
    )
    parser.add_argument("--name-width", metavar="N", type=int, default=512, help="of names' vectors (default: 512)")
    parser.add_argument("--epochs", metavar="N", type=int, help="train on the seeds for so many epochs")
    parser.add_argument("--batch-size", metavar="N", type=int, default=3500, help="of training: pairs (default: 3500)")
    parser.add_argument(
        "--lr", metavar="RATE", type=float, default=5e-3, help="of training, at its highest (default: 0.005)"
    )
    parser.add_argument(
        "--pseudo-from", metavar="EPOCH", type=int, help="of training: from when on believed pairs are seeds"
    )
    parser.add_argument("--candidates", choices=("linked", "all"), default="linked", help="with --on: who is ranked")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the CSV file (default: printed)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="with --on: the figures with their provenance")
    arguments = parser.parse_args(argv)

    if (len(arguments.graphs) != 2) == (arguments.on is None):
        raise ValueError(f"name two graphs to align, or known links by --on, not {len(arguments.graphs)} graphs")
    if arguments.on is not None and (arguments.seeds is not None or arguments.graphs):
        raise ValueError("known links have seeds and graphs of their own: give --on alone")

    if arguments.json is not None and arguments.on is None:
        raise ValueError("figures need known links to be judged by: --json goes with --on")

    from gnnkg.alignment import aligner

    begin = time.perf_counter()
    data = _data(arguments)
    names = aligner.names_of(data, None if arguments.names == "none" else arguments.names, arguments.name_width)
    if arguments.epochs is not None:
        settings = {"dim": arguments.width, "lr": arguments.lr, "batch_size": arguments.batch_size}
        settings |= {"pseudo_from": arguments.pseudo_from, "seed": arguments.seed, "report": _tell}
        vectors = aligner.by_training(data, names, arguments.epochs, **settings)
    else:
        vectors = aligner.by_propagation(data, names, arguments.rounds, arguments.width, arguments.seed)
    if arguments.on is not None:
        _judge(data, vectors, arguments, time.perf_counter() - begin)
    if arguments.out is not None or arguments.on is None:
        table = aligner.aligned_pairs(data, vectors, arguments.match)
        if arguments.out is None:
            print(table.to_csv(index=False), end="")
        else:
            table.to_csv(arguments.out, index=False)
            print(f"{len(table):,} pairs ({table['seed'].sum():,} of them seeds): {arguments.out}")
    return 0


def _data(arguments: argparse.Namespace) -> AlignmentData:
    from gnnkg.data.alignment import AlignmentData, carve_links, load_alignment, read_links
    from gnnkg.data.load import load

    if arguments.on is not None:
        return load_alignment(arguments.on, seed=arguments.seed)
    left, right = (load(name) for name in arguments.graphs)
    name = f"{left.name} and {right.name}"
    if arguments.seeds is None:
        return AlignmentData(name, left, right)
    seeds = read_links(arguments.seeds, left.entity_id, right.entity_id)
    train, valid = carve_links(seeds, 0.1 if arguments.epochs is not None else 0.0, arguments.seed)
    return AlignmentData(name, left, right, train, valid)


def _judge(data: AlignmentData, vectors: EntityVectors, arguments: argparse.Namespace, seconds: float) -> None:
    """Prints how well the test links are found, and writes it where a file is asked for."""
    import json

    from gnnkg.alignment.aligner import CORRECT
    from gnnkg.evaluation.alignment import evaluate_alignment
    from gnnkg.evaluation.provenance import command_line, provenance
    from gnnkg.stored import write_atomically

    match, candidates = arguments.match, arguments.candidates
    ranks = evaluate_alignment(vectors.left, vectors.right, data.test, CORRECT[match], candidates)
    asked = {"linked": "the partners of the test links", "all": "all entities of the other graph"}[candidates]
    protocol = f"{len(data.test):,} test links, ranked by {match} among {asked}"
    print(f"{data}\n{protocol}")
    found = {direction: ranks.metrics(direction) for direction in ("left to right", "right to left")}
    for direction, values in found.items():
        figures = ", ".join(f"{name} {values[name]:.4f}" for name in ("hits@1", "hits@10", "mrr"))
        print(f"{direction}: {figures}")
    if arguments.json is not None:
        settings = {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)}
        told = {
            "data": str(data),
            "protocol": f"{protocol}, realistic ties",
            "metrics": found,
            "seconds to the vectors": seconds,
            "command": command_line(),
            "provenance": provenance(settings, arguments.seed).to_dict(),
        }
        text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
        write_atomically(arguments.json, text.encode())


def _tell(row: dict[str, float]) -> None:
    print(f"epoch {row['epoch']:.0f}: validation MRR {row['valid/mrr']:.4f}, {row['seeds']:,} seeds", file=sys.stderr)
