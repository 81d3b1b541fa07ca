"""``nearfar annotate users``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nearfar.cli.annotate.common import OfProject
from nearfar.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nearfar.annotation.people import Person

Role = Literal["admin", "annotator", "viewer"]


@dataclass(frozen=True)
class List(OfProject):
    """List people, and the links that were not used yet."""

    json: bool = False
    """Print as JSON."""

    def run(self) -> None:
        """Read, print."""
        from nearfar.annotation.invitations import list_invitations
        from nearfar.annotation.people import list_people

        with self.opened() as project, project.engine.connect() as connection:
            people, links = list_people(connection), list_invitations(connection, time.time())
        if self.json:
            print(
                json.dumps({"people": [asdict(p) for p in people], "links": [asdict(one) for one in links]}, indent=1)
            )
            return
        for person in people:
            state = "blocked" if person.blocked else person.stage
            print(f"{person.id:>5}  {person.name:<30} {person.role:<10} {person.platform:<8} {state}")
        for link in links:
            until = time.strftime("%Y-%m-%d %H:%M", time.localtime(link.expires_at))
            print(f" link {link.id:<5} {link.name or '(anybody)':<24} {link.role:<10} until {until}")
        if not (people or links):
            print("nobody yet: nearfar annotate users invite PROJECT NAME")


@dataclass(frozen=True)
class _Linking(OfProject):
    """A command that prints a link."""

    public_url: str = "http://127.0.0.1:8000"
    """Where people reach the server."""
    days: float = 7.0
    """How long the link can be used."""

    def tell(self, token: str) -> None:
        """Print the link: to stdout alone, it is shown once."""
        print(f"{self.public_url.rstrip('/')}/join#{token}")

    def check(self) -> None:
        """Check the days."""
        if not 0 < self.days <= 365:
            raise InputError(f"--days: expected 0..365, got {self.days:g}")


@dataclass(frozen=True)
class Invite(_Linking):
    """Print a link for somebody new. It works once."""

    name: Annotated[str | None, tyro.conf.Positional] = None
    """Theirs; without it they choose it themselves."""
    role: Role = "annotator"
    """What they may do: answer, look at everything (viewer), or run the project (admin)."""

    def run(self) -> None:
        """Invite."""
        from nearfar.annotation.database import with_retries
        from nearfar.annotation.invitations import invite

        self.check()
        with self.opened() as project:
            link = with_retries(project.engine, lambda c: invite(c, self.name, self.role, time.time(), days=self.days))
        self.tell(link.token)


@dataclass(frozen=True)
class Link(_Linking):
    """Print a link for somebody known: for another device, or when they were signed out. It works once."""

    name: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Theirs, or their number."""

    def run(self) -> None:
        """Make the link."""
        from nearfar.annotation.database import with_retries
        from nearfar.annotation.invitations import link_for

        self.check()
        with self.opened() as project:
            link = with_retries(
                project.engine, lambda c: link_for(c, find(c, self.name).id, time.time(), days=self.days)
            )
        self.tell(link.token)


@dataclass(frozen=True)
class Revoke(OfProject):
    """Take a link back that was not used yet."""

    link: Annotated[int, tyro.conf.Positional] = tyro.MISSING
    """Its number, as `list` shows it."""

    def run(self) -> None:
        """Take it back."""
        from nearfar.annotation.database import with_retries
        from nearfar.annotation.invitations import revoke

        with self.opened() as project:
            with_retries(project.engine, lambda c: revoke(c, self.link, time.time()))
        print(f"link {self.link} cannot be used any more")


@dataclass(frozen=True)
class ChangeRole(OfProject):
    """Change what somebody may do."""

    name: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Theirs, or their number."""
    role: Annotated[Role, tyro.conf.Positional] = tyro.MISSING
    """What they may do."""

    def run(self) -> None:
        """Change it."""
        from nearfar.annotation.database import with_retries
        from nearfar.annotation.people import change_role

        with self.opened() as project:
            with_retries(project.engine, lambda c: change_role(c, find(c, self.name).id, self.role, time.time()))
        print(f"{self.name} is {self.role} now")


@dataclass(frozen=True)
class Block(OfProject):
    """Keep somebody out: their answers are kept, but count no more."""

    name: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Theirs, or their number."""
    reason: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Why, for admins to read."""

    def run(self) -> None:
        """Block."""
        from nearfar.annotation.queue.blocking import block_person

        with self.opened() as project:
            with project.engine.connect() as connection:
                person = find(connection, self.name)
            block_person(project.engine, project.settings, person.id, self.reason, time.time())
        print(f"{person.name} is blocked")


@dataclass(frozen=True)
class Unblock(OfProject):
    """Let somebody in again; their answers count again."""

    name: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Theirs, or their number."""

    def run(self) -> None:
        """Unblock."""
        from nearfar.annotation.queue.blocking import unblock_person

        with self.opened() as project:
            with project.engine.connect() as connection:
                person = find(connection, self.name)
            unblock_person(project.engine, project.settings, person.id, time.time())
        print(f"{person.name} may answer again")


COMMANDS: dict[str, Callable[..., Any]] = {
    "list": List,
    "invite": Invite,
    "link": Link,
    "revoke": Revoke,
    "role": ChangeRole,
    "block": Block,
    "unblock": Unblock,
}


def find(connection: Connection, said: str) -> Person:
    """Somebody by name, by number, or by the pseudonym of an export.

    Raises:
        InputError: there is nobody, or several people have that name.
    """
    from nearfar.annotation.people import get_person, list_people

    named = [person for person in list_people(connection) if person.name == said]
    if len(named) == 1:
        return named[0]
    number = said.removeprefix("person-")
    if not named and number.isascii() and number.isdecimal() and len(number) < 18:
        return get_person(connection, int(number))
    if named:
        raise InputError(f"{said!r}: several people have that name; say the number: {[one.id for one in named]}")
    raise InputError(f"there is nobody called {said!r}; nearfar annotate users list shows who there is")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="nearfar annotate users", args=argv).run()
