"""How a number was measured. Numbers of different protocols must not be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gnnkg.data.dataset import FILTERS, SPLITS

MEANING = {
    "ties": "the rank of a truth that scores the same as other candidates",
    "filter": "the splits whose other answers are left out of the candidates",
    "unseen": "what becomes of test facts with an entity that no training fact holds",
    "candidates": "what a truth is compared with",
    "directions": "what is asked of a fact",
    "sampled": "how the candidates of hits@10_50 are drawn",
}


@dataclass(frozen=True, slots=True)
class Protocol:
    """The choices that move a link-prediction figure although the model stays the same.

    Raises ValueError for a split that there is not.
    """

    ties: str = "realistic"
    filter: tuple[str, ...] = SPLITS
    """in the order of FILTERS, however given; empty: raw ranks"""
    unseen: str = "kept"
    candidates: str = "all entities"
    directions: tuple[str, ...] = ("tail", "head")
    sampled: str = ""
    """how the candidates of ``hits@10_50`` are drawn; empty: it was not measured"""

    def __post_init__(self) -> None:
        unknown = [name for name in self.filter if name not in FILTERS]
        if unknown:
            raise ValueError(f"filter names splits, of {', '.join(FILTERS)}, not {unknown[0]!r}")
        object.__setattr__(self, "filter", tuple(name for name in FILTERS if name in self.filter))
        object.__setattr__(self, "directions", tuple(self.directions))

    def __str__(self) -> str:
        filtered = f"filtered by {' + '.join(self.filter)}" if self.filter else "raw (unfiltered)"
        drawn = f"; Hits@10 of 50: {self.sampled}" if self.sampled else ""
        return (
            f"{filtered}, {' and '.join(self.directions)} asked, among {self.candidates}, {self.ties} ties, "
            f"facts with unseen entities {self.unseen}{drawn}"
        )

    def differences(self, other: Protocol) -> list[str]:
        """What differs, in words; empty where all that both have measured was measured alike."""
        found = []
        for name, meaning in MEANING.items():
            ours, theirs = (_words(getattr(protocol, name)) for protocol in (self, other))
            if ours != theirs and (name != "sampled" or (self.sampled and other.sampled)):
                found.append(f"{name} ({meaning}): {ours} against {theirs}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """``sampled`` only where there is something to say."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: value for name, value in values.items() if name != "sampled" or value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Protocol:
        """Raises ValueError where a field is missing or unknown, or not of its type: no default is put in, but for ``sampled``."""
        expected = [field.name for field in fields(cls) if field.name != "sampled"]
        if sorted(name for name in values if name != "sampled") != sorted(expected):
            raise ValueError(
                f"a protocol has exactly the fields {', '.join(expected)}, not {', '.join(values) or 'none'}"
            )
        for name in ("filter", "directions"):
            if not isinstance(values[name], list | tuple):
                raise ValueError(f"a protocol's {name} is a list of words, not {values[name]!r}")
        if not isinstance(values.get("sampled", ""), str):
            raise ValueError(f"a protocol's sampled is a text, not {values['sampled']!r}")
        lists = {name: tuple(values[name]) for name in ("filter", "directions")}
        return cls(**{**values, **lists})


def _words(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " + ".join(value) or "none"
