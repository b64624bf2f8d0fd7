"""The vocabulary of the library: what passes between an encoder, a scorer, a sampler, a transform and a loss.

Axes, in every shape of the package:

    B  queries        K  candidates in a table   S  candidate tables (S divides B; table s serves B/S consecutive queries)
    C  columns of a score matrix: K, or 1 + K where each query brings its own tail as column 0
    N  entities       R  base relations (ids 0..R-1; id r + R asks r backwards)
    D  entity width   W  relation width          Q  query width

Every query is (head, relation, ?): heads are predicted through inverse relations. Higher score = more plausible,
everywhere; a distance is negated in its scorer. Complex vectors are real, stored as ``[re | im]``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnkg.annotations import Feature
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.blend import blend
from gnnkg.ops.columns import columns_of
from gnnkg.ops.matching import Gathered, Mix, Mixture, OwnFirst, Turns, behind


@dataclass(frozen=True, slots=True)
class Batch:
    """True facts, asked as queries (head, relation, ?) on a graph."""

    graph: KnowledgeGraph
    head: Int[Tensor, " B"]
    relation: Int[Tensor, " B"]
    """in [0, 2R)"""
    tail: Int[Tensor, " B"]
    weight: Float[Tensor, " B"]
    """how much each fact counts in a loss: ones, or subsampling weights"""
    score: Callable[[Candidates], Float[Tensor, "B C"]] | None = None
    """what the model in training scores these queries' candidates now, without gradients: for samplers that follow it.
    None outside of an objective"""
    source: tuple[Encoder, KnowledgeGraph] | None = None
    """the encoder in training, and the graph as it reads it for this batch: for terms that encode again, from other vectors.
    None outside of an objective"""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Which entities may be the tail: tables shared by consecutive queries, and possibly each query's own tail."""

    table: Int[Tensor, "S K"] | None = None
    """None: all N entities, in the order of their ids, as one table"""
    own: Int[Tensor, " B"] | None = None
    """the query's own tail, scored as column 0 in front of the table"""


EVERY_ENTITY = Candidates()


@dataclass(frozen=True, slots=True)
class Labels:
    """What the candidates should score."""

    value: Float[Tensor, "B C"]
    """1 true, 0 false, between: soft"""
    mask: Bool[Tensor, "B C"] | None
    """columns that take part; None: all of them"""
    truth: Int[Tensor, " B"]
    """the column of each query's own tail"""
    weight: Float[Tensor, " B"]

    @property
    def active(self) -> Bool[Tensor, "B C"]:
        """The mask, written out where it is None."""
        return torch.ones_like(self.value, dtype=torch.bool) if self.mask is None else self.mask

    @property
    def negatives(self) -> Bool[Tensor, "B C"]:
        """The columns that take part besides the truth."""
        return self.active.scatter(1, self.truth.unsqueeze(1), False)


@dataclass(frozen=True, slots=True)
class Blend:
    """Mixup of the columns of a score matrix: column c of query b becomes share * column ``first`` + (1 - share) * ``second``."""

    first: Int[Tensor, " X"]
    """the columns that are left, ascending; the truth is among them, with a share of 1"""
    second: Int[Tensor, "B X"]
    share: Float[Tensor, "B X"]
    scores: Float[Tensor, "B C"] | None = None
    """those before mixing, where they are known and linear in the candidate; ``Vectors.replace`` drops what no longer holds"""

    def of_scores(self, scores: Float[Tensor, "B C"]) -> Float[Tensor, "B X"]:
        """The scores of mixed candidates, where scores are linear in the candidate."""
        return scores.gather(1, self.second).lerp(columns_of(scores, self.first), self.share)

    def of_vectors(self, vectors: Vectors, space: Space, in_place: bool = False) -> Vectors:
        """The mixed candidates themselves, (B, X - 1, D), behind the own tail; ``in_place``: rows of a table are not stored."""
        assert vectors.own is not None  # DeMix refuses candidates without
        first, second, share = self.first[1:], self.second[:, 1:], self.share[:, 1:]
        rows, own_row = vectors.candidates if in_place else None, vectors.own_row
        if isinstance(rows, Gathered) and rows.mixture is None and rows.factor == 1 and own_row is not None:
            ids = torch.cat([own_row.unsqueeze(1), rows.ids], 1)
            turns = None if space.phases is None else Turns(space.phases, rows.shape[2] // 2)
            mixture = Mixture(ids.gather(1, second), share, turns)
            return vectors.replace(candidates=Gathered(rows.table, ids.index_select(1, first), mixture), blend=None)
        tail = vectors.tail
        mixed = blend(vectors.own, tail, first, second, share.to(tail.dtype), space.phases)
        return vectors.replace(candidates=mixed, blend=None)


@dataclass(frozen=True, slots=True)
class Vectors:
    """What a scorer reads: queries and candidates as vectors. The seam where every method of the library acts."""

    head: Float[Tensor, "B D"]
    relation: Float[Tensor, "B W"]
    candidates: Float[Tensor, "S K D"] | Gathered
    """those in a table; where each query has a table of its own, they may be rows of another one that are not read yet"""
    own: Float[Tensor, "B D"] | None = None
    """the query's own tail, where it is not in the table"""
    mix: Mix | None = None
    """mutates the table's candidates towards each query's own tail without storing them (EMU); see ops.matching"""
    blend: Blend | None = None
    """mixes candidates of a query with each other (DeMix); the columns before it are own and table"""
    views: Mapping[str, Vectors] = field(default_factory=dict)
    """the same triples as one modality sees them; usually empty"""
    own_row: Int[Tensor, " B"] | None = None
    """where ``own`` stands in the table whose rows ``candidates`` are; ``replace`` drops it with either"""

    @property
    def tail(self) -> Float[Tensor, "S K D"]:
        """The candidates, stored."""
        return self.candidates.read() if isinstance(self.candidates, Gathered) else self.candidates

    def of_columns(self, chosen: Int[Tensor, " X"]) -> Vectors:
        """Only these candidates of a table."""
        rows = self.candidates
        few = rows.of_columns(chosen) if isinstance(rows, Gathered) else rows.index_select(1, chosen)
        return self.replace(candidates=few, own_row=self.own_row)

    def truth(self, labels: Labels) -> Float[Tensor, "B D"]:
        """The vector of each query's own tail, wherever it stands."""
        if self.own is not None:
            return self.own
        tail, num_queries = self.tail, self.head.shape[0]
        table = torch.arange(num_queries, device=tail.device) // (num_queries // len(tail))
        return tail[table, labels.truth]

    def mutates(self, plain: Vectors) -> bool:
        """Whether those are neither mutated nor mixed, and these the very same tensors under a mix."""
        if self.mix is None or plain.mix is not None or plain.blend is not None:
            return False
        return all(
            getattr(self, name) is getattr(plain, name) for name in ("head", "relation", "candidates", "own", "blend")
        )

    def replace(self, **changes: object) -> Vectors:
        if "blend" not in changes and self.blend is not None:
            changes["blend"] = replace(self.blend, scores=None)
        if {"candidates", "own"} & set(changes):
            changes.setdefault("own_row", None)
        return replace(self, **changes)  # type: ignore[arg-type]  # the fields' own types are checked in the tests


@runtime_checkable
class Lookup(Protocol):
    """An encoded graph: ids in, vectors out."""

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors: ...


Shift = Callable[[Tensor, Tensor], Tensor]
"""(heads (B,), relations (B,)) -> what is added to a vector of each query (B, D)"""


@runtime_checkable
class FromBoundary(Lookup, Protocol):
    """A lookup that passes messages from a vector of the query, which lies at its head alone (NBFNet)."""

    @property
    def boundaries(self) -> Float[Tensor, "X D"]:
        """All of these vectors that there are: one a relation, 2R."""
        ...

    def shifted(self, shift: Shift) -> Lookup:
        """The same, from vectors that are moved; all else that knows the relation stays."""
        ...


@dataclass(frozen=True, slots=True)
class Space:
    """What a scorer asks of the vectors it reads. Encoders are built for a space, not for a scorer."""

    entity_dim: int
    relation_dim: int
    init: Callable[[Tensor, Tensor], None]
    """fills an entity table (N, D) and a relation table (., W) in place, by the scorer's convention"""
    inverse: Callable[[Float[Tensor, "B W"]], Float[Tensor, "B W"]] | None = None
    """the vector of r backwards, where score(h, r, t) == score(t, inverse(r), h); None: 2R relations must be learned"""
    complex: bool = False
    """entity vectors are ``[re | im]``: component i and i + D/2 are one complex number"""
    joined: bool = False
    """the two halves of a complex number cannot be mutated apart in a shared mask (a modulus joins them)"""
    phases: float | None = None
    """the first half of an entity vector are phases of this period (HAKE)"""
    biases: int = 0
    """how many of the last numbers of an entity vector are added to a score as they are, and never mutated (ConvE)"""

    def __post_init__(self) -> None:
        if self.entity_dim < 1 or self.relation_dim < 1:
            raise ValueError(f"vectors need a width of at least 1, not {self.entity_dim} and {self.relation_dim}")


Hidden = Literal["nothing", "facts", "pairs"]


class Encoder(nn.Module, ABC):
    """Gives entities and relations their vectors: ``encoder(graph)`` encodes once, the lookup reads ids.

    One that was made for a graph refuses, with ValueError, a graph whose ids have other names: of other relations always, of other
    entities unless it is ``inductive``.
    """

    hides: Hidden = "nothing"
    """what an objective takes out of the graph before it encodes a batch, so that the answer is not read off the graph: the
    batch's facts, or every fact between their heads and tails"""
    inductive: bool = False
    """whether it may encode another graph than the one it was built for, with other entities and the same relations"""
    from_head: bool = False
    """whether messages are passed for each query anew, from its head on, so that what they say is of paths that leave it; otherwise
    the head is encoded as every entity is, by what leads to it"""
    num_layers: int = 0
    """how many times messages are passed along the edges of the graph; layer t takes ``graph.messages.of_layer(t)``. 0: never"""

    def __init__(self, graph: KnowledgeGraph | None = None) -> None:
        super().__init__()
        if graph is not None and not isinstance(graph, KnowledgeGraph):
            raise TypeError(
                f"{self.title} is made for a KnowledgeGraph, such as the graph of a data set (dataset.graph), not for an object of "
                f"{type(graph).__name__}"
            )
        self.vocabulary = None if graph is None else graph.vocabulary

    def __call__(self, graph: KnowledgeGraph) -> Lookup:
        self._check(graph)
        return super().__call__(graph)

    @abstractmethod
    def forward(self, graph: KnowledgeGraph) -> Lookup: ...

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return type(self).__name__

    def _check(self, graph: KnowledgeGraph) -> None:
        ours, theirs = self.vocabulary, graph.vocabulary
        if ours is None or theirs is None or theirs is ours:
            return
        if theirs.relations != ours.relations:
            raise ValueError(
                f"{self.title} was made for {_told(ours.relations, 'relations')}, and this graph has "
                f"{_told(theirs.relations, 'relations')}: the same id would mean another relation. "
                "Dataset.for_model_of gives a data set the relation ids of the one that was trained on"
            )
        if not self.inductive and theirs.entities != ours.entities:
            raise ValueError(
                f"{self.title} has a vector of its own for each entity that it was trained on, "
                f"{_told(ours.entities, 'entities')}, and none for those of this graph, {_told(theirs.entities, 'entities')}. "
                "New entities need an inductive encoder, which computes vectors from the graph, such as NBFNet"
            )


def _told(names: tuple[str, ...], kind: str) -> str:
    """``4 entities (a, b, ...)``"""
    return f"{len(names):,} {kind} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"


class Scorer(nn.Module, ABC):
    """Scores candidates for queries. Implementations give ``space``, ``query`` and ``match``."""

    space: Space
    reads_head: bool = True
    """whether scores depend on the head's vector"""
    linear: bool = False
    """whether scores are linear in the candidate's vector: a mixture then scores as the mixture of scores"""
    curvature: Literal["affine", "concave"] | None = None
    """what scores are as functions of the head's vector, in evaluation mode, where ``query`` is affine in it: affine, or concave
    (a negated distance). None: neither is known"""
    chains: bool = False
    """whether ``place`` says where the tail should lie among the entities, to be the head of a next query: h + r1 + r2"""

    reads_rows: bool = False
    """whether ``match`` and ``match_both`` take candidates as ``Gathered`` rows and behind own tails (``OwnFirst``) too, as the
    ops of ``gnnkg.ops.matching`` do"""

    def __init_subclass__(cls, **more: object) -> None:
        """Who matches anew gives up what was inherited for both and for rows: it would not be the same."""
        super().__init_subclass__(**more)

        def place(name: str) -> int:
            return next(place for place, each in enumerate(cls.__mro__) if name in vars(each))

        if place("match") < place("match_both"):
            cls.match_both = Scorer.match_both
        if min(place("match"), place("match_both")) < place("reads_rows"):
            cls.reads_rows = False

    @abstractmethod
    def query(self, head: Float[Tensor, "B D"], relation: Float[Tensor, "B W"]) -> Float[Tensor, "B Q"]:
        """What is looked for: everything about a query that does not depend on the candidate."""

    @abstractmethod
    def match(
        self, query: Float[Tensor, "B Q"], tail: Float[Tensor, "S K D"], mix: Mix | None = None
    ) -> Float[Tensor, "B X"]:
        """Scores of the candidates, (B, K); of an ``OwnFirst`` (see ``reads_rows``) behind those of own tails, (B, 1 + K). ``mix``
        mutates the candidates without storing them; a scorer that cannot, raises ValueError.
        """

    def match_both(
        self, query: Float[Tensor, "B Q"], tail: Float[Tensor, "S K D"], mix: Mix
    ) -> tuple[Float[Tensor, "B X"], Float[Tensor, "B X"]]:
        """Scores of the candidates as they are, and mutated: for scorers to override whose op gives both (``matching.both``)."""
        return self.match(query, tail), self.match(query, tail, mix)

    def place(self, query: Float[Tensor, "B Q"]) -> Float[Tensor, "B D"]:
        """The entity vector that matches a query best, for a scorer that ``chains``: the query itself, if nothing else is said."""
        if not self.chains:
            raise ValueError(
                f"relations of {type(self).__name__} are no maps between entity vectors that can be chained; use the beam search"
            )
        return query

    def forward(self, vectors: Vectors) -> Float[Tensor, "B C"]:
        mixup = vectors.blend
        if mixup is not None:
            if self.linear:
                known = mixup.scores
                return mixup.of_scores(self(vectors.replace(blend=None)) if known is None else known)
            return self(mixup.of_vectors(vectors, self.space, self.reads_rows))
        query = self.query(vectors.head, vectors.relation)
        (scores,) = self._behind_own(query, vectors, [self.match(query, self._read(vectors), vectors.mix)])
        return scores

    def _read(self, vectors: Vectors) -> Any:
        """The candidates as ``match`` takes them."""
        if not self.reads_rows:
            return vectors.tail
        return vectors.candidates if vectors.own is None else OwnFirst(vectors.own, vectors.candidates)

    def _behind_own(self, query: Tensor, vectors: Vectors, scores: list[Tensor]) -> list[Float[Tensor, "B C"]]:
        """Scores of the candidates behind that of the own tail, where they do not hold it yet. The list is emptied."""
        if vectors.own is None or self.reads_rows:
            return scores
        return behind(self.match(query, vectors.own.unsqueeze(1)), scores)

    def each(self, versions: Sequence[Vectors]) -> list[Float[Tensor, "B C"]]:
        """The scores of several versions of a batch's vectors. What is mutated is scored in one pass with the same as it was drawn,
        by one ``query``, so with one dropout and one update of running statistics for the two; where a mask is drawn for each pair,
        both have one derivative. A scorer with a ``forward`` of its own, or with hooks, scores each by itself.
        """
        scores: dict[int, Tensor] = {}
        together = type(self).forward is Scorer.forward and not (self._forward_hooks or self._forward_pre_hooks)
        for number, version in enumerate(versions):
            plain = next((other for other, each in enumerate(versions) if version.mutates(each)), None)
            if together and plain is not None and plain not in scores and version.mix is not None:
                query = self.query(version.head, version.relation)
                found = [*self.match_both(query, self._read(version), version.mix)]
                scores[plain], scores[number] = self._behind_own(query, version, found)
        return [scores[number] if number in scores else self(version) for number, version in enumerate(versions)]


ReadFeature = Callable[[KnowledgeGraph], Feature]
"""a modality of the entities of any graph"""
MakeFeature = Callable[[KnowledgeGraph], ReadFeature]
"""learns from the graph of a training what a modality needs (which n-grams there are, means, ...); that reads it off any graph"""
Sampler = Callable[[Batch], tuple[Candidates, Labels]]
Transform = Callable[[Scorer, Vectors, Labels], tuple[Vectors, Labels]]
Loss = Callable[[Tensor, Labels], Tensor]
"""scores (B, C) -> one loss a query (B,)"""
Term = Callable[[Scorer, Vectors, Labels], Tensor]
"""-> a scalar"""


@runtime_checkable
class FollowsEpochs(Protocol):
    """A part with a schedule. Samplers, terms and transforms that hold others pass ``before_epoch`` on to them.

    Of a model each module is told, at whatever depth, and none passes it on.
    """

    def before_epoch(self, epoch: int) -> None:
        """Called before each epoch begins, from 0, and again at the same place where a run continues."""


@runtime_checkable
class FollowsBatches(Protocol):
    """A term or transform that asks which facts its vectors stand for, or how all entities are encoded. One that holds others
    passes ``before_batch`` on to them.
    """

    def before_batch(self, batch: Batch, encode: Callable[[], Lookup]) -> None:
        """Called before it sees a batch's vectors. ``encode()`` encodes the whole graph as for evaluation, without gradients and
        at the cost of that: once an epoch is enough.
        """


class ScoreTerm(nn.Module, ABC):
    """A term that is a function of scores. An objective scores what all of them have to say of one draw together."""

    @abstractmethod
    def transformed(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> tuple[Vectors, Labels]:
        """What is scored, and what it should score."""

    @abstractmethod
    def of_scores(self, scores: Float[Tensor, "B C"], labels: Labels) -> Float[Tensor, ""]:
        """The term, of these scores."""

    def forward(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Float[Tensor, ""]:
        vectors, labels = self.transformed(scorer, vectors, labels)
        return self.of_scores(scorer(vectors), labels)

    @property
    def is_of_scores(self) -> bool:
        """Whether that is all there is: no ``forward`` of a subclass, and no hooks."""
        return type(self).forward is ScoreTerm.forward and not (self._forward_hooks or self._forward_pre_hooks)


@contextmanager
def in_evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Without dropout, and with the running statistics of batch norms. Each module's own mode comes back, also after an error."""
    training = [each for each in module.modules() if each.training]
    module.eval()
    try:
        yield
    finally:
        for each in training:
            each.training = True


class Model(nn.Module):
    """An encoder under a scorer: ``model(graph, head, relation)`` scores all N entities as tails."""

    def __init__(self, encoder: Encoder, scorer: Scorer) -> None:
        super().__init__()
        self.encoder = encoder
        self.scorer = scorer

    def forward(
        self,
        graph: KnowledgeGraph,
        head: Int[Tensor, " B"],
        relation: Int[Tensor, " B"],
        candidates: Candidates = EVERY_ENTITY,
    ) -> Float[Tensor, "B C"]:
        return self.scorer(self.encoder(graph)(head, relation, candidates))

    def before_epoch(self, epoch: int) -> None:
        """Tells those modules that have a schedule that an epoch begins."""
        for module in self.modules():
            if module is not self and isinstance(module, FollowsEpochs):
                module.before_epoch(epoch)


class Objective(nn.Module):
    """A training objective: candidates from a sampler, and named terms that are summed.

    With ``redraw`` each term sees candidates of its own, as in EMU's published code; otherwise all share one draw. A sampler with
    a state that is to be saved is an ``nn.Module``, as a term is.
    """

    def __init__(self, sampler: Sampler, terms: Mapping[str, Term], redraw: bool = False) -> None:
        super().__init__()
        if not isinstance(terms, Mapping):
            raise TypeError(
                f'terms have names, such as {{"plain": Ranking(CrossEntropy())}}; found an object of {type(terms).__name__}'
            )
        if not terms:
            raise ValueError("an objective needs at least one term")
        for name, term in terms.items():
            _expect_term(name, term)
        self.sampler = sampler
        self.terms = dict(terms)
        self.trained = nn.ModuleDict({name: term for name, term in terms.items() if isinstance(term, nn.Module)})
        self.redraw = redraw

    def forward(self, model: Model, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        visible = _visible(batch, model.encoder.hides)
        lookup = model.encoder(visible)

        @torch.no_grad()
        def score(candidates: Candidates) -> Tensor:
            return model.scorer(lookup(batch.head, batch.relation, candidates))

        @torch.no_grad()
        def encode() -> Lookup:
            with in_evaluation_mode(model.encoder):
                return _InEvaluationMode(model.encoder, model.encoder(batch.graph))

        batch = replace(batch, score=score, source=(model.encoder, visible))
        for term in self.terms.values():
            if isinstance(term, FollowsBatches):
                term.before_batch(batch, encode)

        def draw() -> tuple[Vectors, Labels]:
            candidates, labels = self.sampler(batch)
            return lookup(batch.head, batch.relation, candidates), labels

        if self.redraw:
            return {name: term(model.scorer, *draw()) for name, term in self.terms.items()}
        drawn = draw()
        losses: dict[str, Tensor] = {}
        ranked: dict[str, tuple[ScoreTerm, Vectors, Labels]] = {}
        for name, term in self.terms.items():
            if isinstance(term, ScoreTerm) and term.is_of_scores:
                ranked[name] = term, *term.transformed(model.scorer, *drawn)
            else:
                losses[name] = term(model.scorer, *drawn)
        scores = model.scorer.each([vectors for _, vectors, _ in ranked.values()])
        for (name, (term, _, labels)), found in zip(ranked.items(), scores, strict=True):
            losses[name] = term.of_scores(found, labels)
        return {name: losses[name] for name in self.terms}

    def before_epoch(self, epoch: int) -> None:
        """Tells those parts that have a schedule that an epoch begins."""
        for part in (self.sampler, *self.terms.values()):
            if isinstance(part, FollowsEpochs):
                part.before_epoch(epoch)


def _expect_term(name: str, term: Any) -> None:
    """Raises TypeError for what cannot be called as a term is, such as a loss."""
    if callable(term) and not isinstance(term, type):
        try:
            inspect.signature(term.forward if isinstance(term, nn.Module) else term).bind(None, None, None)
            return
        except ValueError:  # what is not written in Python has no signature
            return
        except TypeError:
            pass
    raise TypeError(
        f"the term {name!r} is {term!r}, and a term is called with scorer, vectors and labels. A loss, which is called with scores "
        "and labels, stands inside of one: Ranking(CrossEntropy())"
    )


class _InEvaluationMode:
    """A lookup of an encoder in evaluation mode, which reads without dropout too."""

    def __init__(self, encoder: Encoder, lookup: Lookup) -> None:
        self.encoder = encoder
        self.lookup = lookup

    @torch.no_grad()
    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        with in_evaluation_mode(self.encoder):
            return self.lookup(head, relation, candidates)


def _visible(batch: Batch, hides: Hidden) -> KnowledgeGraph:
    """The graph that a batch is encoded on."""
    if hides == "nothing":
        return batch.graph
    return batch.graph.without(batch.head, batch.relation if hides == "facts" else None, batch.tail)
