"""A written multi-hop query answered in labels, with the way that leads to each answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gnnkg.core import Model
from gnnkg.data.dataset import FILTERS, Dataset
from gnnkg.data.multihop.query import Anchor, Hop, Query, Union
from gnnkg.data.multihop.symbolic import answers
from gnnkg.data.multihop.written import parse_query
from gnnkg.evaluation.multihop.batch import QueryBatch
from gnnkg.evaluation.multihop.beam import Beam, Found
from gnnkg.evaluation.multihop.links import Links
from gnnkg.evaluation.multihop.ranking import Executor
from gnnkg.evaluation.ranks import evaluating


@dataclass(frozen=True, slots=True)
class Step:
    """A hop of the way to an answer."""

    head: str
    relation: str
    tail: str
    backwards: bool
    """whether the relation was walked from its tail to its head"""
    known: str | None
    """the split that holds the fact; None: it is new"""

    def __str__(self) -> str:
        arrow = f"<-[{self.relation}]-" if self.backwards else f"-[{self.relation}]->"
        return f"{self.head} {arrow} {self.tail}{'' if self.known else ' (new)'}"


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """An entity that may answer a query."""

    rank: int
    """from 1; of equal degrees the smaller id comes first"""
    label: str
    identifier: str
    degree: float
    """how true it is by the executor's scale and logic, in [0, 1]: only its order means something"""
    known: str | None
    """train where the training facts give this answer, valid and test where it takes facts of that split too; None: it is new"""
    bindings: dict[str, str]
    """the entity of each variable between, on the best way; empty where the executor chooses none"""
    steps: tuple[Step, ...]
    """the best way, known entities first"""


def ask(
    model: Model,
    dataset: Dataset,
    text: str,
    executor: Executor | None = None,
    *,
    top: int = 10,
    novel: bool = False,
    memory: int | None = None,
) -> list[QueryAnswer]:
    """The best answers to a written query; ``gnnkg.data.multihop.written`` says how one is written.

    ``novel`` leaves out the answers that the facts give. Raises as ``parse_query`` and the executor (default: ``Beam()``).
    """
    if top < 1:
        raise ValueError(f"top is how many answers to give, at least 1, not {top}")
    query = parse_query(text, dataset).query
    device = next(model.parameters(), dataset.graph.facts).device
    graph = dataset.graph.to(device)
    with evaluating(model):
        links = Links(model.scorer, model.encoder(graph), graph.num_entities, device, memory)
        found = (executor or Beam())(links, QueryBatch.of([query], device))
    known: dict[int, str] = {}
    for last in reversed(range(len(FILTERS))):
        facts = dataset.to("cpu").known(*FILTERS[: last + 1])
        known |= dict.fromkeys(answers(query, facts).tolist(), FILTERS[last])
    way = _Way(dataset, found, QueryBatch.of([query]))
    order = torch.argsort(found.degree[0], descending=True, stable=True).tolist()
    chosen = [entity for entity in order[: top + len(known)] if not (novel and entity in known)][:top]
    return [
        QueryAnswer(
            rank,
            dataset.entity_labels[entity],
            dataset.entities[entity],
            found.degree[0, entity].exp().item(),
            known.get(entity),
            *way.to(entity),
        )
        for rank, entity in enumerate(chosen, start=1)
    ]


class _Way:
    """The best way to an answer, read back from what the executor found."""

    def __init__(self, dataset: Dataset, found: Found, batch: QueryBatch) -> None:
        self.dataset = dataset
        self.found = found
        self.anchors, self.relations = batch.anchors[0].tolist(), batch.relations[0].tolist()

    def to(self, entity: int) -> tuple[dict[str, str], tuple[Step, ...]]:
        bindings: dict[str, str] = {}
        return bindings, tuple(self._steps(self.found, entity, bindings))

    def _steps(self, found: Found, entity: int, bindings: dict[str, str]) -> Iterator[Step]:
        node = found.node
        if isinstance(node, Union):
            best = max(found.parts, key=lambda part: float(part.degree[0, entity]))
            yield from self._steps(best, entity, bindings)
        elif not isinstance(node, Hop | Anchor):
            for part in found.parts:
                yield from self._steps(part, entity, bindings)
        elif isinstance(node, Hop) and isinstance(node.source, Anchor):
            yield self._step(self.anchors[node.source.entity], self.relations[node.relation], entity)
        elif isinstance(node, Hop) and found.through is not None:
            (source,) = found.parts
            between = int(found.through[0, entity])
            bindings[_name(source.node)] = self.dataset.entity_labels[between]
            yield from self._steps(source, between, bindings)
            yield self._step(between, self.relations[node.relation], entity)

    def _step(self, head: int, relation: int, tail: int) -> Step:
        num_relations = self.dataset.graph.num_relations
        backwards = relation >= num_relations
        fact = [torch.tensor(each) for each in (head, relation, tail)]
        split = next((split for split in FILTERS if bool(self.dataset.to("cpu").known(split).holds(*fact))), None)
        labels = self.dataset.entity_labels
        return Step(
            labels[head], self.dataset.relation_labels[relation % num_relations], labels[tail], backwards, split
        )


def _name(node: Query) -> str:
    return "" if isinstance(node, Anchor) else node.name


def json_lines(found: Sequence[QueryAnswer]) -> str:
    return "".join(json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in found)


def table(found: Sequence[QueryAnswer], title: str = "") -> Table:
    """For a terminal: answers that the facts give are marked with the last split that they need."""
    variables = list(dict.fromkeys(name for answer in found for name in answer.bindings))
    heads = ("", "answer", "identifier", "degree", "known", *(f"?{name}" for name in variables), "way")
    rendered = Table(*heads, title=Text(title) if title else None, title_justify="left", box=SIMPLE_HEAD)
    rendered.columns[0].justify = rendered.columns[3].justify = "right"
    for answer in found:
        identifier = "" if answer.identifier == answer.label else answer.identifier
        cells = [str(answer.rank), answer.label, identifier, f"{answer.degree:.3g}", answer.known or "new"]
        cells += [answer.bindings.get(name, "") for name in variables]
        way = "\n".join(map(str, answer.steps))
        rendered.add_row(*map(Text, [*cells, way]), style="green" if answer.known else "")
    return rendered
