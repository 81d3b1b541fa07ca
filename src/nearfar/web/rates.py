"""Token buckets: how often somebody may ask, in bounded memory, of one process or of several of one machine."""

from __future__ import annotations

import hashlib
import ipaddress
import mmap
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Buckets", "Rate", "SharedBuckets", "network_of"]

SLOT = struct.Struct("=16sdd")
"""A bucket in a file: hash of its key, level, and when it had that level."""

SETS, WAYS = 4096, 8
"""A key may lie in one of the slots of its set; the one used longest ago is given to a new key."""


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second from then on.

    Attributes:
        burst: what a full bucket holds.
        per_second: what flows in.
    """

    burst: float
    per_second: float

    def spend(self, level: float, since: float, now: float) -> tuple[float, float]:
        """Take a token from a bucket that had a level at a time.

        Returns:
            Its level now, and 0 where there was a token, else the seconds until there is one.
        """
        level = min(self.burst, level + max(0.0, now - since) * self.per_second)
        return (level - 1, 0.0) if level >= 1 else (level, (1 - level) / self.per_second)


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
        with self._lock:
            now = self._clock()
            level, wait = self.rate.spend(*self._buckets.pop(key, (self.rate.burst, now)), now)
            self._buckets[key] = (level, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return wait


class SharedBuckets:
    """Buckets of several processes of this machine (not of Windows), in a file that all map into their memory.

    A process that is killed while it takes a token leaves the others its lock: it is the system's.

    Args:
        rate: size and inflow of each bucket.
        path: of the file, which is made where it is not there.
        clock: seconds from any moment before now on, the same for all processes.
    """

    def __init__(self, rate: Rate, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._file = path.open("a+b")
        self._file.truncate(SETS * WAYS * SLOT.size)
        self._memory = mmap.mmap(self._file.fileno(), SETS * WAYS * SLOT.size)

    def take(self, key: str) -> float:
        """Take one token: 0 where there was one, else the seconds until there is one."""
        import fcntl

        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        first = int.from_bytes(digest[:4], "little") % SETS * WAYS * SLOT.size
        with self._lock:  # threads share the file, and with it its lock
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                now = self._clock()
                slots = list(SLOT.iter_unpack(self._memory[first : first + WAYS * SLOT.size]))
                oldest = min(range(WAYS), key=lambda i: slots[i][2])
                way = next((i for i, slot in enumerate(slots) if slot[0] == digest), None)
                level, since = (self.rate.burst, now) if way is None else slots[way][1:]
                level, wait = self.rate.spend(level, since, now)
                at = first + (oldest if way is None else way) * SLOT.size
                SLOT.pack_into(self._memory, at, digest, level, now)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        return wait


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
