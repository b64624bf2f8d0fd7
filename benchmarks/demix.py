"""What samplers and DeMix cost: a training step with each, side by side.

    python benchmarks/demix.py [--scorers DistMult RotatE] [--turns 4] [--threads 2] [--json FILE]

512 queries, 64 filtered negatives each (InBatch: all tails of the batch), self-adversarial loss; ``steps.py`` says what a step is
and how it is measured. Ratios are to uniform negatives, and of a DeMix to its sampler.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from steps import Way, main

from gnnkg import losses, samplers, terms
from gnnkg.core import Objective, Sampler, Transform
from gnnkg.data.queries import Queries
from gnnkg.transforms import DeMix

NEGATIVES = 64
MakeSampler = Callable[[], Sampler]


def objective(make: MakeSampler, transform: Transform | None) -> Objective:
    sampler = make() if transform is None else samplers.WithPositives(make())
    return Objective(sampler, {"term": terms.Ranking(losses.SelfAdversarial(), transform=transform)})


SAMPLERS: dict[str, MakeSampler] = {
    "Uniform": partial(samplers.Uniform, NEGATIVES, "query", filtered=True),
    "NSCaching": partial(samplers.NSCaching, NEGATIVES, filtered=True),
    "RW-SANS": partial(samplers.StructureAware, NEGATIVES),
    "InBatch": partial(samplers.InBatch, filtered=True),
}
WAYS = {name: Way(partial(objective, make, None), "Uniform") for name, make in SAMPLERS.items()}
WAYS |= {f"DeMix on {name}": Way(partial(objective, SAMPLERS[name], DeMix()), name) for name in ("Uniform", "RW-SANS")}
TESTS = ("tests/samplers", "tests/transforms/test_demix.py", "tests/ops/test_blend.py")

if __name__ == "__main__":
    main(__doc__, WAYS, Queries(512), TESTS, ("DistMult", "TransE", "ComplEx", "RotatE", "HAKE"))
