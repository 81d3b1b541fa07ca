"""``nearfar annotate refresh``."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.cli.annotate.common import OfProject


@dataclass(frozen=True)
class Refresh(OfProject):
    """Apply changed settings, count everything anew, merge all answers, and close the pairs that are settled.

    Pairs whose image was away and is back are asked again.
    A server does the merging by itself now and then; this is for after an import, or after a repair by hand.
    """

    def run(self) -> None:
        """Do it, and say what was found."""
        from nearfar.annotation.projects.applying import apply_settings
        from nearfar.annotation.projects.crops import bring_back
        from nearfar.annotation.queue.counting import recount
        from nearfar.annotation.queue.refreshing import refresh

        with self.opened() as project:
            back = bring_back(project)
            raised = apply_settings(project.engine, project.settings)
            wrong = recount(project.engine, project.settings)
            done = refresh(project.engine, project.settings)
        print(f"{raised} pairs want more answers by the settings; {wrong} counts were wrong and are right now")
        if back:
            print(f"{back} pairs are asked again: their images are there again")
        if done is None:
            print("another process is merging at present")
        else:
            print(
                f"{done.answers} answers to {done.pairs} pairs merged in {done.seconds:.1f} s; "
                f"{done.closed} pairs closed, {done.reopened} opened again"
            )
