"""A clock around functions: the seconds that are their own, without those they call."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Clock"]


class Clock:
    """Seconds by label, on the wall and of the processor; and how high the memory was after it."""

    def __init__(self, peak: Callable[[], int] = lambda: 0) -> None:
        self._peak, self.peaks = peak, dict[str, int]()
        self.seconds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._inside: list[list[float]] = []

    @contextmanager
    def running(self, label: str) -> Iterator[None]:
        """Count what happens inside, less what is counted inside of it."""
        before, mine = _now(), [0.0, 0.0]
        self._inside.append(mine)
        try:
            yield
        finally:
            self._inside.pop()
            spent = [now - then for now, then in zip(_now(), before, strict=True)]
            self.peaks[label] = self._peak()
            for place in (0, 1):
                self.seconds[label][place] += spent[place] - mine[place]
                if self._inside:
                    self._inside[-1][place] += spent[place]

    def around(self, owner: Any, name: str, label: str) -> None:
        """Put the clock around a function that others look up by its name."""
        bare: Callable[..., Any] = getattr(owner, name)

        def clocked(*args: Any, **kwargs: Any) -> Any:
            with self.running(label):
                return bare(*args, **kwargs)

        setattr(owner, name, clocked)

    def told(self) -> dict[str, dict[str, float]]:
        """Label → seconds, seconds of the processor, and the process's peak of memory after it."""
        return {
            label: {"seconds": wall, "cpu_seconds": cpu, "peak_bytes": self.peaks[label]}
            for label, (wall, cpu) in self.seconds.items()
        }


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
