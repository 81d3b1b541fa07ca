"""``nearfar data list``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class List:
    """List the published data sets that nearfar reads, and how each is to be had."""

    def run(self) -> None:
        """Print."""
        from nearfar.datasets.catalogue import SOURCES

        name, title = (max(len(getattr(source, field)) for source in SOURCES) for field in ("name", "title"))
        for source in SOURCES:
            how = "nearfar data get" if source.downloads else "by hand"
            print(f"{source.name:<{name}}  {source.title:<{title}}  {how:<16}  {source.homepage}")
