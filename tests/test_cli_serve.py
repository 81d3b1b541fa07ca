"""`nearfar serve` and `nearfar tokens`: what they refuse, and that their options are documented."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from nearfar.cli import main
from nearfar.cli.serve import Serve
from nearfar.serving.limits import Limits

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "say --public-url, too"),
        (["--public-url", "poses.example.org"], "expected https://NAME"),
        (["--workers", "0"], "expected 1 or more"),
        (["--certificate", "here.pem"], "--certificate and --key go together"),
        (["--trusted-proxy", "nginx"], "expected an address or a network"),
        (["--port", "70000"], "cannot listen there"),
        (["--keep-hours", "0"], "--keep-hours: expected a number above 0, got 0"),
        (["--video-mb", "nan"], "--video-mb: expected a number above 0, got nan"),
        (["--weights", "none.safetensors", "--port", "0"], "no weights 'none.safetensors'"),
    ],
)
def test_refusals(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path / "service"), *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nearfar: error: ")]
    assert len(errors) == 1
    assert message in errors[0]


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ["--folder", str(tmp_path / "service")]
    assert main(["tokens", "list", *folder]) == 2
    assert "not a service's folder" in capsys.readouterr().err
    assert main(["tokens", "create", "lab", *folder]) == 0
    assert re.fullmatch(r"[\w-]{43}\n", capsys.readouterr().out)
    assert main(["tokens", "create", "lab", *folder]) == 2
    assert main(["tokens", "list", *folder]) == 0
    assert re.match(r"lab: made \d{4}-\d\d-\d\d \d\d:\d\d UTC, never used\n", capsys.readouterr().out)
    assert main(["tokens", "link", *folder]) == 0
    assert re.fullmatch(r"/#code=[\w-]{43}\n", capsys.readouterr().out)
    assert main(["tokens", "revoke", "lab", *folder]) == 0
    assert main(["tokens", "revoke", "lab", *folder]) == 2
    assert "there is none of 'lab'" in capsys.readouterr().err


def test_every_option_is_documented() -> None:
    page = (DOCS / "commands.md").read_text("utf-8")
    section = re.split(r"\n## ", page.split("\n## `nearfar serve")[1])[0]
    limits = {field.name for field in dataclasses.fields(Limits)}
    options = ({field.name for field in dataclasses.fields(Serve)} | limits) - {"folder", "limits"}
    assert not [name for name in options if f"`--{name.replace('_', '-')}" not in section]
    described = (DOCS / "serving.md").read_text("utf-8")
    assert not [name for name in limits if f"`--{name.replace('_', '-')}`" not in described]
