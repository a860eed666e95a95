"""A clock around functions: the seconds that are their own, without those they call."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Clock"]


class Clock:
    """Seconds by label, on the wall and of the processor."""

    def __init__(self) -> None:
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
        """Label → seconds, and seconds of the processor."""
        return {
            label: {"seconds": wall, "cpu_seconds": cpu}
            for label, (wall, cpu) in self.seconds.items()
        }


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
