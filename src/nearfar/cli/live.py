"""``nearfar live``."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from nearfar.cli.listening import address, certificate_options, free_port, host_names
from nearfar.errors import InputError


@dataclass(frozen=True)
class Live:
    """Lift a stream or a camera while it runs, and show its newest frame and people in 3D on a page, until Ctrl-C.

    Prints a link for one browser that opens the page; and the next one, when it was used.
    """

    source: Annotated[str, tyro.conf.Positional]
    """rtsp://..., a camera (its number, or /dev/video0), or a video file, played in real time."""
    out: Path | None = None
    """Write the poses here in the end: .npz."""
    people: int = 1
    """How many people to follow, at most."""
    weights: str = "default-video"
    """Weights by name, or a .safetensors file."""
    detector: str = "mediapipe"
    """2D detector: mediapipe or rtmlib."""
    focal: str | None = None
    """The focal length: 1400 (pixels), or 28mm (the 35 mm equivalent)."""
    fov: float | None = None
    """Or the field of view along the longer side of the image, in degrees."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's (then say --public-url)."""
    port: int = 8081
    """Port; 0 for any that is free."""
    public_url: str | None = None
    """Where browsers reach the page: https://live.example.org."""
    certificate: Path | None = None
    """TLS certificate."""
    key: Path | None = None
    """Its private key."""

    def run(self) -> None:
        """Open the source, print where, lift until it ends or Ctrl-C."""
        try:
            from nearfar.live.app import Door, create_app
            from nearfar.web.server import Server, server_config
        except ImportError as error:
            raise InputError(f'the live view needs {error.name}: pip install "nearfar[serving]"') from None
        from nearfar.detection import get_detector
        from nearfar.lifting import load
        from nearfar.live.following import Follower
        from nearfar.live.session import Session, joined
        from nearfar.live.stream import Stream
        from nearfar.viewing import viewer_template

        if self.out is not None and (self.out.suffix != ".npz" or not self.out.resolve().parent.is_dir()):
            raise InputError(f"--out {self.out}: expected a .npz file in a folder that is there")
        options: dict[str, Any] = certificate_options(self.certificate, self.key)
        hosts, port = host_names(self.host, self.public_url), free_port(self.host, self.port)
        url = address(self.host, port, self.public_url, encrypted=bool(options))
        lifter = load(self.weights)
        with get_detector(self.detector) as detector:
            follower = Follower(detector, lifter, self.people, focal=self.focal, field_of_view=self.fov)
            with Stream(self.source, tell=lambda text: print(f"nearfar: {text}", file=sys.stderr)) as stream:
                session = Session(stream, follower, keep=self.out is not None)
                door = Door(lambda code: print(f"a link for one browser:\n{url}/#code={code}", flush=True))
                template = viewer_template(lifter.skeleton, self.weights)
                app = create_app(session.shown, door, template, stream.name, hosts)
                print("Ctrl-C ends it", flush=True)
                server = Server(
                    server_config(app, self.host, port, log_level="warning", **options), stream.newest.close
                )
                failed = _lift_beside(session, server)
            print(f"{session.lifted} frames lifted, {stream.newest.count - session.lifted} late ones dropped")
        if self.out is not None and (session.poses or failed is None):
            joined(session.poses, stream.name).save(self.out)
            print(self.out)
        if failed is not None:
            raise failed


def _lift_beside(session: Any, server: Any) -> BaseException | None:
    """Lift in a thread while the page is served; either's end is the other's. What lifting failed of, if it did."""
    failed: list[BaseException] = []

    def lift() -> None:
        try:
            session.run()
        except BaseException as error:
            failed.append(error)
        server.should_exit = True

    thread = threading.Thread(target=lift, name="lifting")
    thread.start()
    try:
        server.run_until_told()
    finally:
        session.stream.newest.close()
        thread.join()
    return failed[0] if failed else None


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Live, prog="nearfar live", args=argv).run()
