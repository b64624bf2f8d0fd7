"""How a number was measured. Numbers of different protocols must not be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gnnkg.data.dataset import SPLITS

MEANING = {
    "ties": "the rank of a truth that scores the same as other candidates",
    "filter": "the splits whose other answers are left out of the candidates",
    "unseen": "what becomes of test facts with an entity that no training fact holds",
    "candidates": "what a truth is compared with",
    "directions": "what is asked of a fact",
}


@dataclass(frozen=True, slots=True)
class Protocol:
    """The choices that move a link-prediction figure although the model stays the same.

    Raises ValueError for a split that there is not.
    """

    ties: str = "realistic"
    filter: tuple[str, ...] = SPLITS
    """in the order of SPLITS, however given; empty: raw ranks"""
    unseen: str = "kept"
    candidates: str = "all entities"
    directions: tuple[str, ...] = ("tail", "head")

    def __post_init__(self) -> None:
        unknown = [name for name in self.filter if name not in SPLITS]
        if unknown:
            raise ValueError(f"filter names splits, of {', '.join(SPLITS)}, not {unknown[0]!r}")
        object.__setattr__(self, "filter", tuple(name for name in SPLITS if name in self.filter))
        object.__setattr__(self, "directions", tuple(self.directions))

    def __str__(self) -> str:
        filtered = f"filtered by {' + '.join(self.filter)}" if self.filter else "raw (unfiltered)"
        return (
            f"{filtered}, {' and '.join(self.directions)} asked, among {self.candidates}, {self.ties} ties, "
            f"facts with unseen entities {self.unseen}"
        )

    def differences(self, other: Protocol) -> list[str]:
        """What differs, in words; empty where the two are equal."""
        found = []
        for name, meaning in MEANING.items():
            ours, theirs = (_words(getattr(protocol, name)) for protocol in (self, other))
            if ours != theirs:
                found.append(f"{name} ({meaning}): {ours} against {theirs}")
        return found

    def to_dict(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Protocol:
        """Raises ValueError where a field is missing or unknown, or not of its type: no default is put in."""
        expected = [field.name for field in fields(cls)]
        if sorted(values) != sorted(expected):
            raise ValueError(
                f"a protocol has exactly the fields {', '.join(expected)}, not {', '.join(values) or 'none'}"
            )
        for name in ("filter", "directions"):
            if not isinstance(values[name], list | tuple):
                raise ValueError(f"a protocol's {name} is a list of words, not {values[name]!r}")
        lists = {name: tuple(values[name]) for name in ("filter", "directions")}
        return cls(**{**values, **lists})


def _words(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " + ".join(value) or "none"
