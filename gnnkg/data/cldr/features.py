"""Numbers that CLDR holds about territories, languages and currencies.

None of them counts facts: a count over all splits would tell a model how many were held out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import fsum

import torch
from babel.core import get_global

from gnnkg.data.cldr.facts import currency_history, spoken, territories, week_of
from gnnkg.data.dataset import Feature

COLUMNS = (
    "territory.largest_language_share",
    "territory.sum_of_language_shares",
    "territory.days_in_first_week",
    "language.largest_share",
    "language.sum_of_shares",
    "currency.digits",
    "currency.cash_digits",
    "currency.cash_rounding",
    "currency.first_year",
    "currency.last_year",
)


def numbers(entities: Sequence[str]) -> Feature:
    """Every number, as one feature with the columns of ``COLUMNS``. A share is a fraction of a territory's people."""
    found = {**_territories(), **_languages(), **_currencies()}
    values = torch.zeros(len(entities), len(COLUMNS))
    present = torch.zeros(len(entities), len(COLUMNS), dtype=torch.bool)
    for row, entity in enumerate(entities):
        for name, value in found.get(entity, {}).items():
            values[row, COLUMNS.index(name)] = value
            present[row, COLUMNS.index(name)] = True
    return Feature(values, present, COLUMNS)


def _territories() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    shares: dict[str, list[float]] = defaultdict(list)
    for by_territory in spoken().values():
        for territory, share in by_territory.items():
            shares[territory].append(share)
    for territory in territories():
        numbers = found[f"territory:{territory}"]
        if territory in shares:
            numbers["territory.largest_language_share"] = max(shares[territory])
            numbers["territory.sum_of_language_shares"] = fsum(shares[territory])
        if week := week_of(territory):
            numbers["territory.days_in_first_week"] = float(week.min_week_days)
    return found


def _languages() -> dict[str, dict[str, float]]:
    return {
        f"language:{language}": {
            "language.largest_share": max(by_territory.values()),
            "language.sum_of_shares": fsum(by_territory.values()),
        }
        for language, by_territory in spoken().items()
    }


def _currencies() -> dict[str, dict[str, float]]:
    fractions = get_global("currency_fractions")
    entries = [entry for of_territory in currency_history().values() for entry in of_territory]
    found = {}
    for code in {code for code, *_ in entries}:
        digits, _, cash_digits, cash_rounding = fractions.get(code, fractions["DEFAULT"])
        spans = [(start, end) for other, start, end, _ in entries if other == code]
        numbers = {
            "currency.digits": float(digits),
            "currency.cash_digits": float(cash_digits),
            "currency.cash_rounding": float(cash_rounding),
        }
        first, last = min(start for start, _ in spans), [end for _, end in spans if end]
        if first.year > 1:
            numbers["currency.first_year"] = float(first.year)
        if len(last) == len(spans):
            numbers["currency.last_year"] = float(max(last).year)
        found[f"currency:{code}"] = numbers
    return found
