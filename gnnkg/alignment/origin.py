"""What a checkpoint of an alignment was trained on and how, so that no other training is continued from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnnkg.data.alignment import AlignmentData
from gnnkg.data.dataset import Dataset
from gnnkg.stored import digest

FREE = ("stop_after", "accelerator")
"""settings that may be others when a training is continued"""


def origin(data: AlignmentData, seed: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Graphs, what is known of their entities, links, seed and settings, each by its name. Test links are not among them: training
    does not read them.
    """
    return {
        "left graph": data.left.data_hash,
        "right graph": data.right.data_hash,
        "left labels, texts and features": _annotated(data.left),
        "right labels, texts and features": _annotated(data.right),
        "seeds": digest({"links": data.train}),
        "validation links": digest({"links": data.valid}),
        "seed": seed,
        **{name: value for name, value in _flat(config).items() if name not in FREE},
    }


def _annotated(dataset: Dataset) -> str:
    """A digest of what an encoder of modalities reads of the entities, besides facts."""
    total = hashlib.sha256(json.dumps([dataset.entity_labels, sorted(dataset.texts.items())]).encode())
    for name, feature in sorted(dataset.features.items()):
        total.update(json.dumps([name, feature.names]).encode())
        total.update(digest({"values": feature.values, "present": feature.present}).encode())
    return total.hexdigest()


def expect_same(path: Path, saved: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Raises ValueError, which names what differs, where the checkpoint at ``path`` is of another training, or does not say."""
    remedy = "delete it, and the training begins anew, or name another file"
    if saved is None:
        raise ValueError(f"{path} does not say what it was trained on, as those of older versions do not: {remedy}")
    other = [name for name in {**saved, **now} if (name in saved, saved.get(name)) != (name in now, now.get(name))]
    if other:
        told = ", ".join(_difference(name, saved, now) for name in other[:5])
        told += f" and {len(other) - 5} more" if len(other) > 5 else ""
        raise ValueError(f"{path} is of another training, and differs in {told}: {remedy}")


def _difference(name: str, saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if name in ("seeds", "validation links") or name.startswith(("left ", "right ")):
        return f"the {name}"
    there, here = (str(side[name]) if name in side else "nothing" for side in (saved, now))
    return f"{name} ({there} there, {here} here)"


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by the dotted names of their places."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value if isinstance(value, int | float | str | None) else str(value)
    return found
