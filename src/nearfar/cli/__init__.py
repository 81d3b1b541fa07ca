"""The command line: ``nearfar COMMAND ...``, one thin module a command, imported when it is called."""

from __future__ import annotations

import io
import sys
from importlib import import_module

from nearfar.errors import InputError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "lift": "lift images, videos or keypoints to 3D",
    "view": "make the 3D viewer (one HTML file) of poses",
    "export": "write poses as files that other programs open",
    "angles": "joint angles and gait, in clinical terms; for tables, OpenSim and figures",
    "live": "lift a camera or an RTSP stream while it runs, and look at it",
    "serve": "an HTTP service, and a page, that lift images, videos and keypoints",
    "tokens": "make, list and revoke the tokens of a service's clients",
    "train": "train a lifter from relative depth labels, or from 3D",
    "train-video": "train a lifter of clips around a lifter of single frames",
    "evaluate": "measure a lifter against 3D truth",
    "annotate": "ask people which joint is nearer: make a project, serve it, get the answers",
    "merge": "merge people's raw answers into labels with probability and risk; report on workers",
    "study": "measure people's answers against known 3D; fit noise models",
    "data": "get, check, prepare, make, convert and look at data sets",
    "reproduce": "the paper's tables and figures, each one command",
    "models": "fetch the 2D detector's model; list weights; write them as ONNX, as a web page, for hubs",
    "demo": "labels alone against full 3D supervision, on synthetic motion, in minutes",
}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "usage: nearfar COMMAND ...\n\n"
        "3D pose from one kind of question: which of these two joints is nearer to the camera?\n\n"
        f"commands:\n{rows}\n\n"
        "nearfar COMMAND --help tells more; nearfar --version tells the version."
    )


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0; 1 where some of many inputs failed; 2 for bad input or usage (one line on stderr); 130 when
        interrupted.
    """
    arguments = sys.argv[1:] if argv is None else argv
    command = arguments[0] if arguments else "--help"
    if command in {"-h", "--help"}:
        print(_usage())
        return 0
    if command == "--version":
        from nearfar import __version__

        print(f"nearfar {__version__}")
        return 0
    if command not in COMMANDS:
        print(f"nearfar: error: no command {command!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):  # a file name may hold bytes that are not UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        import_module(f"nearfar.cli.{command.replace('-', '_')}").main(arguments[1:])
        sys.stdout.flush()
    except InputError as error:
        print(f"nearfar: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nearfar: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return 141
    except OSError as error:
        print(f"nearfar: error: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # tyro's own --help and usage errors
        return stop.code if isinstance(stop.code, int) else 2
    return 0
