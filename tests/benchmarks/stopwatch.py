"""Stopwatch for functions: each label's own seconds, without those of nested labels."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Stopwatch", "read_clocks"]


class Stopwatch:
    """Calls, wall and CPU seconds by label, and the peak memory after it."""

    def __init__(self, peak: Callable[[], int] = lambda: 0) -> None:
        self._peak, self.peaks = peak, dict[str, int]()
        self.calls = Counter[str]()
        self.seconds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._open_spans: list[list[float]] = []

    @contextmanager
    def measure(self, label: str) -> Iterator[None]:
        """Add the seconds spent inside, less those of nested measurements."""
        before, nested = read_clocks(), [0.0, 0.0]
        self._open_spans.append(nested)
        try:
            yield
        finally:
            self._open_spans.pop()
            spent = [now - then for now, then in zip(read_clocks(), before, strict=True)]
            self.calls[label] += 1
            self.peaks[label] = self._peak()
            for index in (0, 1):
                self.seconds[label][index] += spent[index] - nested[index]
                if self._open_spans:
                    self._open_spans[-1][index] += spent[index]

    def wrap(self, owner: Any, name: str, label: str) -> None:
        """Wrap a function that callers look up by name."""
        original: Callable[..., Any] = getattr(owner, name)

        def timed_call(*args: Any, **kwargs: Any) -> Any:
            with self.measure(label):
                return original(*args, **kwargs)

        setattr(owner, name, timed_call)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return label → wall seconds, CPU seconds and the process's peak memory after it."""
        return {
            label: {"seconds": wall, "cpu_seconds": cpu, "peak_bytes": self.peaks[label]}
            for label, (wall, cpu) in self.seconds.items()
        }


def read_clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
