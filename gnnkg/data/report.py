"""What reading a data set met and did about it, so that nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is no fact."""

    file: str
    line: int
    """counted from 1, blank lines and a header included"""
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What one split went through between its file and its facts."""

    read: int = 0
    """facts that stood in the file"""
    duplicates: int = 0
    """repeated facts, dropped: a split keeps one of each"""
    shared: int = 0
    """distinct facts that an earlier split holds too"""
    shared_dropped: bool = False
    """whether those were dropped, as ``overlap="drop"`` asks"""
    faulty: int = 0
    """lines that are no fact, skipped as ``on_error="skip"`` asks"""
    literals: int = 0
    """RDF statements about a literal, which are no facts"""


@dataclass(frozen=True, slots=True)
class Report:
    """What reading met: counts a split, the first skipped lines, and notes for people."""

    splits: Mapping[str, SplitReport] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    """the first ten of each file"""
    notes: tuple[str, ...] = ()
    """what was done beyond reading, e.g. a validation split carved out of train"""
