"""Every word that people read: `texts/LANGUAGE.toml`, one file a language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.errors import InputError
from nearfar.files import read_text

__all__ = ["Texts", "load_texts"]

FOLDER = Path(__file__).parent / "texts"


@dataclass(frozen=True)
class Texts:
    """The words of one language.

    Attributes:
        language: its BCP 47 tag, for the ``lang`` attribute.
        table: sections of texts; places to fill in are written ``{name}``.
    """

    language: str
    table: Mapping[str, Any]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key such as ``"question.ask"``, with its places filled in.

        Raises:
            KeyError: no such text, or a place that is not given.
        """
        found: Any = self.table
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise KeyError(f"texts/{self.language}.toml has no {key!r}")
            found = found[part]
        if not isinstance(found, str):
            raise KeyError(f"texts/{self.language}.toml: {key!r} is a section, not a text")
        return found.format(**values)

    def section(self, name: str) -> Mapping[str, Any]:
        """All texts of a section, unfilled, for the browser."""
        section: Mapping[str, Any] = self.table[name]
        return section

    def joint(self, name: str) -> str:
        """A joint in words: ``left_wrist`` is "left wrist"; skeletons may have joints that no file knows."""
        words: str = self.table["joints"].get(name, name.replace("_", " "))
        return words

    def joint_of(self, name: str, subject: str) -> str:
        """A joint and whose it is: "the person's left wrist"."""
        return self("question.joint", subject=subject, joint=self.joint(name))


def load_texts(language: str = "en") -> Texts:
    """Read the texts of a language.

    Raises:
        InputError: there is no such file, or it is not TOML.
    """
    path = FOLDER / f"{language}.toml"
    try:
        return Texts(language, tomllib.loads(read_text(path)))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: {error}") from None
