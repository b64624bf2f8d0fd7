"""How well a model of modalities answers where some are missing that training had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pandas
import torch

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import SNAG
from gnnkg.encoders.modality import Modality
from gnnkg.evaluation.ranking import evaluate

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)


@contextmanager
def modalities_dropped(model: Model, share: float, seed: int = 0, names: Sequence[str] | None = None) -> Iterator[None]:
    """For as long as the context lasts, a share of the entities lacks the named modalities (None: all but structure).

    Which entities is drawn for each modality apart, by the seed, and those of a smaller share are among those of a larger.
    Raises ValueError where the model has no such modality, or the share lies outside [0, 1].
    """
    found = [module for module in model.modules() if isinstance(module, SNAG)]
    known = found[0].names[1:] if found else ()
    unknown = [name for name in names or known or ("a modality",) if name not in known]
    if unknown:
        raise ValueError(f"this model has not the modality {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies in [0, 1], not {share}")
    draw = torch.Generator().manual_seed(seed)
    with ExitStack() as stack:
        for name, modality in zip(known, found[0].modalities, strict=True):
            assert isinstance(modality, Modality)
            place = torch.rand(len(modality.has), generator=draw)
            if names is None or name in names:
                stack.enter_context(modality.without((place < share).to(modality.has.device)))
        yield


def missing_modalities(
    model: Model,
    dataset: Dataset,
    split: str = "test",
    shares: Sequence[float] = SHARES,
    names: Sequence[str] | None = None,
    seed: int = 0,
    memory: int | None = None,
) -> pandas.DataFrame:
    """The filtered metrics of a split, a row a share of entities that lack modalities; see ``modalities_dropped``."""
    rows = []
    for share in shares:
        with modalities_dropped(model, share, seed, names):
            rows.append({"share": share, **evaluate(model, dataset, split, memory=memory).metrics})
    return pandas.DataFrame(rows)
