"""What Unicode CLDR states about territories, languages, currencies, scripts and time zones, as triples of identifiers.

An identifier is a kind and CLDR's code: ``territory:CH``, ``language:de``, ``zone:Europe/Zurich``. No relation is stated
together with its inverse. babel carries no table of continents; zones are grouped by the first part of their names.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from math import fsum

from babel import Locale
from babel.core import get_global
from babel.localedata import locale_identifiers

Triple = tuple[str, str, str]

RELATIONS = {
    "uses_currency": "uses currency",
    "used_currency": "once used currency",
    "has_unit_of_account": "has unit of account",
    "official_language": "has official language",
    "de_facto_language": "has de facto official language",
    "regional_language": "has regional official language",
    "speaks": "also speaks",
    "territory_script": "mostly writes in",
    "has_time_zone": "has time zone",
    "week_begins_on": "begins the week on",
    "weekend_begins_on": "begins the weekend on",
    "reads_clock": "tells the time on a",
    "writes_dates": "writes dates as",
    "decimal_sign": "writes decimals with",
    "grouping_sign": "groups digits with",
    "main_script": "is mostly written in",
    "also_written_in": "is also written in",
    "main_territory": "is mostly spoken in",
    "text_direction": "is written from",
    "native_digits": "has its own digits in",
    "plural_form": "has a plural form for",
    "ordinal_form": "has an ordinal form for",
    "replaced_by": "was replaced by",
    "zone_area": "lies in",
    "zone_time": "observes",
}

STATUS = {
    "official": "official_language",
    "de_facto_official": "de_facto_language",
    "official_regional": "regional_language",
    None: "speaks",
}
"""CLDR's official status of a language in a territory, highest first"""

UNKNOWN = ("XA", "XB", "ZZ", "XXX", "und")
"""CLDR's codes for pseudo-locales, and for no known territory, currency or language"""


def territories() -> list[str]:
    """The codes of the territories that CLDR names."""
    named = (str(code) for code in Locale("en").territories)
    return sorted(code for code in named if re.fullmatch("[A-Z]{2}", code) and code not in UNKNOWN)


def spoken() -> dict[str, dict[str, float]]:
    """Language -> territory -> the share of its people who speak it."""
    shares: dict[str, dict[str, float]] = defaultdict(dict)
    known = set(territories())
    for territory, spoken_there in get_global("territory_languages").items():
        for tag, entry in spoken_there.items():
            language = tag.split("_")[0]
            if territory in known and language not in UNKNOWN:
                share = entry["population_percent"] / 100
                shares[language][territory] = max(share, shares[language].get(territory, 0.0))
    return shares


def kept(languages: str | int) -> set[str]:
    """The languages to keep.

    "spoken": those with speakers known to CLDR; "named": those of them that have an English name; "all": also the
    thousands of which CLDR knows only script and territory; a number: the so many that are spoken in most territories.

    Raises ValueError for anything else.
    """
    shares = spoken()
    if languages == "spoken":
        return set(shares)
    if languages == "named":
        return set(shares) & {str(code) for code in Locale("en").languages}
    likely = {tag for tag in get_global("likely_subtags") if re.fullmatch("[a-z]{2,3}", tag) and tag not in UNKNOWN}
    if languages == "all":
        return likely | set(shares)
    if isinstance(languages, int) and not isinstance(languages, bool) and languages >= 0:
        spread = {tag: (-len(shares[tag]), -fsum(shares[tag].values()), tag) for tag in likely | set(shares)}
        return set(sorted(spread, key=spread.__getitem__)[:languages])
    raise ValueError(f"languages must be 'named', 'spoken', 'all' or a number of languages, not {languages!r}")


def every_fact(languages: set[str]) -> list[Triple]:
    """Every fact about the territories, the kept languages, and what they use; sorted."""
    stated = {*_of_currencies(), *_of_speakers(), *_of_conventions(), *_of_languages(), *_of_zones()}

    def inside(name: str) -> bool:
        kind, code = name.split(":", 1)
        return kind != "language" or code in languages

    return sorted(triple for triple in stated if inside(triple[0]) and inside(triple[2]))


def currency_history() -> dict[str, list[tuple[str, date, date | None, bool]]]:
    """Territory -> (currency, first day, last day or None, whether it circulates)."""
    history: dict[str, list[tuple[str, date, date | None, bool]]] = {}
    for territory in territories():
        entries = get_global("territory_currencies").get(territory, [])
        history[territory] = [
            (code, date(*(start or (1, 1, 1))), date(*end) if end else None, tender)
            for code, start, end, tender in entries
            if code not in UNKNOWN
        ]
    return history


def _of_currencies() -> Iterator[Triple]:
    history = currency_history()
    current = {code for entries in history.values() for code, _, end, tender in entries if tender and end is None}
    for territory, entries in history.items():
        for code, start, end, tender in entries:
            relation = "has_unit_of_account" if not tender else "uses_currency" if end is None else "used_currency"
            yield f"territory:{territory}", relation, f"currency:{code}"
            if tender and end is not None and code not in current:
                # the successor may circulate a while before the old money goes, or come up to a year after it
                later = [
                    (first, other)
                    for other, first, last, circulates in entries
                    if circulates and start < first <= end + timedelta(365) and (last is None or last > end)
                ]
                if later:
                    yield f"currency:{code}", "replaced_by", f"currency:{max(later)[1]}"


def _of_speakers() -> Iterator[Triple]:
    known, order = set(territories()), list(STATUS)
    for territory, spoken_there in get_global("territory_languages").items():
        statuses: dict[str, list[str | None]] = defaultdict(list)
        for tag, entry in spoken_there.items():
            language, *script = tag.split("_")
            statuses[language].append(entry["official_status"])
            if script:
                yield f"language:{language}", "also_written_in", f"script:{script[0]}"
        if territory in known:
            for language, of_its_scripts in statuses.items():
                status = min(of_its_scripts, key=order.index)
                yield f"territory:{territory}", STATUS[status], f"language:{language}"


def week_of(territory: str) -> Locale | None:
    """A locale that tells a territory's week: not one that babel lets inherit from another territory's."""
    parents = get_global("parent_exceptions")
    own = (
        name
        for name in sorted(locale_identifiers())
        if name.endswith(f"_{territory}") and not re.search("_[A-Z]{2}$", parents.get(name, ""))
    )
    name = next(own, None)
    return Locale.parse(name) if name else None


def _of_conventions() -> Iterator[Triple]:
    """How numbers, dates, times and weeks are written in a territory, by its most likely locale."""
    available = set(locale_identifiers())
    for territory in territories():
        head = f"territory:{territory}"
        language, script, *_ = get_global("likely_subtags").get(f"und_{territory}", f"en_Latn_{territory}").split("_")
        if territory in get_global("territory_languages"):
            yield head, "territory_script", f"script:{script}"
        if week := week_of(territory):
            yield head, "week_begins_on", f"weekday:{week.first_week_day}"
            yield head, "weekend_begins_on", f"weekday:{week.weekend_start}"
        for name in (f"{language}_{script}_{territory}", f"{language}_{territory}"):
            if name in available:
                yield from _written_in(head, Locale.parse(name))
                break


def _written_in(head: str, locale: Locale) -> Iterator[Triple]:
    clock = 12 if re.search("[hK]", locale.time_formats["short"].pattern) else 24
    yield head, "reads_clock", f"clock:{clock}"
    order = re.sub("(.)\\1+", r"\1", re.sub("'[^']*'|[^dMy]", "", locale.date_formats["short"].pattern)).lower()
    yield head, "writes_dates", f"dates:{order}"
    symbols = locale.number_symbols.get(locale.default_numbering_system, {})
    for relation, symbol in (("decimal_sign", "decimal"), ("grouping_sign", "group")):
        if symbol in symbols:
            yield head, relation, f"sign:{unicodedata.name(symbols[symbol]).lower().replace(' ', '-')}"


def _of_languages() -> Iterator[Triple]:
    known = set(territories())
    for tag, likely in get_global("likely_subtags").items():
        language, script, territory = likely.split("_")[:3]
        if tag == language:
            yield f"language:{language}", "main_script", f"script:{script}"
            if territory in known:
                yield f"language:{language}", "main_territory", f"territory:{territory}"
        elif tag.startswith(f"{language}_") and likely != f"{language}_{script}":
            usual = get_global("likely_subtags").get(language, "").split("_")[1:2]
            if usual != [script]:
                yield f"language:{language}", "also_written_in", f"script:{script}"
    for language in locale_identifiers():
        if "_" not in language:
            yield from _of_grammar(f"language:{language}", Locale(language))


def _of_grammar(head: str, locale: Locale) -> Iterator[Triple]:
    yield head, "text_direction", f"direction:{locale.character_order}"
    digits = locale.other_numbering_systems.get("native")
    if digits and digits != "latn":
        yield head, "native_digits", f"digits:{digits}"
    for form in locale.plural_form.tags:
        yield head, "plural_form", f"count:{form}"
    for form in locale.ordinal_form.tags:
        yield head, "ordinal_form", f"count:{form}"


def _of_zones() -> Iterator[Triple]:
    known, times = set(territories()), get_global("meta_zones")
    for zone, territory in get_global("zone_territories").items():
        if territory in known:
            yield f"territory:{territory}", "has_time_zone", f"zone:{zone}"
            yield f"zone:{zone}", "zone_area", f"area:{zone.split('/')[0]}"
            if zone in times:
                yield f"zone:{zone}", "zone_time", f"time:{times[zone]}"
