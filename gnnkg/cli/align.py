"""Align the entities of two graphs: which of one is which of the other.

The graphs are data sets by name or folder, files of facts, or sides of a folder of EVA or OpenEA (FOLDER/1 FOLDER/2), with a file
of seeds if there are any: two columns, labels or identifiers, separated by a tab or a comma, or CSV as this command writes it.
Names are compared by their spelling; without seeds, names alone are the start. Or --on known links: dbp15k/zh_en, dbp15k/fr_en,
srprs/en_fr_15k_V1, cldr, or a folder in the layout of EVA or OpenEA; what is found is then judged by its test links.

Pairs are written as CSV, one to one: seeds, then mutual-best pairs, the surest first. Seeds and names spread over both graphs
without training (label propagation), and so does whatever --features has in place of names, such as --features '{spelling:
TextNgrams, meaning: Sentences}'. Vectors of one's own, such as of images, join names by --left-features image=LEFT.npz and
--right-features image=RIGHT.npz; where --features or a FILE names what is compared, they are parts of class Given. Texts of one's
own (--left-texts about=LEFT.tsv and --right-texts about=RIGHT.tsv) are compared by --names about.

--train FILE or --epochs N trains an encoder on the seeds instead, a part of which chooses the model. FILE names encoder, losses
and settings, as recipes/alignment/snag.yaml does, and any of its fields can be changed: --encoder.noise null, --iir false,
--pseudo_labels.begin 20. `gnnkg parts` lists the classes that can be named.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gnnkg.alignment.aligner import Compared, EntityVectors
    from gnnkg.alignment.pseudo_labels import Probation
    from gnnkg.alignment.training import AlignmentTraining
    from gnnkg.core import MakeFeature
    from gnnkg.data.alignment import AlignmentData


class Files(NamedTuple):
    """Of each graph, by the names of what they give."""

    left: dict[str, str]
    right: dict[str, str]


MATCHES = ("csls", "sinkhorn", "cosine")
WAYS = ("left to right", "right to left")


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="gnnkg align",
        usage="%(prog)s (LEFT RIGHT [--seeds FILE] | --on NAME) [--train FILE | --epochs N] [--field value ...] [...]",
        description=__doc__,
        allow_abbrev=False,
    )
    parser.add_argument("--on", metavar="NAME", help="known links, by name or folder, in place of two graphs")
    parser.add_argument("--seeds", metavar="FILE", type=Path, help="pairs that are known: two columns, comma or tab")
    parser.add_argument("--names", metavar="TEXT", help="labels (default), a text of both, or none; FILE has its own")
    parser.add_argument("--features", metavar="YAML", help="in place of names, parts by which entities are compared")
    for side in ("left", "right"):
        for kind, told in (
            ("features", "vectors as gnnkg convert writes them"),
            ("texts", "lines of identifier TAB text"),
        ):
            parser.add_argument(
                f"--{side}-{kind}",
                metavar="NAME=FILE",
                action="append",
                default=[],
                help=f"of the {side} graph's entities: {told}; of both graphs by one name",
            )
    parser.add_argument(
        "--match",
        metavar="HOW",
        nargs="+",
        default=["csls"],
        help="csls (default), sinkhorn or cosine; several: all are judged, and the first makes the pairs",
    )
    parser.add_argument("--rounds", metavar="N", type=int, default=3, help="rounds of label propagation (default: 3)")
    parser.add_argument("--width", metavar="N", type=int, help="of spread labels (default: 256), or dim of training")
    parser.add_argument(
        "--compared",
        metavar="N",
        type=int,
        default=512,
        help="width to which spread vectors are narrowed (default: 512)",
    )
    parser.add_argument("--name-width", metavar="N", type=int, default=512, help="of names' vectors (default: 512)")
    parser.add_argument("--train", metavar="FILE", type=Path, help="train on the seeds as a YAML file says")
    parser.add_argument("--epochs", metavar="N", type=int, help="train on the seeds for so many epochs")
    parser.add_argument("--batch-size", metavar="N", type=int, help="of training: pairs")
    parser.add_argument("--lr", metavar="RATE", type=float, help="of training, at its highest")
    parser.add_argument("--pseudo-from", metavar="EPOCH", type=int, help="of training: when believed pairs turn seeds")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, help="of training: continued from, if it is there")
    parser.add_argument("--candidates", choices=("linked", "all"), default="linked", help="with --on: who is ranked")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the CSV file (default: printed)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="with --on: the figures with their provenance")
    arguments, rest = parser.parse_known_args(argv)
    match = list(takewhile(MATCHES.__contains__, arguments.match))
    first = next((i for i, each in enumerate(rest) if each.startswith("--")), len(rest))
    graphs, fields = [*arguments.match[len(match) :], *rest[:first]], rest[first:]
    if not match:
        raise ValueError(f"--match is one of {', '.join(MATCHES)}, not {arguments.match[0]!r}")
    arguments.match = match

    trains = arguments.train is not None or arguments.epochs is not None
    if (len(graphs) != 2) == (arguments.on is None):
        raise ValueError(f"name two graphs to align, or known links by --on, not {len(graphs)} graphs")
    if arguments.on is not None and (arguments.seeds is not None or graphs):
        raise ValueError("known links have seeds and graphs of their own: give --on alone")
    if arguments.json is not None and arguments.on is None:
        raise ValueError("figures need known links to be judged by: --json goes with --on")
    options = ("--batch-size", "--lr", "--pseudo-from", "--checkpoint")
    of_training = [each for each in options if getattr(arguments, each[2:].replace("-", "_")) is not None]
    if (of_training or fields) and not trains:
        raise ValueError(f"{[*of_training, *fields][0]} is of a training: give --train FILE or --epochs N too")
    if arguments.features is not None and (trains or arguments.names is not None):
        raise ValueError("--features takes the place of --names, without training; a training's are encoder.modalities")
    if trains and arguments.on is None and arguments.seeds is None and arguments.names == "none":
        raise ValueError("without names a training needs seeds: give --seeds FILE")
    if arguments.train is not None and arguments.names is not None:
        raise ValueError(f"{arguments.train} says which names are read: change --encoder.modalities, not --names")
    if not 0 <= arguments.seed < 2**32:
        raise ValueError(f"--seed is a number from 0 to 2^32 - 1, not {arguments.seed}")

    from gnnkg.alignment import aligner
    from gnnkg.evaluation.provenance import commit
    from gnnkg.stored import expect_writable, write_atomically

    for file in (arguments.out, arguments.json, arguments.checkpoint):
        if file is not None:
            expect_writable(file)

    begin, code = time.perf_counter(), commit()  # of now: the files may be others when a long training ends
    given, texts = _given(arguments, "features"), _given(arguments, "texts")
    compared = None if arguments.features is None else _compared(arguments.features)
    if taken := {"labels", "none"} & texts.left.keys():
        raise ValueError(f"--names {taken.pop()} is something else: give the text another name")
    data = _with_files(_data(arguments, graphs, 0.1 if trains else 0.0), given, texts)
    text = arguments.names or "labels"
    if arguments.names is None and arguments.train is None and arguments.features is None:
        _note_names(data)
    training = _training(data, arguments, text, fields, list(given.left)) if trains else None
    _refuse_unread(arguments, given, texts, training, compared)
    if training is not None:
        if arguments.pseudo_from is not None and training.pseudo_labels is not None:
            _refuse_late(training.pseudo_labels, training.epochs)
        none_known = arguments.on is None and arguments.seeds is None
        seeded = _seeded_by_names(data, arguments, text) if none_known else data
        vectors, told = _trained(seeded, training, arguments.seed, arguments.checkpoint)
    else:
        makes = _features(arguments, text, list(given.left)) if compared is None else list(compared.features.values())
        features = None if makes is None else aligner.side_by_side(data, makes)
        widths = 256 if arguments.width is None else arguments.width, arguments.compared
        vectors = aligner.by_propagation(data, features, arguments.rounds, *widths, arguments.seed)
        told = {}
    told["seconds to the vectors"] = time.perf_counter() - begin
    if arguments.on is not None:
        _judge(data, vectors, arguments, told, code)
    if arguments.out is not None or arguments.on is None:
        table = aligner.aligned_pairs(data, vectors, arguments.match[0])
        if arguments.out is None:
            print(table.to_csv(index=False), end="")
        else:
            write_atomically(arguments.out, table.to_csv(index=False).encode())
            print(f"{len(table):,} pairs ({table['seed'].sum():,} of them seeds): {arguments.out}")
    return 0


def _data(arguments: argparse.Namespace, graphs: Sequence[str], valid: float) -> AlignmentData:
    from gnnkg.data.alignment import AlignmentData, carve_links, load_alignment, load_side, read_links

    if arguments.on is not None:
        return load_alignment(arguments.on, seed=arguments.seed)
    left, right = (load_side(name) for name in graphs)
    name = f"{left.name} and {right.name}"
    if arguments.seeds is None:
        return AlignmentData(name, left, right)
    seeds = read_links(arguments.seeds, left.entity_id, right.entity_id, one_to_one=True)
    train, chosen_on = carve_links(seeds, valid, arguments.seed)
    return AlignmentData(name, left, right, train, chosen_on)


def _note_names(data: AlignmentData) -> None:
    """Says so where names are nothing but identifiers: they may mean nothing, and would then do harm."""
    if bare := [side.name for side in (data.left, data.right) if side.entity_labels == side.entities]:
        print(
            f"names are compared, and the entities of {' and '.join(bare)} have none but their identifiers; where these mean "
            "nothing, leave them out: --names none",
            file=sys.stderr,
        )


def _seeded_by_names(data: AlignmentData, arguments: argparse.Namespace, text: str) -> AlignmentData:
    """The graphs with seeds, and a part for validation, that their names tell."""
    from gnnkg.alignment.aligner import name_pairs, side_by_side, spelling
    from gnnkg.data.alignment import carve_links

    pairs = name_pairs(data, side_by_side(data, [spelling(text, arguments.name_width)]))
    print(f"{len(pairs):,} pairs of names are seeds, or for validation", file=sys.stderr)
    train, valid = carve_links(pairs, 0.1, arguments.seed)
    return replace(data, train=train, valid=valid)


def _given(arguments: argparse.Namespace, kind: str) -> Files:
    """The files of each side that are given as --left-KIND and --right-KIND."""
    found = Files(*(_by_name(getattr(arguments, f"{side}_{kind}"), f"--{side}-{kind}") for side in Files._fields))
    if found.left.keys() != found.right.keys():
        both = " and ".join(
            f"{', '.join(files) or 'none'} of the {side} one" for side, files in found._asdict().items()
        )
        raise ValueError(f"what entities are compared by both graphs need: there are {kind} {both}")
    return found


def _by_name(options: Sequence[str], option: str) -> dict[str, str]:
    """Files by their names."""
    found = {}
    for each in options:
        name, _, file = each.partition("=")
        if not name or not file:
            example = "about=left.tsv" if option.endswith("texts") else "image=left.safetensors"
            raise ValueError(f"{option} is a name and a file, as in {example}, not {each!r}")
        found[name] = file
    return found


def _with_files(data: AlignmentData, features: Files, texts: Files) -> AlignmentData:
    """The graphs with features and texts out of files; features have one width on both sides."""
    from gnnkg.data.given import with_features, with_texts
    from gnnkg.data.vectors import suffixed

    for file in (*features.left.values(), *features.right.values()):
        suffixed(file)  # vectors, as single numbers of other attributes or units would be compared as they stand
    left, right = (
        with_texts(with_features(side, numbers), told)
        for side, numbers, told in zip((data.left, data.right), features, texts, strict=True)
    )
    for name in features.left:
        widths = [side.features[name].values.shape[1] for side in (left, right)]
        if widths[0] != widths[1]:
            raise ValueError(
                f"{features.left[name]} has {widths[0]} numbers an entity and {features.right[name]} {widths[1]}: they cannot "
                f"be compared"
            )
    return replace(data, left=left, right=right)


def _features(arguments: argparse.Namespace, text: str, given: Sequence[str]) -> list[MakeFeature] | None:
    """What label propagation compares entities by, besides their seeds, where no parts are named."""
    from gnnkg.alignment.aligner import spelling
    from gnnkg.features import Given

    spelled = [] if text == "none" else [spelling(text, arguments.name_width)]
    return [*spelled, *map(Given, given)] or None


def _compared(features: str) -> Compared:
    from gnnkg.alignment.aligner import Compared
    from gnnkg.config import parse_overrides
    from gnnkg.parts import read_as

    return read_as(Compared, parse_overrides(["--features", features]), "--features")


def _refuse_unread(
    arguments: argparse.Namespace,
    given: Files,
    texts: Files,
    training: AlignmentTraining | None,
    compared: Compared | None,
) -> None:
    """Raises ValueError where a file is given that nothing reads."""
    if training is not None:
        config: Any = training.config
    elif compared is not None:
        config = compared.config
    else:
        config = [arguments.names, *given.left]
    words = set(_words(config))
    if unread := sorted(texts.left.keys() - words):
        raise ValueError(
            f"the text {unread[0]} is compared by --names {unread[0]}, or by parts that --features or FILE names"
        )
    if unread := sorted(given.left.keys() - words):
        where = "encoder.modalities of the training" if training is not None else "--features"
        part = f"{{class_path: Given, init_args: {{feature: {unread[0]}}}}}"
        raise ValueError(f"nothing reads the feature {unread[0]}: name it in {where}, as {part}")


def _refuse_late(probation: Probation, epochs: int) -> None:
    """Raises ValueError where no pair that is believed in turns a seed before training ends."""
    first = probation.begin + probation.every * probation.promote
    if first > epochs:
        raise ValueError(
            f"--pseudo-from {probation.begin}: pairs turn seeds when {probation.promote} looks, {probation.every} epochs apart, "
            f"have found them, at epoch {first}, and the training ends at {epochs}: make pseudo_labels.every or "
            "pseudo_labels.promote smaller, or train longer"
        )


def _words(config: Any) -> list[str]:
    """All texts that stand as values in a configuration."""
    if isinstance(config, str):
        return [config]
    values = config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ()
    return [word for value in values for word in _words(value)]


def _training(
    data: AlignmentData, arguments: argparse.Namespace, text: str, fields: Sequence[str], given: Sequence[str]
) -> AlignmentTraining:
    """A file's training, or the default one with all that the data have, as the options change it."""
    from gnnkg.alignment.training import read_training
    from gnnkg.config import parse_overrides
    from gnnkg.data.alignment import ATTRIBUTES

    changes: dict[str, Any] = {}
    if arguments.train is None:
        assert data.graph.annotations is not None
        if ATTRIBUTES in data.graph.annotations.texts:
            changes["encoder.modalities.attributes"] = {"class_path": "Terms", "init_args": {"text": ATTRIBUTES}}
        if text != "none":
            ngrams = {"text": "label" if text == "labels" else text, "dim": arguments.name_width, "reduce": "random"}
            changes["encoder.modalities.names"] = {"class_path": "TextNgrams", "init_args": ngrams}
        for name in given:
            changes[f"encoder.modalities.{name}"] = {"class_path": "Given", "init_args": {"feature": name}}
    options = {"epochs": arguments.epochs, "dim": arguments.width, "batch_size": arguments.batch_size}
    options |= {"optimizer.lr": arguments.lr, "pseudo_labels.begin": arguments.pseudo_from}
    changes |= {name: value for name, value in options.items() if value is not None}
    return read_training(arguments.train, changes | parse_overrides(fields))


def _trained(
    data: AlignmentData, training: AlignmentTraining, seed: int, checkpoint: Path | None
) -> tuple[EntityVectors, dict[str, Any]]:
    """Vectors, and what the training has to tell."""
    from gnnkg.alignment.aligner import EntityVectors
    from gnnkg.alignment.fit import joint_vectors
    from gnnkg.alignment.training import train_aligner

    encoder, fitted = train_aligner(training, data, seed, checkpoint, _tell)
    told = {"best step": fitted.best_step, "seconds": fitted.seconds, "pseudo-labels": len(fitted.pseudo_labels)}
    told |= {"weights": dict(zip(encoder.names, encoder.weight.softmax(0).tolist(), strict=True))}
    told |= {"history": fitted.history, "config": training.config}
    return EntityVectors(*joint_vectors(encoder, data, training.joint)), {"training": told}


def _judge(
    data: AlignmentData, vectors: EntityVectors, arguments: argparse.Namespace, told: dict[str, Any], code: str
) -> None:
    """Prints how well the test links are found, and writes it where a file is asked for."""
    import json

    from gnnkg.alignment.aligner import CORRECT
    from gnnkg.evaluation.alignment import evaluate_alignment, plain
    from gnnkg.evaluation.provenance import command_line, provenance
    from gnnkg.stored import write_atomically

    asked = {"linked": "the partners of the test links", "all": "all entities of the other graph"}[arguments.candidates]
    protocol = f"{len(data.test):,} test links, ranked by {{}} among {asked}"
    print(data)
    found: dict[str, Any] = {}
    for match in arguments.match:
        ranks = evaluate_alignment(vectors.left, vectors.right, data.test, CORRECT[match], arguments.candidates)
        found[match] = {way: ranks.metrics(way) for way in WAYS}
        print(protocol.format(match))
        for way, values in found[match].items():
            figures = ", ".join(f"{name} {values[name]:.4f}" for name in ("hits@1", "hits@10", "mrr"))
            print(f"{way}: {figures}")
    if arguments.json is not None:
        if len(data.valid):
            judged = evaluate_alignment(vectors.left, vectors.right, data.valid, plain, "all")
            told["validation, by cosine, among all entities, both ways"] = judged.metrics("both")
        settings = {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)}
        whole = {
            "data": str(data),
            "protocol": f"{protocol.format('each')}, realistic ties",
            "metrics": found,
            **told,
            "command": command_line(),
            "provenance": replace(provenance(settings, arguments.seed), commit=code).to_dict(),
        }
        text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
        write_atomically(arguments.json, text.encode())


def _tell(row: dict[str, float]) -> None:
    print(f"epoch {row['epoch']:.0f}: validation MRR {row['valid/mrr']:.4f}, {row['seeds']:,} seeds", file=sys.stderr)
