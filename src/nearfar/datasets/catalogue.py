"""The published data sets that nearfar knows, in the order in which ``nearfar data list`` shows them."""

from __future__ import annotations

from nearfar.datasets import cmu, coco, lsp, mpi_inf_3dhp, mpii, relative_depth_lsp, threedpw
from nearfar.datasets.h36m import SOURCE as H36M
from nearfar.datasets.source import Source
from nearfar.errors import InputError

__all__ = ["SOURCES", "get_source"]

SOURCES: tuple[Source, ...] = (
    H36M,
    mpi_inf_3dhp.SOURCE,
    threedpw.SOURCE,
    cmu.SOURCE,
    cmu.BVH_SOURCE,
    lsp.SOURCE,
    lsp.EXTENDED_SOURCE,
    relative_depth_lsp.SOURCE,
    mpii.SOURCE,
    coco.SOURCE,
)


def get_source(name: str) -> Source:
    """A data set by its name on the command line.

    Raises:
        InputError: no such data set.
    """
    for source in SOURCES:
        if source.name == name:
            return source
    raise InputError(f"no data set {name!r}; known: {', '.join(source.name for source in SOURCES)}")
