"""``nearfar annotate``: ask people which of two joints is nearer, and get their answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import tyro

from nearfar.cli.annotate import mturk, users
from nearfar.cli.annotate.exchange import Export, Import
from nearfar.cli.annotate.init import Init
from nearfar.cli.annotate.refresh import Refresh
from nearfar.cli.annotate.serve import Serve
from nearfar.cli.annotate.status import Status
from nearfar.errors import InputError

COMMANDS: dict[str, Callable[..., Any]] = {
    "init": Init,
    "serve": Serve,
    "status": Status,
    "export": Export,
    "import": Import,
    "refresh": Refresh,
}
"""``users`` and ``mturk`` have commands of their own."""

GROUPS = {"users": users, "mturk": mturk}

_NEEDED = ("sqlalchemy", "alembic", "fastapi", "jinja2", "uvicorn", "PIL")


def main(argv: list[str]) -> None:
    """Parse and run.

    Raises:
        InputError: the studio's libraries are not installed, or the database cannot be used: it is locked or
            read-only, its disk is full, or its server went away.
    """
    if {"-h", "--help"} & set(argv):
        _run(argv)
        return
    _check_installed()
    from sqlalchemy.exc import OperationalError

    try:
        _run(argv)
    except OperationalError as error:
        told = str(error.orig).strip().splitlines() or ["it cannot be used"]
        raise InputError(f"database: {told[0]}") from None


def _run(argv: list[str]) -> None:
    if argv and argv[0] in GROUPS:
        GROUPS[argv[0]].main(argv[1:])
        return
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return
    if argv[0] not in COMMANDS:
        raise InputError(f"annotate: no command {argv[0]!r}; known: {', '.join((*COMMANDS, *GROUPS))}")
    tyro.cli(COMMANDS[argv[0]], prog=f"nearfar annotate {argv[0]}", args=argv[1:]).run()


def _usage() -> str:
    groups = {"users": "people: list, invite, link, revoke, role, block, unblock", "mturk": "Amazon Mechanical Turk"}
    rows = {name: (command.__doc__ or "").split("\n")[0] for name, command in COMMANDS.items()} | groups
    lines = "\n".join(f"  {name:<8}  {text}" for name, text in rows.items())
    return (
        "usage: nearfar annotate COMMAND ...\n\nAsk people which of two joints is nearer to the camera.\n\n"
        f"commands:\n{lines}\n\nnearfar annotate COMMAND --help tells more."
    )


def _check_installed() -> None:
    for name in _NEEDED:
        try:
            import_module(name)
        except ImportError:
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise InputError(
                f'the annotation studio needs {name} (Python {python}): pip install "nearfar[annotation]"'
            ) from None
