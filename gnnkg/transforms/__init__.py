"""Transforms: methods that act on what a scorer reads, before it scores. One file each."""

from gnnkg.transforms.demix import DeMix
from gnnkg.transforms.emu import EMU

__all__ = ["EMU", "DeMix"]
