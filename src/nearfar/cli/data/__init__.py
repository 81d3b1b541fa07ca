"""``nearfar data``: published data sets from their download to files of ours, and looking at files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tyro

from nearfar.cli.data.check import Check
from nearfar.cli.data.convert import Convert
from nearfar.cli.data.get import Get
from nearfar.cli.data.info import Info
from nearfar.cli.data.labels import Labels
from nearfar.cli.data.listing import List
from nearfar.cli.data.pack import Pack
from nearfar.cli.data.prepare import Prepare
from nearfar.cli.data.synthetic import Synthetic

COMMANDS: dict[str, Callable[..., Any]] = {
    "list": List,
    "get": Get,
    "check": Check,
    "prepare": Prepare,
    "info": Info,
    "labels": Labels,
    "synthetic": Synthetic,
    "convert": Convert,
    "pack": Pack,
}


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="nearfar data", args=argv).run()
