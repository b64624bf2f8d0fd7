"""Noise tests: filtered ranking with noise on the embeddings, several strengths and draws."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnnkg.core import Model
from gnnkg.data.dataset import Dataset
from gnnkg.evaluation.curve import Curve, Panel, draw_panels
from gnnkg.evaluation.metrics import metrics
from gnnkg.evaluation.noisy import Encoded, Part, Target, noisy_part
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.ranks import evaluating, rank_facts
from gnnkg.graph import Facts
from gnnkg.noise import Family, spread

ALPHAS = (0.0, 0.5, 1.0, 2.0, 5.0)
HITS = ("hits@1", "hits@3", "hits@10")


@dataclass(frozen=True)
class NoiseTest:
    """Metrics of a model under noise of standard deviation alpha * sigma in each component of the embeddings.

    alpha is comparable between models only where sigma is: ``sigma_of`` says whose it is.
    """

    dataset: str
    split: str
    data_hash: str
    num_facts: int
    protocol: Protocol
    target: Target
    noise: Family
    sigma: float
    """the mean over entities where each has its own"""
    sigma_of: str
    """own: the model's; given; or the path of the run that it was measured on"""
    divisor: float | None
    """None where sigma was given"""
    quantile: float | None
    per_entity: bool
    seeds: int
    values: Curve
    """by alpha; a single value for alpha 0"""
    wall_seconds: float
    part: Part = "vector"
    """which vectors carry the noise, and sigma is of"""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; see ``Curve.to_dict``."""
        return {**asdict(self), "protocol": self.protocol.to_dict(), "values": self.values.to_dict()}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseTest:
        """What ``to_dict`` gave. Raises KeyError or TypeError for something else."""
        read = {"protocol": Protocol.from_dict(values["protocol"]), "values": Curve.from_dict(values["values"])}
        return cls(**{**values, **read})

    def __rich__(self) -> Group:
        title = f"{self.dataset}, {self.split}: {self.num_facts:,} facts in {self.wall_seconds:.1f} s"
        whose = {"own": "the model's own", "given": "given"}.get(self.sigma_of, f"of {self.sigma_of}")
        on = {"query": "the query", "all": "all entities"}[self.target]
        on = {"boundary": "the query's boundary", "table": "the input table"}.get(self.part, on)
        about = f"{self.noise} noise on {on}, sigma {self.sigma:.4g} ({whose}), {self.seeds} draws; {self.protocol}"
        table = Table("alpha", "MRR", "sd", "kept", "Hits@1", "Hits@3", "Hits@10", box=SIMPLE_HEAD, pad_edge=False)
        for column in table.columns:
            column.justify = "right"
        clean = self.values.mean("0") if "0" in self.values else math.nan
        for alpha in self.values:
            mean, sd = self.values.mean(alpha), self.values.deviation(alpha)
            kept = mean / clean
            hits = [f"{self.values.mean(alpha, name):.4f}" for name in HITS]
            told = ["" if math.isnan(sd) else f"{sd:.4f}", "" if math.isnan(kept) else f"{kept:.0%}"]
            table.add_row(alpha, f"{mean:.4f}", *told, *hits)
        return Group(Text(title, style="bold"), Text(about, style="dim"), table)


def noise_test(
    model: Model,
    dataset: Dataset,
    split: str = "test",
    *,
    alphas: Sequence[float] = ALPHAS,
    seeds: int = 5,
    part: Part = "vector",
    target: Target = "query",
    noise: Family = "gaussian",
    sigma: float | None = None,
    sigma_of: str = "",
    divisor: float = 3.0,
    quantile: float = 0.9973,
    per_entity: bool = False,
    filter: Sequence[str] | None = None,
    facts: Facts | None = None,
    memory: int | None = None,
    step: Callable[[], None] = lambda: None,
) -> NoiseTest:
    """Ranks the facts of a split, or the given ones, once for each alpha and noise seed.

    sigma is measured on the vectors that carry the noise (``part``; ``gnnkg.noise.spread``), or given: a common one makes models
    comparable. The noise of a query depends on the seed and the query alone, so no figure depends on ``memory``; it is the same
    for all alphas but for its size. ``filter`` as in ``evaluate``. ``step`` is called after each ranking. Raises ValueError where
    there are no facts to rank, and for settings out of range; as ``noisy_part`` where noise on the part would change nothing.
    """
    begin = time.perf_counter()
    told = {f"{alpha:g}" for alpha in alphas}
    if not alphas or not all(0 <= a < math.inf for a in alphas) or len(told) < len(alphas) or seeds < 1:
        raise ValueError(
            f"alphas are numbers from 0 that differ in six digits, and seeds at least 1, not {list(alphas)} and {seeds}"
        )
    if sigma is not None and (not 0 < sigma < math.inf or per_entity):
        raise ValueError(f"a sigma that is given is one number above 0, for all entities; it is {sigma}")
    split, facts = (split, dataset.facts(split)) if facts is None else (f"{len(facts):,} facts of {split}", facts)
    if not len(facts):
        raise ValueError(f"there are no facts to rank: {dataset.name} has none in {split}")
    facts = facts.cpu()
    device = next(model.parameters(), dataset.graph.facts).device
    graph = dataset.graph.to(device)
    filter, known = dataset.filtering(filter)
    values = Curve()
    with evaluating(model):
        vectors, noisy = noisy_part(model, graph, part, target, noise)
        if sigma is None:
            scale = spread(vectors, divisor, quantile, per_entity)
        else:
            scale = torch.tensor(sigma, device=device)
        if any(alphas) and not 0 < float(scale.mean()) < math.inf:
            raise ValueError(f"the vectors have a spread of {float(scale.mean())}: give a sigma above 0")
        clean = model.encoder(graph)
        for alpha in alphas:
            rows = []
            for seed in range(seeds if alpha else 1):
                lookup = noisy(alpha * scale, seed) if alpha else clean
                ranks = rank_facts(Model(Encoded(lookup), model.scorer), graph, facts, known, memory)
                rows.append(metrics(ranks.ranks(), ranks.candidates))
                step()
            values.add(f"{alpha:g}", rows)
    measured = sigma is None
    return NoiseTest(
        dataset=dataset.name,
        split=split,
        data_hash=dataset.data_hash,
        num_facts=len(facts),
        protocol=Protocol(filter=filter),
        target=target,
        noise=noise,
        sigma=float(scale.mean()),
        sigma_of="own" if measured else sigma_of or "given",
        divisor=divisor if measured or sigma_of else None,
        quantile=quantile if measured or sigma_of else None,
        per_entity=per_entity,
        seeds=seeds,
        values=values,
        wall_seconds=time.perf_counter() - begin,
        part=part,
    )


def num_rankings(alphas: Sequence[float], seeds: int) -> int:
    """How often ``noise_test`` calls ``step``."""
    return sum(seeds if alpha else 1 for alpha in alphas)


def draw(tests: Mapping[str, NoiseTest], path: Path, metrics: Sequence[str] = ("mrr", "hits@10")) -> Path:
    """A picture of metrics against alpha, a line a test, with the standard deviation over noise seeds."""
    curves = {label: test.values for label, test in tests.items()}
    return draw_panels(
        [[Panel(name, curves) for name in metrics]], path, "alpha (noise in units of sigma)", from_zero=True
    )
