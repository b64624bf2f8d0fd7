from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnkg.annotations import Feature
from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, MakeFeature, Space, Vectors
from gnnkg.encoders.fusion import Fused, Fusion, RelationGate
from gnnkg.encoders.modality import Missing, Modality
from gnnkg.encoders.modality_noise import GaussModalityNoise, Noise, Spread
from gnnkg.encoders.read_outs import ReadOut
from gnnkg.encoders.table import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.ops.matching import candidates_of
from gnnkg.ops.rows import rows

STRUCTURE = "structure"
"""the name of the modality that another encoder provides"""
ROWS_AT_ONCE = 1 << 16
"""how many entities are fused together where no gradient is wanted, which bounds memory"""


class SNAG(Encoder):
    """Fuses what is known about each entity, its modalities, by attention among them; noise in training keeps it from trusting one.

        x_m = W_m xhat_m + b_m;   z = transformer(tanh(x_structure, x_1, x_2, ...));   e = read-out of z       for each entity

    Chen et al., "The Power of Noise: Toward a Unified Multi-modal Knowledge Graph Representation Framework", COLING 2025; where the
    paper is silent, after APKGC (Jian et al., AAAI 2025). ``modalities``: named parts of ``gnnkg.features``, read off the graph's
    annotations, which a data set gives. ``structure``: the encoder whose vectors are the structure modality and whose relation
    vectors the scorer reads; any but one that computes vectors for each query. ``graph_projection`` gives it a linear map too.

    A modality that an entity lacks is left out of its attention and its read-out, unless ``missing`` fills it. ``mask_unseen`` says
    that an entity without a training fact lacks structure, if it has another modality. ``projections``: how many linear maps
    before fusion; ``hidden_dim=0``: no feed-forward part; ``pace``: of the read-out "residual". What the others do stands at
    ``GaussModalityNoise``, ``CrossModalLayer``, ``Reader`` and ``RelationGate``. ``views`` gives terms the same triples by each
    modality alone, before fusion; zeros where an entity lacks it.

    ``modality_dropout``: how probable it is that, in a step of training, an entity is without a modality that it has, structure
    excepted. A model that is to stand missing modalities learns that from it and not from noise; it is not in the paper. In
    training those entities are fused that a batch asks about, each once; in evaluation all of them, once.

    Raises ValueError where there is no modality besides structure, the data set has not what one reads, noise before messages finds
    no free vectors, or a modality that shall be without noise is none of these.
    """

    seen: Tensor

    def __init__(
        self,
        graph: KnowledgeGraph,
        space: Space,
        modalities: dict[str, MakeFeature],
        structure: Callable[[KnowledgeGraph, Space], Encoder] = Table,
        noise: GaussModalityNoise | None = None,
        read_out: ReadOut = "graph",
        pace: float = 0.01,
        num_heads: int = 2,
        fusion_layers: int = 1,
        hidden_dim: int = 0,
        dropout: float = 0.1,
        projections: int = 1,
        graph_projection: bool = False,
        tanh: bool = True,
        missing: Missing = "masked",
        mask_unseen: bool = False,
        relation_gate: bool = False,
        views: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(graph)
        if not modalities or STRUCTURE in modalities:
            raise ValueError(
                f"SNAG fuses structure with at least one other modality, by a name other than {STRUCTURE!r}: name some of "
                "gnnkg.features, or take the structure encoder alone"
            )
        if projections < 1 or not 0 <= modality_dropout < 1:
            raise ValueError(
                f"projections must be at least 1 and modality_dropout in [0, 1), not {projections} and {modality_dropout}"
            )
        dim, names = space.entity_dim, (STRUCTURE, *modalities)
        self.structure = structure(graph, space)
        if self.structure.inductive:
            raise ValueError(
                f"{type(self.structure).__name__} computes the vectors of entities anew for each query: they cannot be fused "
                "with modalities, which are the same for all queries"
            )
        self.hides, self.num_layers = self.structure.hides, self.structure.num_layers
        self.names = names
        clean = names if noise is None else noise.clean
        if strange := [name for name in clean if name not in names]:
            raise ValueError(f"noise.clean names {', '.join(strange)}, and the modalities are {', '.join(names)}")
        features = {name: make(graph)(graph) for name, make in modalities.items()}
        self.modalities = nn.ModuleList(
            Modality(each, dim, projections, None if name in clean else noise, missing, _name_in(graph, each))
            for name, each in features.items()
        )
        self.structure_noise = None
        if noise is not None and STRUCTURE not in clean:
            structure_noise = Noise(noise.scaled(noise.structure_scale), graph.num_entities, dim)
            if noise.before_messages:
                _free_vectors(self.structure).noise = structure_noise
            else:
                self.structure_noise = structure_noise
        self.graph_projection = nn.Linear(dim, dim) if graph_projection else nn.Identity()
        self.register_buffer("seen", graph.seen if mask_unseen else torch.ones_like(graph.seen))
        self.fusion = Fusion(read_out, len(names), dim, num_heads, fusion_layers, hidden_dim, dropout, tanh, pace)
        self.gate = RelationGate(space.relation_dim, len(names)) if relation_gate else None
        self.views = views
        self.modality_dropout = modality_dropout

    def forward(self, graph: KnowledgeGraph) -> SNAGLookup:
        return SNAGLookup(self, graph)

    @torch.no_grad()
    def confidence(self, graph: KnowledgeGraph) -> Float[Tensor, "N M"]:
        """How far each modality of each entity is trusted, in the order of ``names``; see ``instance_confidence``."""
        self._check(graph)
        return SNAGLookup(self, graph).whole.fused.confidence


def _name_in(graph: KnowledgeGraph, feature: Feature) -> str | None:
    """What the graph calls a feature that is one of its own; None for one that was computed."""
    own = {} if graph.annotations is None else graph.annotations.features
    return next((name for name, each in own.items() if each is feature), None)


class Rows(NamedTuple):
    """Some entities, by modality and fused."""

    tokens: Float[Tensor, "X M D"]
    has: Bool[Tensor, "X M"]
    fused: Fused

    def of(self, rows: Int[Tensor, " *Y"]) -> Rows:
        return Rows(self.tokens[rows], self.has[rows], Fused(*(part[rows] for part in self.fused)))


class SNAGLookup:
    """Fuses the entities that it is asked about."""

    def __init__(self, snag: SNAG, graph: KnowledgeGraph) -> None:
        self.snag = snag
        self.graph = graph
        self.structure = snag.structure(graph)
        self._whole: Rows | None = None

    def __call__(
        self, head: Int[Tensor, " B"], relation: Int[Tensor, " B"], candidates: Candidates = EVERY_ENTITY
    ) -> Vectors:
        table, own = candidates.table, candidates.own
        if not self.snag.training or table is None:
            found, places = self._fused(None) if self.snag.training else self.whole, (head, table, own)
        else:
            asked = [head, table.flatten(), *([] if own is None else [own])]
            ids, place = torch.unique(torch.cat(asked), return_inverse=True)
            found, parts = self._fused(ids), place.split([len(part) for part in asked])
            places = parts[0], parts[1].view(table.shape), None if own is None else parts[2]
        no_entity = Candidates(head.new_zeros(1, 1))
        relations = self.structure(head, relation, no_entity).relation
        vectors = _vectors(found.fused.vectors, relations, *places)
        if self.snag.gate is not None:
            of_heads = found.of(places[0])
            vectors = vectors.replace(head=self.snag.gate(relations, of_heads.fused, of_heads.has))
        if self.snag.views:
            tokens = found.tokens.unbind(1)
            views = {
                name: _vectors(each, relations, *places) for name, each in zip(self.snag.names, tokens, strict=True)
            }
            vectors = vectors.replace(views=views)
        return vectors

    @property
    def whole(self) -> Rows:
        """All entities of the graph, fused once."""
        if self._whole is None:
            total, device = self.graph.num_entities, self.graph.device
            if torch.is_grad_enabled() or total <= ROWS_AT_ONCE:
                self._whole = self._fused(None)
            else:
                parts = [self._fused(ids) for ids in torch.arange(total, device=device).split(ROWS_AT_ONCE)]
                fused = Fused(*(torch.cat(part) for part in zip(*(each.fused for each in parts), strict=True)))
                self._whole = Rows(torch.cat([p.tokens for p in parts]), torch.cat([p.has for p in parts]), fused)
        return self._whole

    def _fused(self, entities: Int[Tensor, " X"] | None) -> Rows:
        tokens, has = self.tokens(entities)
        return Rows(tokens, has, self.snag.fusion(tokens, has))

    def tokens(self, entities: Int[Tensor, " X"] | None) -> tuple[Float[Tensor, "X M D"], Bool[Tensor, "X M"]]:
        """The modalities of these entities of the graph (None: all), before they are fused, and which an entity has.

        Modalities lie by the ids of the graph that this is a part of, if any. What an entity lacks is 0.
        """
        snag, origin = self.snag, self.graph.part_of
        ids = entities if origin is None else origin.entities if entities is None else origin.entities[entities]
        structure = self._structure(entities)
        if snag.structure_noise is not None and snag.training:
            if snag.structure_noise.wants_spread:
                self._measure(snag.structure_noise)
            structure = snag.structure_noise(structure, ids)
        others = [modality(ids) for modality in snag.modalities]
        has_others = torch.stack([has for _, has in others], 1)
        if snag.modality_dropout and snag.training:
            has_others = has_others & (torch.rand(has_others.shape, device=has_others.device) >= snag.modality_dropout)
        seen = snag.seen if ids is None else snag.seen[ids]
        has = torch.cat([(seen | ~has_others.any(1)).unsqueeze(1), has_others], 1)
        tokens = torch.stack([snag.graph_projection(structure), *(token for token, _ in others)], 1)
        return torch.where(has.unsqueeze(2), tokens, 0), has

    def _structure(self, entities: Int[Tensor, " X"] | None) -> Float[Tensor, "X D"]:
        zero = torch.zeros(1, dtype=torch.int64, device=self.graph.device)
        return self.structure(zero, zero, Candidates(None if entities is None else entities.unsqueeze(0))).tail[0]

    @torch.no_grad()
    def _measure(self, noise: Noise) -> None:
        origin = self.graph.part_of
        noise.measure(
            Spread.of(self._structure(None), self.snag.seen if origin is None else self.snag.seen[origin.entities])
        )


def _free_vectors(encoder: Encoder) -> Table:
    tables = [module for module in encoder.modules() if isinstance(module, Table)]
    if len(tables) != 1:
        raise ValueError(
            f"noise before messages acts on the free vectors of a structure encoder, and {type(encoder).__name__} has "
            f"{len(tables)} tables of them: set before_messages to false"
        )
    return tables[0]


def _vectors(
    entity: Float[Tensor, "X D"],
    relation: Float[Tensor, "B W"],
    head: Int[Tensor, " B"],
    table: Int[Tensor, "S K"] | None,
    own: Int[Tensor, " B"] | None,
) -> Vectors:
    """``head``, ``table`` (None: all) and ``own`` are places among the entities' rows."""
    if table is None:
        tail = entity.unsqueeze(0)
    else:
        tail = candidates_of(entity, table, len(head))
        tail = rows(table, entity) if tail is None else tail
    at_own = None if own is None else rows(own, entity)
    return Vectors(rows(head, entity), relation, tail, at_own, own_row=own)
