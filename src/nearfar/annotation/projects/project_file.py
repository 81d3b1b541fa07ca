"""`project.toml`: the settings of a project, for people to read and change."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from nearfar.annotation.settings import Settings
from nearfar.errors import InputError
from nearfar.files import read_text, write_text
from nearfar.skeleton import Skeleton

__all__ = ["ProjectFile", "read_project_file", "skeleton_toml", "write_project_file"]

NAME = "project.toml"
SCHEMA = "nearfar-annotation-1"


@dataclasses.dataclass(frozen=True)
class ProjectFile:
    """What `project.toml` says.

    Attributes:
        title: of the project, shown to people.
        images: the folder of the images, absolute, or below the project's folder.
        database: its address, without a password; a relative ``sqlite:///FILE`` lies in the project's folder.
        settings: how it asks.
    """

    title: str
    images: str
    database: str
    settings: Settings


def read_project_file(folder: str | Path) -> ProjectFile:
    """Read the settings of a project.

    Raises:
        InputError: no project there, not TOML, an unknown key, or a value that cannot be.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise InputError(f"{folder}: no project here (no {NAME}); nearfar annotate init makes one")
    try:
        data = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not TOML ({error})") from None
    if data.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {data.get('schema')!r}, expected {SCHEMA!r}")
    known = {"schema", "title", "images", "database", "settings"}
    if unknown := sorted(data.keys() - known):
        raise InputError(f"{path}: unknown keys {unknown}; expected {sorted(known)}")
    texts = {}
    for key in ("title", "images", "database"):
        if not isinstance(data.get(key), str) or not data[key].strip():
            raise InputError(f"{path}: {key}: expected a text, got {data.get(key)!r}")
        texts[key] = data[key]
    return ProjectFile(**texts, settings=_settings(data.get("settings", {}), path))


def _settings(data: Any, path: Path) -> Settings:
    if not isinstance(data, dict):
        raise InputError(f"{path}: settings: expected a table, got {data!r}")
    types_of = typing.get_type_hints(Settings)
    if unknown := sorted(data.keys() - types_of.keys()):
        raise InputError(f"{path}: unknown settings {unknown}; there are {', '.join(types_of)}")
    values: dict[str, Any] = {}
    for key, value in data.items():
        of = types_of[key]
        allowed = typing.get_args(of) if isinstance(of, types.UnionType) else (of,)
        number = type(value) is int and float in allowed
        if type(value) not in allowed and not number:
            names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
            expected = " or ".join(names[kind] for kind in allowed if kind in names)
            raise InputError(f"{path}: settings: {key}: expected {expected}, got {value!r}")
        values[key] = float(value) if number else value
    try:
        return Settings(**values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_project_file(folder: str | Path, project: ProjectFile) -> None:
    """Write `project.toml`, each setting with what it means."""
    meaning = _meanings()
    lines = [
        "# A project of nearfar's annotation studio. Settings may be changed; the server reads them when it starts.",
        f'schema = "{SCHEMA}"',
        f"title = {_toml(project.title)}",
        "# The folder of the images: absolute, or relative to this one.",
        f"images = {_toml(project.images)}",
        "# Without its password, which stands in NEARFAR_DATABASE (the whole address), PGPASSWORD or ~/.pgpass.",
        f"database = {_toml(project.database)}",
        "",
        "[settings]",
    ]
    for field in dataclasses.fields(Settings):
        value = getattr(project.settings, field.name)
        if field.name in meaning:
            lines.append(f"# {meaning[field.name]}")
        lines.append(f"# {field.name} = (not set)" if value is None else f"{field.name} = {_toml(value)}")
    write_text(Path(folder) / NAME, "\n".join(lines) + "\n")


def _meanings() -> dict[str, str]:
    """What the attributes of `Settings` mean, from its docstring."""
    text = (Settings.__doc__ or "").partition("Attributes:")[2]
    entries = re.findall(r"^ +(\w+): (.+(?:\n(?! +\w+: ).+)*)", text, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in entries}


def skeleton_toml(skeleton: Skeleton) -> str:
    """A skeleton as its TOML file."""
    data = skeleton.to_dict()
    lines = [f"{key} = {_toml(value)}" for key, value in data.items() if key != "limbs"]
    limbs = ",\n".join(
        "    { " + ", ".join(f"{key} = {_toml(value)}" for key, value in limb.items()) + " }" for limb in data["limbs"]
    )
    return "\n".join([*lines, f"limbs = [\n{limbs}\n]"]) + "\n"


def _toml(value: str | float | bool) -> str:
    """A TOML value: JSON's texts, numbers, true and false are TOML's, too (DEL apart)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
