"""How much memory scoring may take, and how many queries at once fit into it."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import torch

from gnnkg.core import Lookup

UNITS = {
    "": 1,
    "B": 1,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "KI": 2**10,
    "MI": 2**20,
    "GI": 2**30,
    "TI": 2**40,
}
LARGEST_BLOCK = 1024
SMALLEST_BLOCK = 8


def parse_size(text: str | int | None) -> int | None:
    """``"2GB"``, ``"500 MiB"``, ``"1e9"`` or a number, in bytes; None stays None. Raises ValueError for anything else, and below
    one byte.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMGT]?I?)B?\s*", str(text), re.IGNORECASE)
    try:
        size = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    except (ValueError, KeyError):
        size = 0
    if size < 1:
        raise ValueError(f"a size of memory reads like 2GB, 500MB or 1073741824, not {text!r}")
    return size


def free_memory(device: torch.device) -> int:
    """Bytes that could be allocated: of the GPU, or of the machine and the container (cgroup v2) that this process is in."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    machine = psutil.virtual_memory().available
    container = _free_in_container(Path("/sys/fs/cgroup"))
    return machine if container is None else min(machine, container)


def _free_in_container(folder: Path) -> int | None:
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return None
    return max(0, limit - used + int(counts.get("inactive_file", 0)))


def queries_at_once(lookup: Lookup, num_entities: int, device: torch.device, memory: int | None = None) -> int:
    """How many queries are scored in one block: a power of two.

    As many as fit into the budget, but no more than pay off: small blocks stay in a CPU's cache, and do not depend on the
    budget. ``memory`` is in bytes, on top of the model; None: half of what is free. Where the encoder gives every query
    tail vectors of its own (a query-conditioned GNN), these count too.

    Scores must not depend on how many queries are asked together, or a budget could break a tie. Matrix products on CPU
    give a row the same bits in any block of a multiple of 4 rows, but not in others. So blocks have a multiple of 8 queries,
    about 128 bytes an entity, even where the budget is smaller. On a GPU the shape may choose another kernel: there the
    same bits are sure for budgets that hold the largest block, 256 MB (4 GB with a table a query).
    """
    budget = max(1, free_memory(device) // 2) if memory is None else memory
    if budget < 1:
        raise ValueError(f"the memory budget must be a number of bytes, or None, not {memory}")
    probe = torch.zeros(2, dtype=torch.int64, device=device)
    tail = lookup(probe, probe).tail
    # scores, as much twice over inside the scorer, and the rows copied for ranking
    bytes_a_query = 4 * num_entities * tail.element_size()
    pays_off = 2**28 if device.type == "cuda" else 2**26
    if tail.shape[0] == 2:  # a table a query
        bytes_a_query += 6 * num_entities * tail.shape[2] * tail.element_size()  # the states of a message-passing layer
        pays_off = 2**32 if device.type == "cuda" else 2**28
    fitting = max(1, min(budget, pays_off) // bytes_a_query)
    return min(LARGEST_BLOCK, max(SMALLEST_BLOCK, 1 << (fitting.bit_length() - 1)))
