"""Token buckets: how often somebody may ask, in bounded memory."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Buckets", "Rate", "network_of"]


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second from then on.

    Attributes:
        burst: what a full bucket holds.
        per_second: what flows in.
    """

    burst: float
    per_second: float


class Buckets:
    """A token bucket for each key; the keys used longest ago are forgotten first.

    Args:
        rate: size and inflow of each bucket.
        most: keys remembered.
        clock: seconds from any moment on.
    """

    def __init__(self, rate: Rate, *, most: int = 20_000, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> float:
        """Take one token: 0 where there was one, else the seconds until there is one."""
        now = self._clock()
        with self._lock:
            level, since = self._buckets.pop(key, (self.rate.burst, now))
            level = min(self.rate.burst, level + max(0.0, now - since) * self.rate.per_second)
            allowed = level >= 1
            self._buckets[key] = (level - 1 if allowed else level, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - level) / self.rate.per_second


def network_of(address: str) -> str:
    """The key of an address: itself, or the /64 network of IPv6, which one household has to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
