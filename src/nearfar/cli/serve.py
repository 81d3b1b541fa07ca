"""``nearfar serve``."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from nearfar.cli.listening import address, certificate_options, free_port, host_names
from nearfar.errors import InputError
from nearfar.serving.limits import Limits


@dataclass(frozen=True)
class Serve:
    """Serve an HTTP API, and a page, that lift images, videos and keypoints to 3D, until Ctrl-C.

    Prints a link for one use that opens the page. Programs show a token: see `nearfar tokens`.
    """

    folder: Annotated[Path, tyro.conf.Positional] = Path("service")
    """Folder of its queue, results and tokens; made where it is not there."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's (then say --public-url)."""
    port: int = 8080
    """Port; 0 for any that is free."""
    public_url: str | None = None
    """Where people reach the server: https://poses.example.org."""
    trusted_proxy: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Address or network of a reverse proxy whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    certificate: Path | None = None
    """TLS certificate, where no proxy does it."""
    key: Path | None = None
    """Its private key."""
    workers: int = 1
    """Processes that find people and lift."""
    detector: str = "mediapipe"
    """2D detector: mediapipe or rtmlib."""
    weights: str | None = None
    """Weights by name, or a .safetensors file; without it default-video for clips, and default for images."""
    access_log: bool = False
    """Log every request."""
    limits: tyro.conf.OmitArgPrefixes[Limits] = field(default_factory=Limits)
    """What is taken on, and how long it is kept."""

    def run(self) -> None:
        """Load the models, print where, serve."""
        try:
            from nearfar.serving.app import create_app, default_protection, run
            from nearfar.serving.service import Service
        except ImportError as error:
            raise InputError(f'serving needs {error.name}: pip install "nearfar[serving]"') from None
        from nearfar.serving.access import new_code
        from nearfar.serving.store import Store
        from nearfar.serving.supervisor import Supervisor

        if self.workers < 1:
            raise InputError(f"--workers: expected 1 or more, got {self.workers}")
        self.limits.check()
        options: dict[str, Any] = certificate_options(self.certificate, self.key)
        protection = default_protection(host_names(self.host, self.public_url), self.trusted_proxy)
        port = free_port(self.host, self.port)
        logging.basicConfig(level=logging.WARNING)
        with Store(self.folder) as store:
            store.hold()
            supervisor = Supervisor(
                store, self.limits, workers=self.workers, detector=self.detector, weights=self.weights
            )
            service = Service(store, self.limits, supervisor)
            supervisor.start()
            url = address(self.host, port, self.public_url, encrypted=bool(options))
            print(f"nearfar: {url}")
            print(f"a link to the page, for one use within ten minutes:\n{url}/#code={new_code(store, time.time())}")
            print("Ctrl-C stops the server", flush=True)
            options |= {"access_log": self.access_log, "log_level": "info" if self.access_log else "warning"}
            run(create_app(service, protection=protection), service, self.host, port, **options)
            print("stopped; jobs that wait are kept")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Serve, prog="nearfar serve", args=argv).run()
