"""Answers to a question in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gnnkg.core import Model
from gnnkg.data.dataset import FILTERS, Dataset
from gnnkg.evaluation.memory import SMALLEST_BLOCK
from gnnkg.evaluation.ranks import evaluating


@dataclass(frozen=True, slots=True)
class Answer:
    """An entity that may complete the fact."""

    rank: int
    """its place in the list, from 1; of equal scores the smaller id comes first"""
    label: str
    identifier: str
    score: float
    """the model's own: only its order means something"""
    known: str | None
    """the split that holds this fact: train, valid or test, or "hidden" (``hide_facts``); None: no split does, it is new"""


def question(dataset: Dataset, relation: str, head: str | None, tail: str | None) -> tuple[int, int]:
    """The query for (head, relation, ?), or for (?, relation, tail): an entity and a relation in [0, 2R). Raises as ``predict``."""
    if (head is None) == (tail is None):
        raise ValueError("give a head, to ask for tails, or a tail, to ask for heads: one of the two")
    asked = dataset.entity_id(head if head is not None else tail or "")
    return asked, dataset.relation_id(relation) + (dataset.graph.num_relations if head is None else 0)


def predict(
    model: Model,
    dataset: Dataset,
    *,
    relation: str,
    head: str | None = None,
    tail: str | None = None,
    top: int = 10,
    novel: bool = False,
) -> list[Answer]:
    """The best answers to (head, relation, ?), or to (?, relation, tail). Names are labels or identifiers.

    ``novel`` leaves out the facts that a split holds, and hidden ones. Raises UnknownName for a name that the data set has not,
    ValueError where not exactly one of head and tail is given.
    """
    if top < 1:
        raise ValueError(f"top is how many answers to give, at least 1, not {top}")
    asked, asked_relation = question(dataset, relation, head, tail)
    graph = dataset.graph.to(next(model.parameters(), dataset.graph.facts).device)
    # several copies of the query: as in ranking, a score keeps its bits
    queries = torch.tensor([[asked, asked_relation]], device=graph.device).expand(SMALLEST_BLOCK, 2)
    with evaluating(model):
        score = model(graph, queries[:, 0], queries[:, 1])[0].float().cpu()
    score = score.masked_fill(score.isnan(), -torch.inf)

    splits: dict[int, str] = {}
    query = (
        torch.tensor([asked], device=dataset.graph.device),
        torch.tensor([asked_relation], device=dataset.graph.device),
    )
    for split in reversed(FILTERS):
        splits |= dict.fromkeys(dataset.known(split).of(*query).tails.tolist(), split)
    order = torch.argsort(score, descending=True, stable=True).tolist()
    chosen = [entity for entity in order[: top + len(splits)] if not (novel and entity in splits)][:top]
    return [
        Answer(rank, dataset.entity_labels[entity], dataset.entities[entity], score[entity].item(), splits.get(entity))
        for rank, entity in enumerate(chosen, start=1)
    ]


def frame(answers: Sequence[Answer]) -> pandas.DataFrame:
    """A row an answer."""
    return pandas.DataFrame([asdict(answer) for answer in answers], columns=list(Answer.__dataclass_fields__))


def csv(answers: Sequence[Answer]) -> str:
    return frame(answers).to_csv(index=False)


def json_lines(answers: Sequence[Answer]) -> str:
    return "".join(json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in answers)


def table(answers: Sequence[Answer], title: str = "") -> Table:
    """For a terminal: known facts are marked with their split."""
    rendered = Table(
        "", "answer", "identifier", "score", "known", title=title or None, title_justify="left", box=SIMPLE_HEAD
    )
    rendered.columns[0].justify = rendered.columns[3].justify = "right"
    for answer in answers:
        identifier = "" if answer.identifier == answer.label else answer.identifier
        cells = [str(answer.rank), answer.label, identifier, f"{answer.score:.4f}", answer.known or "new"]
        rendered.add_row(*map(Text, cells), style="green" if answer.known else "")
    return rendered
