"""``nearfar data list``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class List:
    """List the published data sets that nearfar reads, and how each is to be had."""

    def run(self) -> None:
        """Print."""
        from nearfar.datasets.catalogue import SOURCES

        width = max(len(source.name) for source in SOURCES)
        for source in SOURCES:
            how = "nearfar data get" if source.downloads else "by hand"
            print(f"{source.name:<{width}}  {how:<16}  {source.title}")
