"""What the commands of ``nearfar annotate`` share."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from nearfar.annotation.projects.project import Project


@dataclass(frozen=True)
class OfProject:
    """A command about a project."""

    project: Annotated[Path, tyro.conf.Positional]
    """Folder of the project."""
    database: str | None = None
    """Address of its database, where it is not what project.toml or $NEARFAR_DATABASE says."""

    def opened(self) -> Project:
        """The project."""
        from nearfar.annotation.projects.project import open_project

        return open_project(self.project, self.database)


def shows_progress() -> bool:
    """Whether somebody looks at stderr."""
    return sys.stderr.isatty()
