"""Finding an entity or a relation by what people call it."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Sequence
from functools import cached_property


class UnknownName(LookupError):
    """No entity or relation is called so; ``suggestions`` are the closest names there are."""

    def __init__(self, message: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.suggestions = suggestions


class AmbiguousName(LookupError):
    """Several entities or relations are called so; ``candidates`` are their identifiers."""

    def __init__(self, message: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates


class Names:
    """Identifiers and labels of things with ids 0, 1, ...: a name is looked up as an identifier, then as a label, then
    as either in any case."""

    def __init__(self, kind: str, identifiers: Sequence[str], labels: Sequence[str]) -> None:
        self.kind = kind
        self.identifiers = identifiers
        self.labels = labels

    @cached_property
    def _by_identifier(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.identifiers)}

    @cached_property
    def _by_label(self) -> dict[str, list[int]]:
        return _grouped(self.labels)

    @cached_property
    def _in_any_case(self) -> dict[str, list[int]]:
        folded = _grouped(name.casefold() for name in self.labels)
        for i, name in enumerate(self.identifiers):
            ids = folded.setdefault(name.casefold(), [])
            if i not in ids:
                ids.append(i)
        return folded

    def id(self, name: str) -> int:
        """The id of what is called ``name``.

        Raises AmbiguousName where a label stands for several, UnknownName where nothing is called so.
        """
        if name in self._by_identifier:
            return self._by_identifier[name]
        ids = self._by_label.get(name) or self._in_any_case.get(name.casefold())
        if not ids:
            raise self._unknown(name)
        if len(ids) > 1:
            raise self._ambiguous(name, ids)
        return ids[0]

    def shown(self, index: int) -> str:
        """The label, with the identifier behind it where that is another word."""
        label, identifier = self.labels[index], self.identifiers[index]
        return label if label == identifier else f"{label} ({identifier})"

    def closest(self, name: str, count: int = 5) -> list[int]:
        """The ids whose label or identifier reads most like ``name``."""
        texts = closest(name.casefold(), self._in_any_case, count)
        return list(dict.fromkeys(i for text in texts for i in self._in_any_case[text]))[:count]

    def _unknown(self, name: str) -> UnknownName:
        suggestions = tuple(self.shown(i) for i in self.closest(name))
        hint = f"; closest: {', '.join(suggestions)}" if suggestions else ""
        return UnknownName(f"no {self.kind} is called {name!r}{hint}", suggestions)

    def _ambiguous(self, name: str, ids: list[int]) -> AmbiguousName:
        candidates = tuple(self.identifiers[i] for i in ids)
        listed = ", ".join(candidates[:10]) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")
        return AmbiguousName(
            f"{len(ids)} {self.kind} names read {name!r}; give one of the identifiers {listed}", candidates
        )


def closest(name: str, names: Iterable[str], count: int = 5) -> list[str]:
    """The names that read most like ``name``; those that hold it come first."""
    wanted = _trigrams(name)
    # trigrams pick a short list among all names; difflib is too slow to see more than a few hundred
    shared = (
        (2 * len(wanted & grams) / (len(wanted) + len(grams)), text)
        for text in names
        if not wanted.isdisjoint(grams := _trigrams(text))
    )
    short_list = [text for _, text in heapq.nlargest(200, shared)]
    likeness = {text: difflib.SequenceMatcher(None, name, text).ratio() + (name in text) for text in short_list}
    return [text for text in sorted(short_list, key=lambda text: -likeness[text]) if likeness[text] > 0.5][:count]


def _grouped(names: Iterable[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(name, []).append(i)
    return groups


def _trigrams(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}
