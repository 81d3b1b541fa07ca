"""``nearfar annotate mturk``."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tyro

from nearfar.cli.annotate.common import OfProject, shows_progress
from nearfar.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearfar.annotation.external.mturk import Cost, Turk
    from nearfar.annotation.external.mturk_work import Submission
    from nearfar.annotation.projects.project import Project


@dataclass(frozen=True)
class AtTurk(OfProject):
    """A command about a project's work at Mechanical Turk."""

    production: bool = False
    """The real Mechanical Turk, where money is spent; without it, its sandbox."""
    yes: bool = False
    """Do not ask before money is spent, work is rejected, or HITs are ended."""
    json: bool = False
    """Print the result as JSON."""

    @contextmanager
    def connected(self) -> Iterator[tuple[Project, Turk]]:
        """The project, and the connection."""
        from nearfar.annotation.external.mturk import connect_turk

        with self.opened() as project:
            yield project, connect_turk(sandbox=not self.production)

    def confirm(self, what: str) -> None:
        """Say what is about to happen; where it is for real, ask.

        Raises:
            InputError: nobody is there to ask, or they did not agree.
        """
        print(f"{'Mechanical Turk' if self.production else 'sandbox'}: {what}", file=sys.stderr)
        if self.yes or not self.production:
            return
        if not sys.stdin.isatty():
            raise InputError("nobody is there to confirm: give --yes")
        print("type yes to go on: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() != "yes":
            raise InputError("not confirmed; nothing was done")

    def tell(self, result: dict[str, Any], words: str) -> None:
        """Print the result."""
        print(json.dumps(result, indent=1) if self.json else words)


@dataclass(frozen=True)
class Create(AtTurk):
    """Make HITs; where an earlier create was interrupted, make what is left of that, and nothing else."""

    public_url: str = tyro.MISSING
    """Address of the running server, as workers reach it: https://..."""
    reward: float = tyro.MISSING
    """Paid for each assignment, which is one task of the project, in dollars."""
    budget: float | None = None
    """Refuse to spend more than this, in dollars, fees included."""
    hits: int | None = None
    """How many; by default as many as ask all answers that are wanted at present."""
    assignments: int = 9
    """Workers that may do each HIT; from 10 on Amazon's fee doubles."""
    title: str = "Which body part is nearer to the camera?"
    """Shown to workers."""
    description: str = "Look at pictures of people and say which of two marked places is nearer to the camera."
    """Shown to workers."""
    keywords: str = "image, picture, body, pose, depth, compare"
    """Under which workers find the HITs."""
    minutes: float = 60.0
    """Time to finish an assignment."""
    days: float = 7.0
    """How long the HITs can be found."""
    approve_days: float = 3.0
    """After so many days submitted work is approved by itself."""
    countries: tuple[str, ...] = ("US",)
    """Two-letter codes of the workers' countries; "any" for all."""
    approval_rate: int = 98
    """Percentage of a worker's work that was approved, at least; 0 for any."""
    approved_hits: int = 100
    """A worker's approved assignments, at least; 0 for any."""
    frame_height: int = 800
    """Height of the page in pixels."""

    def run(self) -> None:
        """Plan, show the cost, make."""
        from nearfar.annotation.external.mturk import Cost, cost_of
        from nearfar.annotation.external.mturk_hits import create_hits, hits_needed, planned_hits
        from nearfar.annotation.external.mturk_plan import HitPlan

        with self.connected() as (project, turk):
            left = planned_hits(project.engine, turk.sandbox)
            hits = (
                self.hits if self.hits is not None else hits_needed(project.engine, project.settings, self.assignments)
            )
            if not left and not hits:
                raise InputError("no pair needs an answer at present; --hits says how many HITs to make all the same")
            plan = HitPlan(
                self.public_url, len(left) or hits, self.assignments, _cents(self.reward, "reward"), self.title,
                self.description, self.keywords, self.minutes, self.days, self.approve_days,
                () if self.countries == ("any",) else self.countries, self.approval_rate, self.approved_hits,
                self.frame_height,
            )  # fmt: skip
            cost = plan.cost
            words = f"{plan.hits} HITs x {plan.assignments} assignments x ${self.reward:.2f}"
            if left:
                costs = (cost_of(r["assignments"], r["reward_cents"], of_hit=r["assignments"]) for r in left)
                cost = sum(costs, start=Cost(0, 0))
                words = f"{len(left)} HITs that an interrupted create had planned"
            _check_budget(self.budget, cost)
            self.confirm(f"{words}: at most {cost}")
            made = create_hits(turk, project.engine, plan, time.time(), progress=shows_progress())
            told = {"hits": made, "sandbox": turk.sandbox, "most_cents": cost.total, "resumed": bool(left)}
            self.tell(told, f"{made} HITs are on offer; workers find them at {turk.worker_site}")


@dataclass(frozen=True)
class Status(AtTurk):
    """Say how the HITs stand, and what they have cost so far."""

    def run(self) -> None:
        """Ask and print."""
        from nearfar.annotation.external.mturk import Cost
        from nearfar.annotation.external.mturk_hits import hit_statuses, planned_hits

        with self.connected() as (project, turk):
            statuses = hit_statuses(turk, project.engine, time.time(), progress=shows_progress())
            planned = len(planned_hits(project.engine, turk.sandbox))
        cost = sum((status.cost for status in statuses), start=Cost(0, 0))
        rows = [dataclasses.asdict(status) for status in statuses]
        counts = ("assignments", "open", "working", "submitted", "approved", "rejected")
        totals = {name: sum(row[name] for row in rows) for name in counts}
        lines = [f"{'HIT':32} {'state':12} " + " ".join(f"{name:>11}" for name in counts) + f" {'hours left':>10}"]
        lines += [
            f"{row['hit_id']:32} {row['state']:12} "
            + " ".join(f"{row[name]:11d}" for name in counts)
            + f" {row['hours_left']:10.1f}"
            for row in rows
        ]
        lines.append(f"{f'{len(rows)} HITs':32} {'':12} " + " ".join(f"{totals[name]:11d}" for name in counts))
        lines.append(f"cost so far: {cost}")
        if planned:
            lines.append(f"{planned} HITs were planned and not made: call create again")
        told = {"hits": rows, "totals": totals, "cost_cents": cost.total, "planned": planned, "sandbox": turk.sandbox}
        self.tell(told, "\n".join(lines))


@dataclass(frozen=True)
class Judging(AtTurk):
    """Which assignments are meant."""

    assignment: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Those with these ids."""
    worker: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Those of these workers."""

    def chosen(self, all_of_them: Sequence[Submission], verdict: Any) -> list[Submission]:
        """Those that are meant."""
        from nearfar.annotation.external.mturk_work import choose

        return choose(all_of_them, assignments=self.assignment, workers=self.worker, verdict=verdict)

    def judge(self, verdict: Any, rule: Any, reason: str, states: Sequence[str]) -> None:
        """Approve or reject, and say what is left."""
        from nearfar.annotation.external.mturk import Cost, cost_of
        from nearfar.annotation.external.mturk_work import judge, list_submissions

        if not (rule or self.assignment or self.worker):
            raise InputError("which? give --assignment, --worker, or the rule (--good or --bad)")
        with self.connected() as (project, turk):
            waiting = list_submissions(turk, project.engine, project.settings, states, progress=shows_progress())
            chosen = self.chosen(waiting, rule)
            for submission in chosen:
                if submission.verdict == "unknown":
                    print(f"note: assignment {submission.assignment_id} {submission.why}", file=sys.stderr)
            costs = (cost_of(1, s.reward_cents, of_hit=s.hit_assignments) for s in chosen)
            cost = f", {sum(costs, start=Cost(0, 0))}" if verdict == "approved" else ""
            count = 0
            if chosen:
                self.confirm(f"{len(chosen)} assignments to be {verdict}{cost}")
                count = judge(turk, project.engine, chosen, verdict, reason, progress=shows_progress())
        ids = {submission.assignment_id for submission in chosen}
        left = [submission for submission in waiting if submission.assignment_id not in ids]
        words = [f"{count} assignments {verdict}; {len(left)} others wait"]
        words += [f"  {s.assignment_id} of {s.worker_id}: {s.verdict}{f', {s.why}' if s.why else ''}" for s in left]
        told = {verdict: count, "left": [dataclasses.asdict(submission) for submission in left]}
        self.tell(told, "\n".join(words))


@dataclass(frozen=True)
class Approve(Judging):
    """Approve work, which pays it."""

    good: bool = False
    """All whose task was finished by the worker who had the assignment, who is not blocked or surely inaccurate."""
    message: str = ""
    """Shown to the workers."""
    rejected_too: bool = False
    """Also look among rejected assignments: a rejection can be taken back for 30 days."""

    def run(self) -> None:
        """Look and approve."""
        states = ("Submitted", "Rejected") if self.rejected_too else ("Submitted",)
        self.judge("approved", "good" if self.good else None, self.message, states)


@dataclass(frozen=True)
class Reject(Judging):
    """Reject work, which is not paid then. It harms workers: do so only where there is no doubt."""

    bad: bool = False
    """All whose task is not finished, or whose worker is blocked or surely below the project's gold accuracy."""
    reason: str = ""
    """Shown to the workers; needed."""

    def run(self) -> None:
        """Look and reject."""
        self.judge("rejected", "bad" if self.bad else None, self.reason, ("Submitted",))


@dataclass(frozen=True)
class Bonus(Judging):
    """Pay a bonus for assignments, once for each reason."""

    amount: float = tyro.MISSING
    """For each, in dollars."""
    reason: str = tyro.MISSING
    """Shown to the workers; the same reason is never paid twice for an assignment."""
    good: bool = False
    """All approved assignments whose work was good (see approve)."""
    budget: float | None = None
    """Refuse to spend more than this, in dollars, fees included."""

    def run(self) -> None:
        """Look which have had it, and pay the others."""
        from nearfar.annotation.external.mturk import Cost, fee_of
        from nearfar.annotation.external.mturk_work import list_submissions, send_bonus, submissions_to_pay

        cents = _cents(self.amount, "amount")
        if not (self.good or self.assignment or self.worker):
            raise InputError("which? give --assignment, --worker, or the rule --good")
        with self.connected() as (project, turk):
            states = ("Approved",) if self.good else ("Submitted", "Approved")
            done = list_submissions(turk, project.engine, project.settings, states, progress=shows_progress())
            chosen = self.chosen(done, "good" if self.good else None)
            left = submissions_to_pay(turk, chosen, cents, self.reason, progress=shows_progress())
            cost = Cost(len(left) * cents, len(left) * fee_of(cents))
            _check_budget(self.budget, cost)
            count = 0
            if left:
                self.confirm(f"{len(left)} bonuses of ${self.amount:.2f}: {cost}")
                count = send_bonus(turk, project.engine, left, cents, self.reason, progress=shows_progress())
        self.tell({"paid": count, "had_it": len(chosen) - len(left)}, f"{count} paid; {len(chosen) - len(left)} had it")


@dataclass(frozen=True)
class Extend(AtTurk):
    """Let more workers do the HITs, or have them found for longer."""

    hit: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Only HITs with these ids."""
    assignments: int | None = None
    """Workers that may do each HIT from now on, in all."""
    hours: float | None = None
    """The HITs can be found for so long from now on."""
    budget: float | None = None
    """Refuse to spend more than this, in dollars, fees included."""

    def run(self) -> None:
        """Show the cost, extend."""
        from nearfar.annotation.external.mturk_hits import expire_hits, extend_cost, extend_hits, hit_rows

        if self.assignments is None and self.hours is None:
            raise InputError("extend: give --assignments, --hours, or both")
        if self.assignments is not None and not 1 <= self.assignments <= 1000:
            raise InputError(f"assignments: expected 1..1000, got {self.assignments}")
        if self.hours is not None and not 0 < self.hours <= 24 * 365:
            raise InputError(f"hours: expected 0..{24 * 365}, got {self.hours:g}")
        added = 0
        with self.connected() as (project, turk):
            rows = hit_rows(project.engine, turk.sandbox, self.hit)
            if self.assignments is not None:
                fewer, cost = extend_cost(turk, rows, self.assignments)
                _check_budget(self.budget, cost)
                if fewer:
                    self.confirm(f"{len(fewer)} HITs to {self.assignments} assignments each: at most {cost} more")
                    added = extend_hits(turk, project.engine, fewer, self.assignments, progress=shows_progress())
            if self.hours is not None:
                until = time.time() + self.hours * 3600
                expire_hits(turk, project.engine, rows, until, progress=shows_progress())
        self.tell({"hits": len(rows), "assignments_added": added}, f"{len(rows)} HITs; {added} assignments added")


@dataclass(frozen=True)
class Expire(AtTurk):
    """End HITs now: nobody can take them any more. Who has accepted one may finish it."""

    hit: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Only HITs with these ids."""

    def run(self) -> None:
        """End them."""
        from nearfar.annotation.external.mturk_hits import expire_hits, hit_rows

        with self.connected() as (project, turk):
            rows = hit_rows(project.engine, turk.sandbox, self.hit)
            if rows:
                self.confirm(f"{len(rows)} HITs to be ended")
                expire_hits(turk, project.engine, rows, progress=shows_progress())
        self.tell({"expired": len(rows)}, f"{len(rows)} HITs ended")


COMMANDS: dict[str, Callable[..., Any]] = {
    "create": Create,
    "status": Status,
    "approve": Approve,
    "reject": Reject,
    "bonus": Bonus,
    "extend": Extend,
    "expire": Expire,
}


def _cents(dollars: float, name: str) -> int:
    """Dollars as whole cents."""
    cents = round(dollars * 100) if 0 <= dollars < 1e9 else -1
    if cents < 0 or abs(dollars * 100 - cents) > 1e-6:
        raise InputError(f"{name}: expected dollars and whole cents, got {dollars!r}")
    return cents


def _check_budget(budget: float | None, cost: Cost) -> None:
    """Refuse what costs more than so many dollars."""
    if budget is not None and cost.total > _cents(budget, "budget"):
        raise InputError(f"budget: {cost} is more than ${budget:.2f}; nothing was done")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="nearfar annotate mturk", args=argv).run()
