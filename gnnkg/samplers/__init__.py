"""Samplers: which candidates a query is compared with in training, and what they should score. One file each."""

from gnnkg.samplers.all_entities import AllEntities
from gnnkg.samplers.uniform import Uniform

__all__ = ["AllEntities", "Uniform"]
