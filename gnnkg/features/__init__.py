"""Modalities: what is known about entities besides their facts, as tables of numbers. One file each.

``TextNgrams("label")(graph)`` learns what it needs from the graph of a training, and what comes back reads the modality off
any graph: ``ReadFeature``. What takes long is kept in the user's cache.
"""

from gnnkg.features.given import Given
from gnnkg.features.numbers import Numbers
from gnnkg.features.relations import RelationBag
from gnnkg.features.sentences import Sentences
from gnnkg.features.terms import Terms
from gnnkg.features.text import TextNgrams

__all__ = ["Given", "Numbers", "RelationBag", "Sentences", "Terms", "TextNgrams"]
