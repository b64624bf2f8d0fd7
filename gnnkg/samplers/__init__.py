"""Samplers: which candidates a query is compared with in training, and what they should score. One file each."""

from gnnkg.samplers.all_entities import AllEntities
from gnnkg.samplers.uniform import Uniform
from gnnkg.samplers.with_positives import WithPositives

__all__ = ["AllEntities", "Uniform", "WithPositives"]
