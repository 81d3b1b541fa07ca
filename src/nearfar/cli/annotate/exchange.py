"""``nearfar annotate export`` and ``import``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from nearfar.cli.annotate.common import OfProject, shows_progress
from nearfar.errors import InputError


@dataclass(frozen=True)
class Export(OfProject):
    """Write all answers to a file, for `nearfar merge`; and the poses that they speak of."""

    out: Path = Path("answers.parquet")
    """The file: .parquet (with everything that is known of an answer), .csv or .jsonl."""
    format: Literal["parquet", "csv", "jsonl", "crowd-kit"] | None = None
    """Its form, where its name does not say it."""
    poses: Path | None = None
    """Write the poses here, too (.npz); they are those of the project's poses.npz."""
    names: bool = False
    """People's names and workers' ids instead of pseudonyms."""

    def run(self) -> None:
        """Write."""
        from nearfar.annotation.exchange import export_answers

        if self.poses is not None and self.poses.suffix != ".npz":
            raise InputError(f"{self.poses}: poses are written as .npz")
        with self.opened() as project:
            count = export_answers(project, self.out, form=self.format, names=self.names)
            if self.poses is not None:
                project.poses.save(self.poses)
        print(f"{self.out}: {count} answers")
        of = f" --skeleton {self.project / 'skeleton.toml'}" if self.format == "crowd-kit" else ""  # it says no joints
        print(f"next: nearfar merge {self.out}{of} --out labels.parquet")


@dataclass(frozen=True)
class Import(OfProject):
    """Take answers from a file into a project, as those of the people it names; or pairs with known answers."""

    file: Annotated[Path | None, tyro.conf.Positional] = None
    """Answers with annotators, in any form that nearfar reads. What was imported before is not stored again."""
    gold: Path | None = None
    """Labels with known answers, to be hidden among the questions."""

    def run(self) -> None:
        """Read, store, say what became of it."""
        from nearfar.annotation.importing import import_answers, import_gold

        if self.file is None and self.gold is None:
            raise InputError("import: give a file of answers, or --gold FILE")
        with self.opened() as project:
            if self.file is not None:
                done = import_answers(project, self.file, progress=shows_progress())
                print(
                    f"{self.file}: {done.stored} answers stored, {done.already} were there already, "
                    f"{done.without_image} without an image here; {done.people} people added"
                )
            if self.gold is not None:
                gold = import_gold(project, self.gold)
                print(
                    f"{self.gold}: {gold.stored} pairs of gold added, {gold.already} were there already, "
                    f"{gold.left_out} cannot be asked; {gold.closed} pairs are not asked as work any more"
                )
