"""What EMU costs: a training step without it, with shared masks, and with a mask for each pair, side by side.

    python benchmarks/emu.py [--scorers DistMult TransE] [--turns 4] [--threads 2] [--json FILE]

1,000 queries and cross-entropy; ``steps.py`` says what a step is and how it is measured. Ratios are to the plain step with the same
negatives:

    one                 the term's negatives are mutated, with one mask for all pairs of a batch
    query, negative     the same with masks shared by the negatives of a query, or by the queries
    pair                a mask for each pair, drawn inside the kernels
    stored              the same, with masks and mutated vectors as tensors
    plain + query       the method as published: the plain term and, beside it, the mutated one; + pair likewise
    plain + eight       the same with eight masks a batch, each shared by 125 queries and all of their negatives
    plain + one         the same with one mask for all pairs of a batch
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Literal

import torch

sys.path.insert(0, str(Path(__file__).parent))

from steps import Way, main

from gnnkg import losses, samplers, terms
from gnnkg.core import Labels, Objective, Scorer, Transform, Vectors
from gnnkg.data.queries import Queries
from gnnkg.transforms import EMU
from gnnkg.transforms.towards import own_tail, soft

KEEP, LABEL = 0.39, 0.53
Masks = Literal["plain", "query", "negative", "pair", "stored", "eight", "one"]
PLAIN = 0.11
"""the plain term's weight beside the mutated one"""


def stored(scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
    """EMU as published, as one would write it in torch."""
    own, tail = own_tail(vectors, "EMU"), vectors.tail
    keep = torch.empty(len(own), tail.shape[1], own.shape[1]).bernoulli_(KEEP)
    mutated = torch.lerp(own.unsqueeze(1), tail.repeat_interleave(len(own) // len(tail), 0), keep)
    return vectors.replace(candidates=mutated), soft(labels, torch.full((1, tail.shape[1]), LABEL), "EMU")


def emu(masks: Masks) -> Transform | None:
    if masks == "plain":
        return None
    if masks == "stored":
        return stored
    if masks == "eight" or masks == "one":
        return EMU(KEEP, LABEL, num_masks=8 if masks == "eight" else 1)
    return EMU(KEEP, LABEL, masks)


def objective(masks: Masks, share: Literal["batch", "query"], num_negatives: int) -> Objective:
    transform = emu(masks)
    term = terms.Ranking(losses.CrossEntropy(), per_negative=True, transform=transform)
    return Objective(samplers.Uniform(num_negatives, share=share), {"term": term})


def both_terms(masks: Masks, share: Literal["batch", "query"], num_negatives: int) -> Objective:
    plain = terms.Ranking(losses.CrossEntropy(), weight=PLAIN)
    mutated = terms.Ranking(losses.CrossEntropy(), per_negative=True, transform=emu(masks))
    return Objective(samplers.Uniform(num_negatives, share=share), {"plain": plain, "mutated": mutated})


def way(masks: Masks, share: Literal["batch", "query"], num_negatives: int, both: bool = False) -> tuple[str, Way]:
    negatives, make = f"{num_negatives} negatives a {share}", both_terms if both else objective
    name = f"plain + {masks}" if both else masks
    return f"{name}, {negatives}", Way(partial(make, masks, share, num_negatives), f"plain, {negatives}")


ALL: tuple[Masks, ...] = ("plain", "one", "query", "negative", "pair", "stored")
WAYS = dict(
    [
        *(way(masks, "batch", 256) for masks in ALL),
        *(way(masks, "query", 256) for masks in ("plain", "pair", "stored")),
        *(way(masks, "batch", 1024) for masks in ("plain", "one", "query", "pair")),
        *(
            way(masks, "batch", number, both=True)
            for number in (256, 1024)
            for masks in ("query", "eight", "one", "pair")
        ),
        way("pair", "query", 256, both=True),
    ]
)
TESTS = ("tests/ops/test_matching.py", "tests/ops/test_drawn.py", "tests/transforms")

if __name__ == "__main__":
    main(__doc__, WAYS, Queries(1000), TESTS, ("DistMult", "TransE", "RotatE", "HAKE"))
