"""Cones: the states that a query's answers depend on, of all that Bellman-Ford iterations give.

T iterations of NBFNet give each query b a state of every entity v. Two things make most of them needless to compute:

  - what the head of b does not reach within t edges has in iteration t the state that it has under no query at all;
  - what does not reach a candidate of b within T - t edges is never read.

So the states of iteration t that are a query's own are those with ``hops from the head <= t`` and ``hops to a candidate <= T - t``.
Everything else that is read is the *ground*: the states without any head, once for all queries (or once a kind of query, where
edges' vectors depend on the query's relation). Nothing is approximate. On sparse graphs a hundredth of the states is left.

A plan numbers the states of each iteration by the degree of their entities, so that those which are scaled alike are side by side,
and gives its edges as an ``Adjacency`` from the states of one iteration to those of the next. On CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gnnkg.ops import cpu
from gnnkg.ops.message.adjacency import Adjacency


class Iteration(NamedTuple):
    """The states of one iteration, P of them; the iteration before has M."""

    node: Int[Tensor, " P"]
    """of each state, its entity"""
    runs: list[int]
    """how many states have entities of the smallest degree, of the next ..."""
    before: Int[Tensor, " P"]
    """of each state, that of the same entity in the iteration before"""
    edges: Adjacency
    """between the two; relation r of a query of kind k is r * num_kinds + k, and ``order`` names the edge of the graph"""
    head: Int[Tensor, " B"]
    """which state is that of each query's head"""


class Plan(NamedTuple):
    first: Int[Tensor, " B"]
    """which state is that of each query's head before any iteration"""
    num_first: int
    """states before any iteration"""
    iterations: list[Iteration]
    found: Int[Tensor, "B K"]
    """which state of the last iteration is that of each candidate"""


class Cones:
    """The pairs of entity and query whose states are a query's own, and those of the ground.

    ``candidates`` are those of each query; None: every entity. The head is one in any case. A pair has states in consecutive
    iterations, from ``since`` to ``until``.
    """

    def __init__(
        self,
        edges: Adjacency,
        head: Int[Tensor, " B"],
        kind: Int[Tensor, " B"],
        num_kinds: int,
        candidates: Int[Tensor, "B K"] | None,
        num_iterations: int,
    ) -> None:
        self.edges, self.num_kinds, self.num_iterations = edges, num_kinds, num_iterations
        self.head, self.candidates = head, candidates
        num_queries, num_nodes = len(head), edges.num_nodes
        self.starts, self.source, _ = (tensor.numpy() for tensor in edges.small)
        out_starts, out_edges = edges.by_source
        onward = edges.target[out_edges].numpy()
        wanted = np.empty((1, 0), np.int64) if candidates is None else candidates.numpy()
        # Pages that are not written take no memory.
        node, since, until = (np.empty((num_queries + 1, num_nodes), kind) for kind in (np.int32, np.int8, np.int8))
        count = np.zeros(num_queries + 1, np.int64)
        arrays = self.starts, self.source, out_starts.numpy(), onward, head.numpy(), wanted, candidates is None
        work = num_queries * min(len(edges), 1000)
        cpu.run(reach, num_queries + 1, work, *arrays, num_iterations, node, since, until, count)

        each = [*range(num_queries), *[num_queries] * num_kinds]  # the ground once for each kind
        self.node, self.since, self.until = (
            np.concatenate([table[b, : count[b]] for b in each]) for table in (node, since, until)
        )
        self.num_ground = int(count[-1])
        self.pair_starts = np.concatenate([[0], count[each].cumsum()])
        self.kind = np.concatenate([kind.numpy(), np.arange(num_kinds)])

    @property
    def num_states(self) -> int:
        """Of all iterations."""
        return int(self._times.sum())

    @property
    def num_messages(self) -> int:
        """Of all iterations."""
        return int((self._times * np.diff(self.starts)[self.node]).sum())

    @property
    def _times(self) -> np.ndarray:
        """How many states each pair has that are computed."""
        return (self.until - np.maximum(self.since, 1) + 1).astype(np.int64)

    def plan(self, degree: Int[Tensor, " N"]) -> Plan:
        iterations = range(self.num_iterations + 1)
        there = [(self.since <= t) & (t <= self.until) for t in iterations]
        in_degree, degrees = np.diff(self.starts), degree.numpy()
        row = np.empty((len(there), len(self.node)), np.int32)
        nodes, runs = [], []
        for t, each in enumerate(there):
            pairs = each.nonzero()[0]
            # of 16 bits, for which NumPy sorts in linear time; a few larger degrees may take turns
            pairs = pairs[degrees[self.node[pairs]].clip(max=2**16 - 1).astype(np.uint16).argsort(kind="stable")]
            row[t, pairs] = np.arange(len(pairs))
            nodes.append(self.node[pairs])
            changes = np.diff(degrees[nodes[t]]).nonzero()[0] + 1
            runs.append(np.diff(changes, prepend=0, append=len(pairs)).tolist())
        num_rows = [len(each) for each in nodes]
        row_starts = np.concatenate([[0, 0], np.cumsum(num_rows[1:])])  # those before any iteration get no message
        edge_starts = np.concatenate([[0], *(in_degree[each] for each in nodes[1:])]).cumsum()
        before = np.empty(row_starts[-1], np.int64)
        source, relation, edge = (np.empty(edge_starts[-1], np.int64) for _ in range(3))
        wanted = None if self.candidates is None else self.candidates.numpy()
        num_wanted = self.edges.num_nodes if wanted is None else wanted.shape[1]
        found = np.empty((len(self.head), num_wanted), np.int64)
        heads = np.empty((self.num_iterations + 1, len(self.head)), np.int64)
        cpu.run(
            connect, len(self.kind), len(source), self.starts, self.source, self.edges.relation.numpy(),
            self.pair_starts, self.node, self.since, self.until, self.kind, self.num_kinds, self.num_ground, row,
            row_starts, edge_starts, self.head.numpy(), np.empty((1, 0), np.int64) if wanted is None else wanted,
            before, source, relation, edge, heads, found,
        )  # fmt: skip

        plan = Plan(torch.from_numpy(heads[0]), num_rows[0], [], torch.from_numpy(found))
        for t in iterations[1:]:
            rows = slice(row_starts[t], row_starts[t + 1])
            starts = edge_starts[row_starts[t] : row_starts[t + 1] + 1]
            at = slice(starts[0], starts[-1])
            starts = torch.from_numpy(starts - starts[0])
            target = torch.repeat_interleave(starts.diff(), output_size=int(starts[-1]))
            of_edge = (torch.from_numpy(array[at]) for array in (source, relation, edge))
            sources, relations, order = of_edge
            num_relations = self.edges.num_relations * self.num_kinds
            sizes = num_rows[t], num_rows[t - 1], num_relations
            edges = Adjacency(*sizes, sources, relations, target, starts, order)
            at_head, before_it = torch.from_numpy(heads[t]), torch.from_numpy(before[rows])
            plan.iterations.append(Iteration(torch.from_numpy(nodes[t]).long(), runs[t], before_it, edges, at_head))
        return plan


@cpu.kernel
def reach(
    first, last, in_starts, in_source, out_starts, out_target, head, wanted, everything, most, node, since, until, count
):
    """The pairs of each query, and after all queries those of the ground."""
    num_nodes = len(in_starts) - 1
    from_head, to_candidate = np.empty(num_nodes, np.int8), np.empty(num_nodes, np.int8)
    queue = np.empty(num_nodes, np.int32)
    far = most + 1
    for b in range(first, last):
        # hops from the head
        found = 0
        if b < len(head):
            from_head[:] = far
            from_head[head[b]] = 0
            queue[0] = head[b]
            found, turn = 1, 0
            while turn < found:
                u = queue[turn]
                turn += 1
                hops = from_head[u] + 1
                if hops <= most:
                    for e in range(out_starts[u], out_starts[u + 1]):
                        v = out_target[e]
                        if from_head[v] == far:
                            from_head[v] = hops
                            queue[found] = v
                            found += 1
        else:
            from_head[:] = 0
            if everything:
                found = num_nodes
                for v in range(num_nodes):
                    queue[v] = v
        if everything:
            for i in range(found):
                node[b, i], since[b, i], until[b, i] = queue[i], from_head[queue[i]], most
            count[b] = found
            continue

        # hops to a candidate, by way of what the head reaches early enough
        to_candidate[:] = far
        found, turn = 0, 0
        begin, end = (b, b + 1) if b < len(head) else (0, len(head))
        for q in range(begin, end):
            if to_candidate[head[q]] == far:
                to_candidate[head[q]] = 0
                queue[found] = head[q]
                found += 1
            for v in wanted[q]:
                if to_candidate[v] == far and from_head[v] <= most:
                    to_candidate[v] = 0
                    queue[found] = v
                    found += 1
        while turn < found:
            v = queue[turn]
            node[b, turn], since[b, turn], until[b, turn] = v, from_head[v], most - to_candidate[v]
            turn += 1
            hops = to_candidate[v] + 1
            for e in range(in_starts[v], in_starts[v + 1]):
                u = in_source[e]
                if to_candidate[u] == far and from_head[u] + hops <= most:
                    to_candidate[u] = hops
                    queue[found] = u
                    found += 1
        count[b] = found


@cpu.kernel
def connect(
    first, last, in_starts, in_source, in_relation, pair_starts, node, since, until, kinds, num_kinds, num_ground, row,
    row_starts, edge_starts, head, wanted, before, source, relation, edge, heads, found,
):  # fmt: skip
    """The edges into each state, and where the state before it and those of heads and candidates stand."""
    num_nodes = len(in_starts) - 1
    num_queries, most = len(head), len(row) - 1
    own, ground = np.full(num_nodes, -1, np.int32), np.empty(num_nodes, np.int32)
    start_ground = pair_starts[num_queries]
    for i in range(num_ground):
        ground[node[start_ground + i]] = i
    for b in range(first, last):
        kind = kinds[b]
        grounds = start_ground + kind * num_ground
        for i in range(pair_starts[b], pair_starts[b + 1]):
            own[node[i]] = i
        for i in range(pair_starts[b], pair_starts[b + 1]):
            v = node[i]
            for t in range(max(since[i], 1), until[i] + 1):
                r = row_starts[t] + row[t, i]
                before[r] = row[t - 1, i if since[i] < t else grounds + ground[v]]
                place = edge_starts[r]
                for e in range(in_starts[v], in_starts[v + 1]):
                    u = in_source[e]
                    j = own[u]
                    if j < 0 or since[j] >= t:
                        j = grounds + ground[u]
                    source[place], relation[place], edge[place] = row[t - 1, j], in_relation[e] * num_kinds + kind, e
                    place += 1
        if b < num_queries:
            for t in range(most + 1):
                heads[t, b] = row[t, own[head[b]]]
            for k in range(found.shape[1]):
                v = wanted[b, k] if wanted.shape[1] else k
                j = own[v] if own[v] >= 0 else grounds + ground[v]
                found[b, k] = row[most, j]
        for i in range(pair_starts[b], pair_starts[b + 1]):
            own[node[i]] = -1
