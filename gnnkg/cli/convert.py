"""Make a feature of a data set out of vectors of its entities that another program has saved, or out of pictures of them.

IN is .pth or .pt (torch), .pkl, .h5, .npy, .npz or .safetensors; it is read without running code. Rows belong to published ids,
or to names: identifiers, labels, or what --links leads to. Several vectors of one name are averaged. Or IN is .json of tokens, as
MyGO has them, which number the rows of --codebook. Or it is a folder, .tar, .tar.gz or .zip of pictures, each named after its
entity, or in a folder of that name: they are described by colours and edges, or by a network of torchvision or timm whose weights
you have (--network, --weights). OUT (.safetensors or .npz) holds a row for each entity and which of them are there. An experiment
reads it as dataset_options: {features: {NAME: OUT}}, and gnnkg align as --left-features NAME=OUT or --right-features NAME=OUT: the
two sides of a folder of EVA or OpenEA are FOLDER/1 and FOLDER/2.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnnkg.data.vectors import Vectors


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gnnkg convert", description=__doc__)
    parser.add_argument("vectors", metavar="IN", type=Path, help="the file of vectors")
    parser.add_argument("out", metavar="OUT", type=Path, help="what to write: .safetensors or .npz")
    parser.add_argument(
        "--dataset", metavar="NAME", required=True, help="whose entities they are: a name, a folder, or FOLDER/1"
    )
    parser.add_argument("--key", metavar="NAME", help="which array, where IN (or the codebook) has several")
    parser.add_argument(
        "--ids", metavar="FILE", type=Path, help="the names of published ids, such as entity2id.txt or ent_ids_1"
    )
    parser.add_argument(
        "--links",
        metavar="FILE",
        type=Path,
        help="pairs of names of one thing, such as ent_links.txt or *_SameAsLink.txt",
    )
    parser.add_argument("--missing", metavar="FILE", type=Path, help="missing.json: rows of IN that mean absent")
    parser.add_argument("--missing-key", metavar="NAME", help="which list in missing.json (default: IN's name)")
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="what sees pictures, such as torchvision:resnet50 or timm:vit_base_patch16_224",
    )
    parser.add_argument("--weights", metavar="FILE", type=Path, help="of the network: .safetensors, .pth, .pt or .bin")
    parser.add_argument("--codebook", metavar="FILE", type=Path, help="of tokens: a table, such as tokens/visual.pth")
    arguments = parser.parse_args(argv)
    if (arguments.codebook is None) == (arguments.vectors.suffix == ".json"):
        parser.error("--codebook and tokens go together: IN is then .json, a mapping of entities to lists of tokens")
    if (arguments.network is None) != (arguments.weights is None):
        parser.error("--network and --weights go together: a network sees nothing without its weights")

    from gnnkg.data.alignment import load_side
    from gnnkg.data.dictionaries import read_dictionary
    from gnnkg.data.pictures import holds_pictures
    from gnnkg.data.vectors import (
        matched,
        published_ids,
        read_links,
        read_missing,
        read_tokens,
        read_vectors,
        suffixed,
        write_feature,
    )

    out = suffixed(arguments.out)
    dataset = load_side(arguments.dataset)
    pictured = holds_pictures(arguments.vectors)
    if not arguments.vectors.exists():
        raise ValueError(f"there is no file and no folder {arguments.vectors}")
    if arguments.network is not None and not pictured:
        raise ValueError(f"{arguments.vectors} is no folder and no archive of pictures, which --network is for")
    if arguments.key is not None and pictured:
        raise ValueError(f"--key names an array of a file, and {arguments.vectors} holds pictures")
    if pictured:
        vectors = _seen(arguments)
    elif arguments.codebook is not None:
        vectors = read_tokens(arguments.vectors, arguments.codebook, arguments.key)
    else:
        vectors = read_vectors(arguments.vectors, arguments.key)
    missing_key = arguments.missing_key or arguments.vectors.name
    name = out.stem
    feature, notes = matched(
        vectors,
        dataset,
        name,
        ids=read_dictionary(arguments.ids) if arguments.ids else published_ids(arguments.dataset, dataset),
        links=read_links(arguments.links) if arguments.links else None,
        missing=read_missing(arguments.missing, missing_key) if arguments.missing else (),
    )
    for note in notes:
        print(note)
    print(f"written to {write_feature(out, feature, dataset.entities)}. To train on it, say in the experiment:")
    print(f"  dataset_options: {{features: {{{name}: {out}}}}}")
    print(f"  and in SNAG's modalities: {name}: {{class_path: Given, init_args: {{feature: {name}}}}}")
    return 0


def _seen(arguments: argparse.Namespace) -> Vectors:
    """The vectors of pictures."""
    import numpy as np

    from gnnkg.data.images import described
    from gnnkg.data.pictures import vectors_of_pictures

    if arguments.network is None:
        return vectors_of_pictures(arguments.vectors, lambda contents: np.stack([described(each) for each in contents]))
    from gnnkg.data.networks import network

    return vectors_of_pictures(arguments.vectors, network(arguments.network, arguments.weights))
