"""The form in which gnnkg keeps vectors: ``values`` (N, F), ``present`` (N,) and the identifiers of the N entities.

As .safetensors the identifiers stand in the metadata, as JSON; as .npz in the array ``entities``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gnnkg.data.dataset import Dataset, Feature
from gnnkg.data.triples import DataError
from gnnkg.stored import replacing

SUFFIXES = (".safetensors", ".npz")


def write_feature(path: Path | str, feature: Feature, entities: tuple[str, ...]) -> Path:
    """Writes a feature of entities whole or not at all; the suffix says which form. Raises DataError for another."""
    path = suffixed(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"values": feature.values.contiguous(), "present": feature.has.contiguous()}
    with replacing(path) as beside:
        if path.suffix == ".npz":
            with open(beside, "wb") as file:  # np.savez adds a suffix to a name
                named = {name: array.numpy() for name, array in arrays.items()}
                np.savez(file, entities=np.array(entities, dtype=np.str_), allow_pickle=False, **named)
        else:
            told = json.dumps(entities, ensure_ascii=False)
            safetensors.torch.save_file(arrays, beside, {"entities": told})
    return path


def read_feature(path: Path | str, dataset: Dataset, name: str) -> Feature:
    """A feature that ``write_feature`` wrote, in the order of a data set's entities; those that the file has not lack it.

    Raises DataError where the file is another, or has none of the entities.
    """
    path = suffixed(path)
    entities, values, present = _read(path)
    place = {entity: i for i, entity in enumerate(entities)}
    rows = torch.tensor([place.get(entity, -1) for entity in dataset.entities])
    known = rows >= 0
    if not known.any():
        raise DataError(
            f"{path} has vectors of {len(entities):,} entities ({', '.join(entities[:3])}, ...), and none of {dataset.name}'s "
            f"({', '.join(dataset.entities[:3])}, ...): convert it for this data set"
        )
    found = torch.where(known.unsqueeze(1), values[rows], 0)
    names = tuple(f"{name} {i}" for i in range(values.shape[1]))
    return Feature(found, (known & present[rows]).unsqueeze(1).expand(found.shape), names)


def suffixed(path: Path | str) -> Path:
    """A path whose suffix says which form. Raises DataError for another."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: a feature is kept as {' or '.join(SUFFIXES)}; gnnkg convert makes one of other files")
    return path


def _read(path: Path) -> tuple[tuple[str, ...], Float[Tensor, "N F"], Bool[Tensor, " N"]]:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as found:
                entities = tuple(found["entities"].tolist())
                values, present = (torch.from_numpy(found[name]) for name in ("values", "present"))
        else:
            with safe_open(path, framework="pt") as file:
                entities = tuple(json.loads((file.metadata() or {})["entities"]))
                values, present = (file.get_tensor(name) for name in ("values", "present"))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} was not written by gnnkg convert ({error}): convert it") from error
    if not len(entities) == len(values) == len(present):
        raise DataError(
            f"{path} is damaged: {len(entities):,} entities, {len(values):,} rows, {len(present):,} in the mask"
        )
    if values.dim() != 2 or present.dim() != 1 or values.is_complex():
        raise DataError(
            f"{path}: expected numbers (entities, numbers) and a mask (entities), not {tuple(values.shape)} of {values.dtype} and "
            f"{tuple(present.shape)}"
        )
    values, present = values.float(), present.bool()
    if not (finite := values.isfinite().all(1) | ~present).all():
        bad = [entities[i] for i in (~finite).nonzero().squeeze(1)[:3].tolist()]
        raise DataError(
            f"{path} has numbers that are NaN or infinite, of {', '.join(bad)}: leave these out of the mask"
        )
    return entities, torch.where(present.unsqueeze(1), values, 0), present
