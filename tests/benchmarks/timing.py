"""Time calls in turn, A B A B, so that a drift of the machine meets all of them."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timings:
    """Seconds of each call of each contestant, round by round, and those of the processor in this process."""

    seconds: dict[str, list[float]]
    processor: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def best(self, name: str) -> float:
        return min(self.seconds[name])

    def of_processor(self, name: str) -> float:
        """Return the median of the seconds of the processor."""
        return statistics.median(self.processor[name])

    def ratio(self, slow: str, fast: str) -> float:
        """Return the median over the rounds of slow / fast."""
        return _ratio(self.seconds[slow], self.seconds[fast])

    def ratio_of_processor(self, slow: str, fast: str) -> float:
        """Return the same of the seconds of the processor, which what else runs on the machine leaves alone."""
        return _ratio(self.processor[slow], self.processor[fast])


@dataclass(frozen=True)
class Took:
    """What a call took."""

    seconds: float
    processor: float  # seconds of the processor in this process, which what else runs on the machine leaves alone

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.processor:.1f} of processor)"


def time_call(call: Callable[[], Result]) -> tuple[Took, Result]:
    """Return what a call took, and its result."""
    start, processor_start = time.perf_counter(), time.process_time()
    result = call()
    return Took(time.perf_counter() - start, time.process_time() - processor_start), result


def _ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def in_turn(
    calls: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> Timings:
    """Return the timings of `rounds` rounds over all calls, after one round that is not counted."""
    timings = Timings({name: [] for name in calls}, {name: [] for name in calls})
    for number in range(rounds + 1):
        for name, call in calls.items():
            start, processor_start = clock(), time.process_time()
            call()
            if number:
                timings.seconds[name].append(clock() - start)
                timings.processor[name].append(time.process_time() - processor_start)
    return timings
