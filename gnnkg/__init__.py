"""gnnkg: learning on knowledge graphs with DGL and PyTorch.

The map of the package; imports run downward only:

    cli          the command line                    lab          methods compared at an equal budget
    experiment   a YAML file -> the objects of a training
    train        fit(): the training loop            run          the run directory
    state        of a training, in a checkpoint      own_modules  classes of one's own, found again
    alignment    who of two graphs is who, trained and untrained
    evaluation   ranking, prediction, results        doctor       what is installed and what is missing
    ---------- one file an idea; these never import each other ----------
    encoders     graph -> vectors                    scorers      vectors -> scores
    samplers     which candidates a query meets      transforms   methods that act on vectors (EMU)
    terms        parts of an objective               losses       scores -> losses
    schedules    of the learning rate, beside torch's
    data         readers, published data sets, audit
    ----------------------------------------------------------------------
    strength     how strong noise is in training: sigma, and alpha with its schedules
    noise        families and scales of noise on vectors
    core         the vocabulary: Batch, Candidates, Labels, Vectors, Encoder, Scorer, Model, Objective
    graph        KnowledgeGraph over a DGL heterograph
    ops          kernels: reference in torch, Numba on CPU, Triton on GPU

The names below are loaded when they are first used, so that ``import gnnkg`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gnnkg._dgl import dgl
    from gnnkg.core import Model, Objective
    from gnnkg.data import Dataset, load
    from gnnkg.evaluation import evaluate, predict
    from gnnkg.graph import KnowledgeGraph
    from gnnkg.run import RunDirectory
    from gnnkg.train import fit

_HOME = {
    "Dataset": "gnnkg.data",
    "KnowledgeGraph": "gnnkg.graph",
    "Model": "gnnkg.core",
    "Objective": "gnnkg.core",
    "RunDirectory": "gnnkg.run",
    "dgl": "gnnkg._dgl",
    "evaluate": "gnnkg.evaluation",
    "fit": "gnnkg.train",
    "load": "gnnkg.data",
    "predict": "gnnkg.evaluation",
}

__all__ = [
    "Dataset",
    "KnowledgeGraph",
    "Model",
    "Objective",
    "RunDirectory",
    "dgl",
    "evaluate",
    "fit",
    "load",
    "predict",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gnnkg' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
