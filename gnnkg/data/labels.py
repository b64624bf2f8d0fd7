"""Words for people out of identifiers that machines made."""

from __future__ import annotations

import re
from urllib.parse import unquote


def label_from_identifier(identifier: str) -> str:
    """``<http://dbpedia.org/resource/Abdullah_G%C3%BCl>`` reads "Abdullah Gül", ``wasBornIn`` "was born in".

    The end of an IRI, percent signs decoded, underscores as spaces; a word in camelCase is taken apart. What would be left
    empty stays as it is.
    """
    bare = identifier.removeprefix("<").removesuffix(">")
    if re.match(r"[a-z][a-z0-9+.-]*://", bare, re.IGNORECASE):
        # the path of DBpedia and YAGO resources may hold slashes: "resource/AC/DC"
        end = re.split(r"/resource/|#", bare.rstrip("/#"), maxsplit=1)[-1]
        bare = end if end != bare.rstrip("/#") else bare.rstrip("/").rsplit("/", 1)[-1]
    words = unquote(bare).replace("_", " ").strip()
    if re.fullmatch(r"[a-z]{2,}([A-Z][a-z]+)+", words):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).lower()
    return words or identifier
