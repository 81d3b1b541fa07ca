"""Every published data set in the catalogue says what its users need, and has its page."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest

from nearfar.datasets.catalogue import SOURCES, get_source
from nearfar.errors import InputError

PAGES = Path(__file__).resolve().parents[1] / "docs" / "datasets"


def test_names_are_unique_and_found():
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    for source in SOURCES:
        assert get_source(source.name) is source
    with pytest.raises(InputError, match="no data set 'h36'; known: h36m, "):
        get_source("h36")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_says_what_its_users_need(source, tmp_path):
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", source.name)
    assert urlsplit(source.homepage).scheme in ("http", "https")
    assert source.title
    assert "ite" in source.licence or "stated" in source.licence  # whom to cite, or what to state
    assert source.layout.strip()
    assert source.steps.strip()
    for item in source.downloads:
        path = PurePosixPath(item.path)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert item.urls
        assert all(urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname for url in item.urls)
        assert item.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", item.sha256)
    assert len({item.path for item in source.downloads}) == len(source.downloads)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_an_empty_folder_has_problems_and_cannot_be_prepared(source, tmp_path):
    problems = source.problems(tmp_path)
    assert problems
    assert all(problem.strip() and "\n" not in problem for problem in problems)
    with pytest.raises(InputError):
        list(source.prepare(tmp_path, None))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_source_has_a_page_with_its_commands(source):
    pages = "\n".join(page.read_text("utf-8") for page in PAGES.glob("*.md"))
    assert re.search(rf"nearfar data (get|check|prepare) {source.name} ", pages)
