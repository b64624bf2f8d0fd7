"""What people call the entities of the CLDR graph, in any of CLDR's locales."""

from __future__ import annotations

from collections.abc import Sequence

from babel import Locale, UnknownLocaleError

KINDS = {
    "territory": "territory",
    "language": "language",
    "currency": "currency",
    "script": "script",
    "zone": "time zone",
    "time": "time",
    "area": "zone area",
    "weekday": "day",
    "digits": "digits",
    "clock": "clock",
    "dates": "date order",
    "sign": "sign",
    "count": "count",
    "direction": "direction",
}
"""each kind of entity, in words; where two entities share a label, the kind named first here keeps it"""

AREAS = {"Africa": "002", "America": "019", "Asia": "142", "Europe": "150", "Antarctica": "AQ", "Australia": "AU"}
OCEANS = {"Arctic": "Arctic Ocean", "Atlantic": "Atlantic Ocean", "Indian": "Indian Ocean", "Pacific": "Pacific Ocean"}
UNITS = {"d": "day", "m": "month", "y": "year"}


def locale_of(name: str) -> Locale:
    """A CLDR locale: ``de``, ``pt_BR`` or ``pt-BR``. Raises ValueError where CLDR has none of that name."""
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError) as error:
        raise ValueError(
            f"CLDR has no locale {name!r}; it has en, de, fr, pt_BR, zh_Hant, ar, ... ({error})"
        ) from error


def labels_of(entities: Sequence[str], locale: Locale) -> tuple[str, ...]:
    """One label an entity, each of them once: CLDR's name in the locale, or in English, or the code.

    Where several entities bear the same name, all but one get their kind, and if need be their code, behind it.
    """
    english = Locale("en")
    names = {entity: _name(entity, locale) or _name(entity, english) or entity.split(":", 1)[1] for entity in entities}
    order = list(KINDS)
    taken: set[str] = set()
    for entity in sorted(entities, key=lambda entity: (order.index(entity.split(":")[0]), entity)):
        kind, code = entity.split(":", 1)
        if names[entity] in taken:
            names[entity] += f" ({KINDS[kind]})"
        if names[entity] in taken:
            names[entity] += f" ({code})"
        taken.add(names[entity])
    return tuple(names[entity] for entity in entities)


def _name(entity: str, locale: Locale) -> str | None:
    """CLDR's name of an entity in a locale; for the few kinds that CLDR does not name, English words."""
    kind, code = entity.split(":", 1)
    match kind:
        case "territory":
            return locale.territories.get(code)
        case "language":
            return locale.languages.get(code)
        case "currency":
            return locale.currencies.get(code)
        case "script":
            return locale.scripts.get(code)
        case "zone":
            city = code.split("/")[-1].replace("_", " ")
            return locale.time_zones.get(code, {}).get("city") or (city if locale.language == "en" else None)
        case "time":
            names = locale.meta_zones.get(code, {}).get("long", {})
            return names.get("generic") or names.get("standard")
        case "area":
            return locale.territories.get(AREAS.get(code, "")) or OCEANS.get(code)
        case "weekday":
            return locale.days["stand-alone"]["wide"][int(code)]
        case "digits":
            return locale.scripts.get(code.removesuffix("dec").removesuffix("ext").title())
        case "clock":
            return f"{code}-hour clock"
        case "dates":
            return ", ".join(UNITS[letter] for letter in code)
        case "sign":
            return code.replace("-", " ")
    return None
