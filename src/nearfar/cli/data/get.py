"""``nearfar data get``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.datasets.source import Source


@dataclass(frozen=True)
class Get:
    """Download a published data set, its licence shown first; for what needs registration, say the exact steps.

    What was cut goes on where it stopped when the command is run again; what is done is not done again.
    """

    name: Annotated[str, tyro.conf.Positional]
    """Data set, as `nearfar data list` has it."""
    out: Path
    """The data set's folder."""
    accept_licence: bool = False
    """Do not ask whether the licence is accepted: it is."""

    def run(self) -> None:
        """Show, ask, download, unpack, check."""
        from nearfar.datasets.catalogue import get_source
        from nearfar.datasets.download import download_all

        source = get_source(self.name)
        print(f"{source.title}\n{source.homepage}\n\nLicence: {source.licence}\n")
        if source.downloads:
            self._ask(source)
            download_all(source.downloads, self.out)
            missing = source.problems(self.out)
            if not missing:
                print(f"ready: nearfar data prepare {source.name} {self.out} --out DIR")
                return
            print("still missing:", *missing, "", sep="\n")
        if source.steps.strip():
            print("To be done by hand:", source.steps.strip(), "", sep="\n")
        print(f"Files expected in {self.out}:", source.layout.strip(), "", sep="\n")
        print(f"Then: nearfar data check {source.name} {self.out}")

    def _ask(self, source: Source) -> None:
        if self.accept_licence:
            return
        if not sys.stdin.isatty():
            raise InputError(f"{source.name}: nobody is here to accept the licence: read it, then say --accept-licence")
        try:
            answer = input("Do you accept it? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            raise InputError(f"{source.name}: the licence was not accepted: nothing is downloaded")
