"""Tokens of entities, such as MyGO's of pictures and texts: numbers of rows of a codebook, which make a vector of each entity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gnnkg.data.lines import shown
from gnnkg.data.triples import DataError
from gnnkg.data.vectors.reading import Key, Vectors, read_vectors


def read_tokens(path: Path | str, codebook: Path | str, key: str | None = None) -> Vectors:
    """The mean of the codebook's rows that an entity's tokens name, each as often as it occurs.

    ``path`` is .json: a mapping of entities, by name or published id, to lists of tokens (MyGO's ``tokens/DB15K-visual.json``).
    ``codebook`` is a table, a row a token, in any form of ``read_vectors`` (``tokens/visual.pth``); ``key`` names it where the file
    has several. An entity without tokens is left out.

    Raises DataError, which names file and entity, for anything else and for tokens that the codebook does not have.
    """
    path = Path(path)
    table = read_vectors(codebook, key)
    if table.keys is not None:
        raise DataError(f"{codebook}: a codebook is one table, a row a token, and not vectors of names")
    found = _read(path)
    keys: list[Key] = []
    rows: list[np.ndarray] = []
    pooled = 0
    for entity, tokens in found.items():
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise DataError(f"{path}: {entity!r} has {shown(str(tokens), 40)}, and tokens are a list of whole numbers")
        wrong = [token for token in tokens if not 0 <= token < len(table.values)]
        if wrong:
            raise DataError(
                f"{path}: {entity!r} has the token {wrong[0]}, and {codebook} has rows 0 to {len(table.values) - 1}: is it "
                "the codebook of these tokens?"
            )
        if tokens:
            keys.append(entity)
            rows.append(table.values[tokens].mean(0))
            pooled += len(tokens) > 1
    if not rows:
        raise DataError(f"{path}: no entity has a token")
    return Vectors(np.stack(rows), tuple(keys), str(path), pooled)


def _read(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} holds {shown(str(found), 40)}, and tokens are a mapping of entities to lists of them")
    return found
