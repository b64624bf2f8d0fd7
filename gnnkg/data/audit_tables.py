"""An audit as tables for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gnnkg.data.audit import Audit, RelationTwins

_ROWS = {
    "lines": "lines read",
    "faulty": "lines that are no fact, skipped",
    "duplicates": "repeated lines",
    "facts": "distinct facts",
    "clean": "in no other split",
    "unseen_entities": "entities unseen in train",
    "unseen_relations": "relations unseen in train",
    "unseen_entity_facts": "facts with an unseen entity",
    "unseen_facts": "facts with an unseen entity or relation",
    "by_duplicate": "answered in train by a duplicate relation",
    "by_inverse": "answered in train by an inverse relation",
    "by_symmetry": "answered in train by symmetry",
}


def tables(audit: Audit, longest: int = 10) -> RenderableType:
    """The tables of an audit, lists of relations cut at ``longest``."""
    parts: list[RenderableType] = [
        Text(f"{audit.num_entities:,} entities, {audit.num_relations:,} relations   {audit.source}")
    ]
    parts += [*_splits(audit), *_categories(audit), *_degrees(audit)]
    for title, twins in (
        ("Duplicate relations", audit.duplicate_relations),
        ("Inverse relations", audit.inverse_relations),
        ("Symmetric relations", audit.symmetric_relations),
    ):
        if twins:
            parts += _twins(title, twins, longest)
    parts += [Text(note) for note in audit.notes]
    if audit.leaks:
        parts += [Text(f"leak: {reason}", style="bold red") for reason in audit.leak_reasons]
    else:
        parts.append(Text("no leak found", style="green"))
    return Group(*parts)


def _table(title: str, *columns: str) -> tuple[Text, Table]:
    table = Table()
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return Text(title, style="bold"), table


def _splits(audit: Audit) -> tuple[Text, Table]:
    title, table = _table(f"Splits of {audit.name}", *audit.splits)
    for attribute, words in _ROWS.items():
        values = [getattr(split, attribute) for split in audit.splits.values()]
        if any(values) or attribute in ("lines", "facts", "clean"):
            table.add_row(words, *(f"{value:,}" for value in values))
    for other in audit.splits:
        shared = {name: split.shared.get(other) for name, split in audit.splits.items()}
        if any(shared.values()):
            table.add_row(f"also in {other}", *("" if count is None else f"{count:,}" for count in shared.values()))
    return title, table


def _categories(audit: Audit) -> tuple[Text, Table]:
    title, table = _table(
        "Relation categories (many: 1.5 or more on average)", "relations", *(f"{name} facts" for name in audit.splits)
    )
    for category, counts in audit.categories.items():
        if counts["relations"]:
            table.add_row(category, *(f"{counts[column]:,}" for column in ("relations", *audit.splits)))
    return title, table


def _degrees(audit: Audit) -> tuple[Text, Table]:
    degrees = audit.degrees
    heading = (
        f"Training facts an entity: median {degrees.median:g}, mean {degrees.mean:.1f}, "
        f"99 % up to {degrees.p99:,.0f}, at most {degrees.maximum:,}"
    )
    title, table = _table(heading, "entities", "")
    most = max(degrees.histogram.values())
    for span, count in degrees.histogram.items():
        if count:
            table.add_row(span, f"{count:,}", Text("█" * max(1, round(30 * count / most)), justify="left"))
    return title, table


def _twins(kind: str, twins: list[RelationTwins], longest: int) -> tuple[Text, Table]:
    title, table = _table(f"{kind} ({len(twins)})", "share of pairs", "pairs")
    for entry in twins[:longest]:
        both = entry.first if entry.first == entry.second else f"{entry.first}\n{entry.second}"
        table.add_row(Text(both), f"{entry.share:.2f}", f"{entry.pairs:,}")
    if len(twins) > longest:
        table.add_row(f"... and {len(twins) - longest} more", "", "")
    return title, table
