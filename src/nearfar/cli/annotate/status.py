"""``nearfar annotate status``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nearfar.cli.annotate.common import OfProject

if TYPE_CHECKING:
    from nearfar.annotation.quality import PersonQuality, Share
    from nearfar.annotation.statistics import Dashboard


@dataclass(frozen=True)
class Status(OfProject):
    """Say how far a project is, what it cost, and how well people answer."""

    json: bool = False
    """Print everything as JSON."""

    def run(self) -> None:
        """Read, print."""
        from nearfar.annotation.quality import qualities
        from nearfar.annotation.statistics import dashboard

        with self.opened() as project, project.engine.connect() as connection:
            numbers = dashboard(connection, project.settings, time.time())
            people = qualities(connection, project.settings)
        if self.json:
            told: dict[str, Any] = {"title": project.title, **asdict(numbers), "people": [asdict(p) for p in people]}
            print(json.dumps(told, indent=1, allow_nan=False))
            return
        print("\n".join(_lines(project.title, numbers, project.settings.currency)))
        if people:
            print("\n" + _table(people))


def _lines(title: str, numbers: Dashboard, currency: str) -> list[str]:
    progress = numbers.progress
    done = progress.pairs - progress.open
    share = f" ({done / progress.pairs:.0%})" if progress.pairs else ""
    why = ", ".join(f"{count} by {reason}" for reason, count in sorted(progress.closed.items()))
    lines = [
        title,
        f"pairs      {done} of {progress.pairs} done{share}{f': {why}' if why else ''}",
        f"answers    {numbers.answers}; {progress.wanted} more wanted",
        f"last day   {sum(hour.answers for hour in numbers.hours)} answers",
    ]
    if numbers.cost:
        lines.append(f"cost       {numbers.cost:.2f} {currency}")
    lines.append(f"gold       {_share(numbers.gold)} right")
    if numbers.agreement is not None and numbers.agreement.alpha is not None:
        lines.append(f"agreement  alpha {numbers.agreement.alpha:.2f}")
    lines.append(f"bias       A chosen {_share(numbers.first)}, left button {_share(numbers.left)}")
    lines.append(f"can't tell {_share(numbers.unsure)}")
    if numbers.median_ms is not None:
        lines.append(f"time       median {numbers.median_ms / 1000:.1f} s an answer")
    return lines


def _table(people: list[PersonQuality]) -> str:
    rows = [("person", "stage", "answers", "gold", "agreement", "median", "")]
    for one in people:
        state = "blocked" if one.blocked_at is not None else one.stage
        median = "" if one.median_ms is None else f"{one.median_ms / 1000:.1f} s"
        rows.append(
            (one.name, state, str(one.answers), _share(one.gold), _share(one.agreement), median, ", ".join(one.flags))
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "-"
    return f"{share.value:.0%} ({share.low:.0%}-{share.high:.0%})"
