from __future__ import annotations

from dataclasses import dataclass

from gnnkg.annotations import Feature
from gnnkg.core import ReadFeature
from gnnkg.features.reading import feature_of
from gnnkg.graph import KnowledgeGraph


@dataclass(frozen=True)
class Given:
    """A feature of the data set as it stands there, such as vectors that another model has computed.

    Reading it raises ValueError where a data set has no feature of the name, or one of another width.
    """

    feature: str

    def __call__(self, graph: KnowledgeGraph) -> ReadFeature:
        width = len(feature_of(graph, self.feature).names)

        def read(graph: KnowledgeGraph) -> Feature:
            found = feature_of(graph, self.feature)
            if len(found.names) != width:
                raise ValueError(
                    f"feature {self.feature!r} had {width} columns in training, and has {len(found.names)} here"
                )
            return found

        return read
