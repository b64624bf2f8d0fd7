"""The most memory that the tensors of a piece of work hold."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from pathlib import Path
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, profile


class PeakMemory:
    """``with PeakMemory() as memory: ...``, then ``memory.peak``: the most bytes that the tensors made meanwhile have held at once,
    on a GPU where there is one.

    Counted from torch's own record of what is allocated and freed, so that it does not depend on what the process held before. The
    record slows the work down: time it apart.
    """

    def __init__(self) -> None:
        self.peak = 0
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler writes to stderr that it has begun
        self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)

    def __enter__(self) -> PeakMemory:
        gc.collect()  # so that what is freed meanwhile was also made meanwhile
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._profile.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if torch.cuda.is_available():
            self.peak = torch.cuda.max_memory_allocated() - self._before
            return
        self._profile.__exit__(kind, error, at)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            self._profile.export_chrome_trace(str(file))
            events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
        held = 0
        for event in sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"]):
            held += event["args"]["Bytes"]
            self.peak = max(self.peak, held)
