"""Samplers: which candidates a query is compared with in training, and what they should score. One file each."""

from gnnkg.samplers.all_entities import AllEntities
from gnnkg.samplers.in_batch import InBatch
from gnnkg.samplers.ns_caching import NSCaching
from gnnkg.samplers.structure_aware import StructureAware
from gnnkg.samplers.typed import Typed
from gnnkg.samplers.uniform import Uniform
from gnnkg.samplers.with_positives import WithPositives

__all__ = ["AllEntities", "InBatch", "NSCaching", "StructureAware", "Typed", "Uniform", "WithPositives"]
