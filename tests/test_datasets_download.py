"""Downloads from a real server with the bad manners of real ones, onto real disks that fill up."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from download_server import serving

from nearfar.datasets.download import LOCK, RECORD, Patience, download_all
from nearfar.datasets.source import Download
from nearfar.errors import InputError

BODY = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()
HASTY = Patience(timeout=2.0, attempts=3, backoff=0.01)


@pytest.fixture
def server():
    with serving() as server:
        yield server


def get(folder: Path, *urls: str, sha256: str | None = SHA, patience: Patience = HASTY, **more: object) -> list[str]:
    said: list[str] = []
    download_all([Download("a.bin", urls, sha256, **more)], folder, patience=patience, report=said.append)
    return said


def visible(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name not in (RECORD, LOCK))


def test_a_file_arrives_verified_and_a_second_run_does_nothing(server, tmp_path):
    url = server.put("f", BODY)
    said = get(tmp_path / "new", url)
    assert (tmp_path / "new" / "a.bin").read_bytes() == BODY
    assert visible(tmp_path / "new") == ["a.bin"]
    assert SHA in said[0]
    assert get(tmp_path / "new", url) == [f"{tmp_path / 'new' / 'a.bin'}: already there"]
    assert server.asked["f"] == [None]


def test_a_cut_connection_is_gone_on_with(server, tmp_path):
    url = server.put("f", BODY, cuts=[100_000, 50_000])
    get(tmp_path, url)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked["f"] == [None, "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize("manners", [{"ranges": False}, {"etag": None}, {"etag": 'W/"weak"'}])
def test_without_ranges_or_a_version_a_cut_file_starts_again(server, tmp_path, manners):
    get(tmp_path, server.put("f", BODY, cuts=[100_000], **manners))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert len(server.asked["f"]) == 2


def test_the_date_of_change_serves_where_there_is_no_strong_etag(server, tmp_path):
    get(tmp_path, server.put("f", BODY, cuts=[7], etag=None, modified="Wed, 21 Oct 2015 07:28:00 GMT"))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked["f"] == [None, "bytes=7-"]


def give_up(server, tmp_path, name="f", **manners):
    """One attempt at a file that is cut after 100,000 bytes."""
    url = server.put(name, BODY, cuts=[100_000], **manners)
    with pytest.raises(
        InputError, match=r"cut after 100000 of 300000 bytes .*what came is kept: run the command again"
    ):
        get(tmp_path, url, patience=Patience(2.0, 1, 0.01))
    assert visible(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    return url


def test_a_later_run_goes_on_with_the_part(server, tmp_path):
    get(tmp_path, give_up(server, tmp_path))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked["f"] == [None, "bytes=100000-"]
    assert visible(tmp_path) == ["a.bin"]


def test_a_later_run_goes_on_where_it_stopped_not_with_the_first_mirror(server, tmp_path):
    second = give_up(server, tmp_path, "second")
    get(tmp_path, server.put("first", BODY), second)
    assert server.asked == {"second": [None, "bytes=100000-"]}


@pytest.mark.parametrize("lies", [False, True])
@pytest.mark.parametrize("size", [300_000, 50_000, 400_000])
def test_a_file_that_has_changed_meanwhile_starts_again(server, tmp_path, size, lies):
    url = give_up(server, tmp_path)
    other = np.random.default_rng(1).bytes(size)
    server.put("f", other, etag='"v2"', lies=lies)
    get(tmp_path, url, sha256=None)
    assert (tmp_path / "a.bin").read_bytes() == other


def test_a_change_that_the_server_hides_is_found_by_the_digest(server, tmp_path):
    """Another file under the same ETag: the pieces do not belong together, so it is fetched whole."""
    url = server.put("f", b"x" * 300_000, cuts=[100_000])
    with pytest.raises(InputError):
        get(tmp_path, url, patience=Patience(2.0, 1, 0.01))
    server.put("f", BODY)
    get(tmp_path, url)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked["f"] == [None, "bytes=100000-", None]


def test_a_wrong_digest_removes_the_file_and_asks_the_next_mirror(server, tmp_path):
    wrong, right = server.put("wrong", BODY[::-1]), server.put("right", BODY)
    get(tmp_path, wrong, right)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert json.loads((tmp_path / RECORD).read_text())["a.bin"]["url"] == right


def test_when_no_mirror_has_it_the_error_says_why_of_each(server, tmp_path):
    wrong = server.put("wrong", BODY[::-1])
    with pytest.raises(InputError) as error:
        get(tmp_path, wrong, f"{server.url}/none", "ftp://localhost/f", "file:///etc/passwd")
    message = str(error.value)
    assert re.search(rf"wrong: what came has SHA-256 \w{{64}}, expected {SHA}", message)
    assert "none: HTTP 404" in message
    assert message.count("not an http or https address") == 2
    assert visible(tmp_path) == []
    assert len(server.asked["none"]) == 1  # a 404 is final


def test_a_server_that_recovers(server, tmp_path):
    get(tmp_path, server.put("f", BODY, statuses=[500, 503]))
    assert len(server.asked["f"]) == 3
    with pytest.raises(InputError, match=r"HTTP 500 .*\(3 attempts\)"):
        get(tmp_path / "b", server.put("g", BODY, statuses=[500] * 9))


def test_nobody_listens_and_a_server_that_falls_silent(server, tmp_path):
    with pytest.raises(InputError, match=r"refused \(2 attempts\)"):
        get(tmp_path, "http://localhost:9/f", patience=Patience(1.0, 2, 0.01))
    silent = server.put("f", BODY, stall=1000)
    with pytest.raises(InputError, match=r"cut after 1000 bytes \(.*timed out"):
        get(tmp_path, silent, patience=Patience(0.3, 1, 0.01))


def test_bodies_of_undeclared_length(server, tmp_path):
    get(tmp_path, server.put("f", BODY, length=0, cuts=[100_000]))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    with pytest.raises(InputError, match="does not say how long the file is"):
        get(tmp_path / "b", server.put("g", BODY, length=-1))


def test_no_more_is_taken_than_declared(server, tmp_path):
    get(tmp_path, server.put("f", BODY + b"more", length=len(BODY)))
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_declared_size_that_no_disk_holds(server, tmp_path):
    with pytest.raises(InputError, match=r"a\.bin\.part: needs 1000000000\.0 MB on the disk"):
        get(tmp_path, server.put("f", BODY, length=10**15))
    assert not (tmp_path / "a.bin").exists()


def test_a_login_page_is_not_the_file(server, tmp_path):
    page = server.put("f", b"<html>log in</html>", content_type="text/html; charset=utf-8")
    with pytest.raises(InputError, match="a web page instead of the file"):
        get(tmp_path, page, sha256=None)
    assert visible(tmp_path) == []


def test_the_users_own_file_is_taken_or_left_alone(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    get(tmp_path, "http://localhost:9/never")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.bin").write_bytes(b"mine")
    with pytest.raises(InputError, match="move it away"):
        get(tmp_path / "other", "http://localhost:9/never")
    assert (tmp_path / "other" / "a.bin").read_bytes() == b"mine"


def test_a_file_that_was_changed_after_the_download_is_told(server, tmp_path):
    url = server.put("f", BODY)
    get(tmp_path, url, sha256=None)
    (tmp_path / "a.bin").write_bytes(BODY[:-1])
    with pytest.raises(InputError, match="move it away"):
        get(tmp_path, url, sha256=None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a.bin": 3}', "[" * 100_000])
def test_a_damaged_record_costs_only_the_work(server, tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    url = give_up(server, tmp_path)
    (tmp_path / "a.bin.part.json").write_text(text)
    get(tmp_path, url)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_redirects(server, tmp_path):
    server.put("f", BODY, cuts=[100_000])
    get(tmp_path, server.put("r", b"", redirect="/f"))
    assert server.asked["f"] == [None, "bytes=100000-"]
    with pytest.raises(InputError, match="redirect"):
        get(tmp_path / "b", server.put("loop", b"", redirect="/loop"))
    with pytest.raises(InputError, match="refused"):
        get(tmp_path / "b", server.put("out", b"", redirect="ftp://localhost/f"))


def test_https_is_verified_and_never_left(server, tmp_path, monkeypatch):
    certificate = tmp_path / "both.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command, to make a certificate")
    request = (
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    for kind in ("key", "cert"):
        request += f" -{'keyout' if kind == 'key' else 'out'} {tmp_path / kind}.pem"
    subprocess.run(request.split(), check=True, capture_output=True)
    certificate.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    with serving(certificate) as secure:
        url = secure.put("f", BODY)
        with pytest.raises(InputError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            get(tmp_path / "a", url)
        assert not secure.asked
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        get(tmp_path / "a", url)
        get(tmp_path / "b", server.put("up", b"", redirect=url))  # http to https is fine
        with pytest.raises(InputError, match=r"redirected to http://.*, which is not https: refused"):
            get(tmp_path / "c", secure.put("down", b"", redirect=server.put("f", BODY)))
        assert not server.asked["f"]


def in_another_process(folder: Path, url: str, *, limit: str = "", patience: Patience = HASTY) -> subprocess.Popen[str]:
    code = (
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell ignores it
        "from nearfar.datasets.download import *\nfrom nearfar.datasets.source import Download\n"
        "from nearfar.errors import InputError\nfrom pathlib import Path\n"
        f"try: download_all([Download('a.bin', ({url!r},), {SHA!r})], Path({str(folder)!r}), patience={patience!r})\n"
        "except InputError as error: sys.exit(str(error))\nexcept KeyboardInterrupt: sys.exit(130)\n"
    )
    command = ["bash", "-c", f'{limit}exec "$0" -c "$1"', sys.executable, code]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, size: int) -> None:
    end = time.monotonic() + 20
    while not (path.exists() and path.stat().st_size >= size):
        assert time.monotonic() < end, f"{path} does not grow"
        time.sleep(0.02)


def test_a_full_disk_keeps_the_part(server, tmp_path):
    """A limit on the size of files is a disk that fills while we write."""
    url = server.put("f", BODY)
    with in_another_process(tmp_path, url, limit="ulimit -f 100; ") as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert re.search(r"a\.bin\.part: cannot write \(File too large\); what came is kept", said.splitlines()[-1]), said
    assert (tmp_path / "a.bin.part").stat().st_size == 100 * 1024
    get(tmp_path, url)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked["f"] == [None, "bytes=102400-"]


def test_a_disk_that_really_is_full(server, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("may not mount a small disk here")
    try:
        with pytest.raises(InputError, match=r"needs 0\.3 MB on the disk of .*disk, which has 0\.2 MB"):
            get(disk, server.put("f", BODY))
        assert "a.bin" not in visible(disk)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_ctrl_c_keeps_the_part(server, tmp_path):
    url = server.put("f", BODY, stall=100_000)
    with in_another_process(tmp_path, url, patience=Patience(20.0, 1, 0.01)) as process:
        wait_for(tmp_path / "a.bin.part", 1)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert (tmp_path / "a.bin.part").stat().st_size == 100_000
    server.put("f", BODY)
    get(tmp_path, url)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked["f"] == [None, "bytes=100000-"]


def test_two_at_once(server, tmp_path):
    url = server.put("f", BODY, stall=1000)
    with in_another_process(tmp_path, url, patience=Patience(20.0, 1, 0.01)) as process:
        wait_for(tmp_path / "a.bin.part", 0)
        with pytest.raises(InputError, match="another nearfar is downloading into this folder"):
            get(tmp_path, url)
        process.kill()
    server.put("f", BODY)
    get(tmp_path, url)  # the lock died with its holder
    assert (tmp_path / "a.bin").read_bytes() == BODY


def archive_of(tmp_path: Path, files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(tmp_path / "made.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return (tmp_path / "made.zip").read_bytes()


def test_archives_are_unpacked_once(server, tmp_path):
    url = server.put("z", archive_of(tmp_path, {"set/a.txt": b"a", "set/deep/b.txt": b"b"}))
    out = tmp_path / "out"
    get(out, url, sha256=None, unpack=True)
    assert (out / "set" / "deep" / "b.txt").read_bytes() == b"b"
    (out / "a.bin").unlink()  # the archive may go, once unpacked
    assert get(out, url, sha256=None, unpack=True) == [f"{out / 'a.bin'}: already there"]
    shutil.rmtree(out / "set")
    get(out, url, sha256=None, unpack=True)
    assert (out / "set" / "a.txt").read_bytes() == b"a"
    assert len(server.asked["z"]) == 2


def test_what_is_no_archive_asks_the_next_mirror(server, tmp_path):
    bad, good = server.put("bad", BODY), server.put("good", archive_of(tmp_path, {"a.txt": b"a"}))
    get(tmp_path / "out", bad, good, sha256=None, unpack=True)
    assert visible(tmp_path / "out") == ["a.bin", "a.txt"]
    with pytest.raises(InputError, match="not an archive"):
        get(tmp_path / "no", bad, sha256=None, unpack=True)
    assert visible(tmp_path / "no") == []
