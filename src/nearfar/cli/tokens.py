"""``nearfar tokens``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.serving.store import Store


@dataclass(frozen=True)
class OfService:
    """A command about the tokens of a service; it may run meanwhile."""

    folder: Path = Path("service")
    """Folder of the service."""

    def opened(self) -> Store:
        """Its store.

        Raises:
            InputError: there is none.
        """
        from nearfar.serving.store import Store

        if not (self.folder / "service.db").is_file():
            raise InputError(f"{self.folder}: not a service's folder; nearfar serve {self.folder} makes it")
        return Store(self.folder)


@dataclass(frozen=True)
class Create(OfService):
    """Make a token for a client, and print it. It is shown this once: the service keeps its hash only."""

    name: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Whose it is: jobs belong to this name."""

    def run(self) -> None:
        """Make it."""
        from nearfar.serving.access import create_token
        from nearfar.serving.store import Store

        with Store(self.folder) as store:  # a service may get its tokens before its first start
            print(create_token(store, self.name, time.time()))


@dataclass(frozen=True)
class List(OfService):
    """List the names of tokens, and when each was used last."""

    def run(self) -> None:
        """Print them."""
        from nearfar.serving.access import list_tokens

        with self.opened() as store:
            for token in list_tokens(store):
                seen = "never used" if token.seen_at is None else f"used {_moment(token.seen_at)}"
                print(f"{token.name}: made {_moment(token.created_at)}, {seen}")


@dataclass(frozen=True)
class Revoke(OfService):
    """End a token, and the page sessions that were started with it."""

    name: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Whose."""

    def run(self) -> None:
        """End it."""
        from nearfar.serving.access import revoke

        with self.opened() as store:
            revoke(store, self.name)
        print(f"{self.name}: revoked")


@dataclass(frozen=True)
class Link(OfService):
    """Print the end of a link that opens the page, for one use within ten minutes."""

    def run(self) -> None:
        """Make a code."""
        from nearfar.serving.access import new_code

        with self.opened() as store:
            print(f"/#code={new_code(store, time.time())}")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def main(argv: list[str]) -> None:
    """Parse and run."""
    commands = {"create": Create, "list": List, "revoke": Revoke, "link": Link}
    tyro.extras.subcommand_cli_from_dict(commands, prog="nearfar tokens", args=argv).run()  # type: ignore[arg-type]
