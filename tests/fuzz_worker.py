"""Reads what it is told to, in a process of its own: bounded memory, a watchdog, and an eye on what it must not do.

Each line of stdin is a sample's name and a folder, with a tab between; each answer is a line of JSON: "read", "refused"
(with the message), or "bad" (with what happened).
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
import traceback
import warnings
from pathlib import Path

MEMORY = 1 << 30
SECONDS = 60
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod",
    "os.symlink", "os.link", "os.truncate", "pty.spawn", "shutil.", "socket.connect", "socket.bind", "subprocess.Popen",
    "urllib.Request", "ftplib.", "webbrowser.",
)  # fmt: skip


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: reading files runs nothing, connects nowhere, and writes nothing."""
    if watch.on and (
        event.startswith(FORBIDDEN)
        or (event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    ):
        watch.seen.append(f"{event}{arguments!r}")


watch.on = False
watch.seen = []


def answer(name: str, folder: Path) -> tuple[str, str]:
    from fuzz_samples import SAMPLES

    from nearfar.errors import InputError

    watch.seen.clear()
    try:
        watch.on = True
        SAMPLES[name].read(folder)
        result = "read", ""
    except InputError as error:
        message = str(error)
        vague = str(folder) not in message and "names no file"
        memory = "llocate" in message and "was only saved by the limit on memory"
        result = ("bad", f"{memory or vague}: {message}") if vague or memory else ("refused", message)
    except BaseException:
        result = "bad", traceback.format_exc()
    finally:
        watch.on = False
    return ("bad", f"it did: {watch.seen}") if watch.seen else result


def main() -> None:
    warnings.simplefilter("ignore")
    import fuzz_samples  # noqa: F401 - so that the limit on memory does not count the libraries
    import h5py  # noqa: F401 - and what libraries run when they are imported is not the files' doing
    import scipy.io  # noqa: F401

    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, resource.RLIM_INFINITY))
    sys.addaudithook(watch)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        name, folder = line.rstrip("\n").split("\t")
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        result = answer(name, Path(folder))
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
