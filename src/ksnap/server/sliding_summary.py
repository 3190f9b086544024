"""Count and sum for ever, quantiles of the last hour: what Prometheus calls a summary with a sliding window.

The hour is cut into slots, each a sketch of constant size that is exact to a fiftieth of the value (DDSketch, Masson et
al., VLDB 2019); a scrape merges those that are young enough. Observing costs about a microsecond, however many were.
"""

import threading
from collections import deque
from collections.abc import Mapping

from ddsketch import DDSketch

WINDOW_S = 3600.0
SLOTS = 6
ACCURACY = 0.02
QUANTILES = (0.5, 0.9, 0.99)


class SlidingSummary:
    """Of one series. `now` is of one clock that never goes back. A scrape may come from another thread."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0
        self._slots: deque[tuple[int, DDSketch]] = deque(maxlen=SLOTS)
        self._lock = threading.Lock()

    def observe(self, value: float, now: float) -> None:
        slot = _slot(now)
        with self._lock:
            self.count += 1
            self.sum += value
            if not self._slots or self._slots[-1][0] != slot:
                self._slots.append((slot, DDSketch(ACCURACY)))
            self._slots[-1][1].add(value)

    def quantiles(self, now: float) -> Mapping[float, float]:
        """Of the last hour, its oldest slot included as a whole; NaN if nothing was observed in it."""
        merged = DDSketch(ACCURACY)
        with self._lock:
            for slot, sketch in self._slots:
                if slot > _slot(now) - SLOTS:
                    merged.merge(sketch)
        found = {each: merged.get_quantile_value(each) for each in QUANTILES}
        return {each: float("nan") if value is None else float(value) for each, value in found.items()}


def _slot(now: float) -> int:
    return int(now // (WINDOW_S / SLOTS))
