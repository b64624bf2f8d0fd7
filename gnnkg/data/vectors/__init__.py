"""Vectors of entities that other programs have computed, such as of images: read, matched to a data set, and kept as features.

reading    read_vectors(): .pth, .pkl, .h5, .npy, .npz, .safetensors -> rows, by published id or by name
tokens     read_tokens(): numbers of rows of a codebook -> rows
matching   matched(): rows -> a feature of a data set's entities, with a mask of what is there
kept       write_feature(), read_feature(): the form that gnnkg reads, safetensors or npz, with the entities' identifiers
"""

from gnnkg.data.vectors.kept import read_feature, suffixed, write_feature
from gnnkg.data.vectors.matching import matched, published_ids, read_links, read_missing
from gnnkg.data.vectors.reading import Vectors, read_vectors
from gnnkg.data.vectors.tokens import read_tokens

__all__ = [
    "Vectors",
    "matched",
    "published_ids",
    "read_feature",
    "read_links",
    "read_missing",
    "read_tokens",
    "read_vectors",
    "suffixed",
    "write_feature",
]
