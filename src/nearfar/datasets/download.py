"""Downloading the files of a data set: resumed where they were cut, verified, whole or not at all.

What is done stands in ``.nearfar-downloads.json`` in the data set's folder, so that doing it again does nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.datasets.archives import is_archive, unpack
from nearfar.datasets.source import Download
from nearfar.datasets.transfer import KEPT, Final, Passing, discard, go_on, part_size, read_begun
from nearfar.errors import InputError
from nearfar.files import locked, write_text

__all__ = ["Patience", "download_all"]

RECORD = ".nearfar-downloads.json"
LOCK = ".nearfar-downloads.lock"
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to try.

    Attributes:
        timeout: seconds without a single byte after which a connection counts as cut.
        attempts: failures in a row, none of which brought the file further, after which a mirror is given up.
        backoff: seconds before the second attempt; doubled before each further one, up to a minute.
    """

    timeout: float = 30.0
    attempts: int = 5
    backoff: float = 1.0


def download_all(
    downloads: Sequence[Download],
    folder: Path,
    *,
    patience: Patience | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Get files into a folder, and unpack those that are archives.

    Args:
        downloads: the files.
        folder: the data set's folder; made where it is missing.
        patience: timeouts and retries.
        report: is told of each file what became of it.

    Raises:
        InputError: no mirror has the file, it is not what it should be, the disk is full, a file of that name is there
            but another, or another process downloads into the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK, f"{folder}: another nearfar is downloading into this folder"):
            for item in downloads:
                _get(item, folder, patience or Patience(), report)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot write ({error.strerror or error})") from None


def _get(item: Download, folder: Path, patience: Patience, report: Callable[[str], None]) -> None:
    target, record = folder / item.path, _read_record(folder)
    entry = record.get(item.path)
    if entry is not None and _is_done(entry, item, target):
        report(f"{target}: already there")
        return
    if target.exists():
        digest, url = _checked_own(item, target, entry), "already there"
    else:
        digest, url = _download(item, target, patience)
    size = target.stat().st_size
    compared = "" if item.sha256 else " (its publisher states none to compare with)"
    report(f"{target}: {size / 1e6:.1f} MB, SHA-256 {digest}{compared}")
    entry = {"url": url, "sha256": digest, "bytes": size}
    if item.unpack:
        entry["unpacked"] = tops = unpack(target, target.parent)
        report(f"{target}: unpacked {', '.join(tops[:5])}" + (", ..." if len(tops) > 5 else ""))
    write_text(folder / RECORD, json.dumps({**record, item.path: entry}, indent=1))


def _read_record(folder: Path) -> dict[str, Any]:
    """What has been downloaded before; a record that cannot be read only costs the work again."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_done(entry: Any, item: Download, target: Path) -> bool:
    """Whether all that the record says is still there; an archive may be deleted once it is unpacked."""
    if not isinstance(entry, dict) or (item.sha256 and entry.get("sha256") != item.sha256):
        return False
    if not item.unpack:
        return target.is_file() and target.stat().st_size == entry.get("bytes")
    tops = entry.get("unpacked")
    return isinstance(tops, list) and bool(tops) and all((target.parent / str(top)).exists() for top in tops)


def _checked_own(item: Download, target: Path, entry: Any) -> str:
    """The digest of a file that stands in the place already: the user's own, perhaps, so it is never replaced."""
    if not target.is_file():
        raise InputError(f"{target}: expected a file, and nothing else of that name")
    digest = _digest(target)
    expected = item.sha256 or (entry.get("sha256") if isinstance(entry, dict) else None)
    if expected not in (None, digest):
        raise InputError(f"{target}: has SHA-256 {digest}, expected {expected}: move it away to download it anew")
    return digest


def _download(item: Download, target: Path, patience: Patience) -> tuple[str, str]:
    """Get a file from the first mirror that has it, the one of which we hold a part before the others.

    Returns:
        Its digest, and the address that it came from.
    """
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    begun, failures = read_begun(part), []
    for url in sorted(item.urls, key=lambda url: begun is None or url != begun.url):
        try:
            digest = _from_mirror(url, part, item, patience)
        except Final as error:
            failures.append(f"{url}: {error}")
            continue
        part.replace(target)
        discard(part)
        return digest, url
    kept = [KEPT] if part.exists() else []
    raise InputError(f"{target}: cannot be downloaded: {'; '.join([*failures, *kept])}")


def _from_mirror(url: str, part: Path, item: Download, patience: Patience) -> str:
    """Get the whole of a file from one address, however often it is cut, and verify it."""
    failures, furthest = 0, 0
    while True:
        resumed = False
        try:
            resumed = go_on(url, part, patience.timeout)
            return _verified(part, item)
        except Final:
            if not resumed:
                raise
            wait = 0.0  # the pieces do not belong together, perhaps: once more, from the start
        except Passing as error:
            failures = 1 if part_size(part) > furthest else failures + 1
            furthest = max(furthest, part_size(part))
            if failures >= patience.attempts:
                raise Final(f"{error} ({failures} attempts)") from None
            wait = max(patience.backoff * 2.0 ** (failures - 1), error.wait)
        time.sleep(min(wait, LONGEST_WAIT))


def _verified(part: Path, item: Download) -> str:
    """The digest of a complete part, which is removed when it is not the file."""
    digest = _digest(part)
    wrong = None
    if item.sha256 and digest != item.sha256:
        wrong = f"what came has SHA-256 {digest}, expected {item.sha256}"
    elif item.unpack and not is_archive(part):
        wrong = "what came is not an archive"
    if wrong:
        discard(part)
        raise Final(wrong)
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
