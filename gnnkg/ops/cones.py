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

    ``kind`` of each query lies in [0, num_kinds). ``candidates`` are those of each query; None: every entity. The head is always
    one. A pair has states in consecutive iterations, from ``since`` to ``until``. Raises IndexError for ids that are no entity's.
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
        _check_ids(edges.num_nodes, head, candidates)
        self.edges, self.num_kinds, self.num_iterations = edges, num_kinds, num_iterations
        self.head, self.candidates = head.numpy(), None if candidates is None else candidates.numpy()
        self.kind = np.concatenate([kind.numpy(), np.arange(num_kinds)])  # of the queries, then of each ground
        self.starts, self.source, _ = (tensor.numpy() for tensor in edges.small)
        out_starts, onward = (tensor.numpy() for tensor in edges.onward)
        arrays = self.starts, self.source, out_starts, onward, self.head, self.kind, self._wanted, candidates is None
        found = {}

        def search(first: int, last: int) -> None:
            found[first] = reach(first, last, *arrays, num_iterations)

        cpu.run(search, len(self.kind), len(head) * (len(edges) + edges.num_nodes))
        parts = [found[first] for first in sorted(found)]
        self.node, self.since, self.until, count = (np.concatenate(each) for each in zip(*parts, strict=True))
        self.pair_starts = np.concatenate([[0], count.cumsum()])

    @property
    def _wanted(self) -> np.ndarray:
        return np.empty((len(self.head), 0), np.int64) if self.candidates is None else self.candidates

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
        num_wanted = self.edges.num_nodes if self.candidates is None else self.candidates.shape[1]
        found = np.empty((len(self.head), num_wanted), np.int64)
        heads = np.empty((self.num_iterations + 1, len(self.head)), np.int64)
        cpu.run(
            connect, len(self.kind), len(source), self.starts, self.source, self.edges.relation.numpy(),
            self.pair_starts, self.node, self.since, self.until, self.kind, self.num_kinds, row, row_starts, edge_starts,
            self.head, self._wanted, self.candidates is None, before, source, relation, edge, heads, found,
        )  # fmt: skip

        plan = Plan(torch.from_numpy(heads[0]), num_rows[0], [], torch.from_numpy(found))
        for t in iterations[1:]:
            rows = slice(row_starts[t], row_starts[t + 1])
            starts = edge_starts[row_starts[t] : row_starts[t + 1] + 1]
            at = slice(starts[0], starts[-1])
            starts = torch.from_numpy(starts - starts[0])
            target = torch.repeat_interleave(starts.diff(), output_size=int(starts[-1]))
            sources, relations, order = (torch.from_numpy(array[at]) for array in (source, relation, edge))
            edges = Adjacency(
                num_nodes=num_rows[t],
                num_sources=num_rows[t - 1],
                num_relations=self.edges.num_relations * self.num_kinds,
                source=sources,
                relation=relations,
                target=target,
                starts=starts,
                order=order,
                once=True,
            )
            at_head, before_it = torch.from_numpy(heads[t]), torch.from_numpy(before[rows])
            plan.iterations.append(Iteration(torch.from_numpy(nodes[t]).long(), runs[t], before_it, edges, at_head))
        return plan


def _check_ids(num_nodes: int, *ids: Tensor | None) -> None:
    """The kernels would write beside their arrays."""
    for each in ids:
        if each is not None and each.numel():
            low, high = (int(end) for end in each.aminmax())
            if low < 0 or high >= num_nodes:
                raise IndexError(f"entities lie in [0, {num_nodes}), but there is {low if low < 0 else high}")


@cpu.kernel
def reach(first, last, in_starts, in_source, out_starts, out_target, head, kinds, wanted, everything, most):
    """The pairs of each task: node, since and until, one task after the other, and the number of each.

    Tasks are the queries, and after them the ground of each kind: what any head of the kind would need if none reached anything.
    """
    num_nodes = len(in_starts) - 1
    far = most + 1  # stands for everything that is further
    from_head, to_candidate = np.empty(num_nodes, np.int16), np.empty(num_nodes, np.int16)
    queue = np.empty(num_nodes, np.int32)  # [0, turn) is done, [turn, known) is to be done
    node, since, until = np.empty(1024, np.int32), np.empty(1024, np.int16), np.empty(1024, np.int16)
    count = np.zeros(last - first, np.int64)
    total = 0
    for task in range(first, last):
        is_query = task < len(head)
        # edges from the head
        known, turn = 0, 0
        if is_query:
            from_head[:] = far
            from_head[head[task]] = 0
            queue[0] = head[task]
            known = 1
        else:
            from_head[:] = 0
        while turn < known:
            u = queue[turn]
            turn += 1
            hops = from_head[u] + 1
            if hops <= most:
                for e in range(out_starts[u], out_starts[u + 1]):
                    v = out_target[e]
                    if from_head[v] == far:
                        from_head[v] = hops
                        queue[known] = v
                        known += 1

        # edges to a candidate, by way of what the head reaches early enough
        if everything:
            to_candidate[:] = 0
            if not is_query:
                known = num_nodes
                for v in range(num_nodes):
                    queue[v] = v
        else:
            to_candidate[:] = far
            known, turn = 0, 0
            for q in range(task if is_query else 0, task + 1 if is_query else len(head)):
                if kinds[q] != kinds[task]:
                    continue
                for k in range(-1, wanted.shape[1]):
                    v = wanted[q, k] if k >= 0 else head[q]
                    if to_candidate[v] == far and from_head[v] <= most:
                        to_candidate[v] = 0
                        queue[known] = v
                        known += 1
            while turn < known:
                v = queue[turn]
                turn += 1
                hops = to_candidate[v] + 1
                for e in range(in_starts[v], in_starts[v + 1]):
                    u = in_source[e]
                    if to_candidate[u] == far and from_head[u] + hops <= most:
                        to_candidate[u] = hops
                        queue[known] = u
                        known += 1

        if total + known > len(node):
            size = 2 * (total + known)
            node, since, until = larger(node, total, size), larger(since, total, size), larger(until, total, size)
        for i in range(known):
            v = queue[i]
            node[total + i], since[total + i], until[total + i] = v, from_head[v], most - to_candidate[v]
        count[task - first] = known
        total += known
    return node[:total], since[:total], until[:total], count


@cpu.kernel
def larger(array, used, size):
    copy = np.empty(size, array.dtype)
    copy[:used] = array[:used]
    return copy


@cpu.kernel
def connect(
    first, last, in_starts, in_source, in_relation, pair_starts, node, since, until, kinds, num_kinds, row, row_starts,
    edge_starts, head, wanted, everything, before, source, relation, edge, heads, found,
):  # fmt: skip
    """The edges into each state, and where the state before it and those of heads and candidates stand."""
    num_nodes = len(in_starts) - 1
    num_queries, most = len(head), len(row) - 1
    own, ground = np.full(num_nodes, -1, np.int64), np.empty(num_nodes, np.int64)  # which pair each node is part of
    known_kind = -1
    for task in range(first, last):
        kind = kinds[task]
        if kind != known_kind:
            known_kind = kind
            for i in range(pair_starts[num_queries + kind], pair_starts[num_queries + kind + 1]):
                ground[node[i]] = i
        for i in range(pair_starts[task], pair_starts[task + 1]):
            own[node[i]] = i
        for i in range(pair_starts[task], pair_starts[task + 1]):
            v = node[i]
            for t in range(max(since[i], 1), until[i] + 1):
                r = row_starts[t] + row[t, i]
                before[r] = row[t - 1, i if since[i] < t else ground[v]]
                place = edge_starts[r]
                for e in range(in_starts[v], in_starts[v + 1]):
                    u = in_source[e]
                    j = own[u]
                    if j < 0 or since[j] >= t:
                        j = ground[u]
                    source[place], relation[place], edge[place] = row[t - 1, j], in_relation[e] * num_kinds + kind, e
                    place += 1
        if task < num_queries:
            for t in range(most + 1):
                heads[t, task] = row[t, own[head[task]]]
            for k in range(found.shape[1]):
                v = k if everything else wanted[task, k]
                found[task, k] = row[most, own[v] if own[v] >= 0 else ground[v]]
        for i in range(pair_starts[task], pair_starts[task + 1]):
            own[node[i]] = -1
