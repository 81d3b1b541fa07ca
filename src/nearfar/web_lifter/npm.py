"""The libraries of others that the page runs on: fetched from npm when the page is built, at fixed versions."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nearfar.detection.models import cache_folder
from nearfar.errors import InputError
from nearfar.files import replacing

__all__ = ["MEDIAPIPE", "ONNXRUNTIME", "Package", "fetch_package"]


@dataclass(frozen=True)
class Package:
    """A package on npm.

    Attributes:
        name: its name there.
        version: the version that the page was made for and tested with.
        integrity: base64 of the SHA-512 of its archive, as npm's lock files have it.
        licence: SPDX name.
        homepage: where it comes from.
        files: path in the archive -> path in the page's folder. All scripts are called .js, which every server knows.
    """

    name: str
    version: str
    integrity: str
    licence: str
    homepage: str
    files: dict[str, str]

    @property
    def archive(self) -> str:
        """Name of the archive as ``npm pack`` writes it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


ONNXRUNTIME = Package(
    name="onnxruntime-web",
    version="1.30.0",
    integrity="q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    licence="MIT",
    homepage="https://onnxruntime.ai",
    files={
        "package/dist/ort.wasm.min.mjs": "vendor/onnxruntime/ort.js",
        "package/dist/ort-wasm-simd-threaded.mjs": "vendor/onnxruntime/ort-wasm.js",
        "package/dist/ort-wasm-simd-threaded.wasm": "vendor/onnxruntime/ort-wasm.wasm",
    },
)
MEDIAPIPE = Package(
    name="@mediapipe/tasks-vision",
    version="1.1.0",
    integrity="ZJqh0wMKOINorfSffvDAxzyO1//c+FiG3IkzOdNDnLqvBB3DbMfj0bB/tys2SNf9S914sgoIbIpF4HTOi336cg==",
    licence="Apache-2.0",
    homepage="https://ai.google.dev/edge/mediapipe",
    files={
        "package/vision_bundle.mjs": "vendor/mediapipe/vision.js",
        "package/wasm/vision_wasm_internal.js": "vendor/mediapipe/vision-wasm.js",
        "package/wasm/vision_wasm_internal.wasm": "vendor/mediapipe/vision-wasm.wasm",
    },
)


def fetch_package(package: Package, out: Path) -> None:
    """Put the files of a package into the page's folder.

    The archive comes from the user's cache, or else by ``npm pack``. It is used only if its SHA-512 is right.

    Args:
        package: which.
        out: the page's folder.

    Raises:
        InputError: npm is not there or fails, the archive is not what it should be, or a file cannot be written.
    """
    kept = cache_folder() / "npm" / package.archive
    if not kept.is_file():
        _download(package, kept)
    _check(package, kept)
    try:
        with tarfile.open(kept) as archive:
            for source, place in package.files.items():
                member = archive.extractfile(source)
                if member is None:
                    raise InputError(f"{kept}: {source} is not a file")
                (out / place).parent.mkdir(parents=True, exist_ok=True)
                with (out / place).open("wb") as file:
                    shutil.copyfileobj(member, file)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise InputError(f"{kept}: a damaged archive ({error})") from None
    except OSError as error:
        raise InputError(f"{out}: cannot write ({error.strerror or error})") from None


def _download(package: Package, target: Path) -> None:
    wanted = f"{package.name}@{package.version}"
    otherwise = f"or put the package's archive, downloaded elsewhere, at {target}"
    if (npm := shutil.which("npm")) is None:
        raise InputError(
            f"the page needs {wanted}, which npm fetches, and npm is not installed: install it, {otherwise}"
        )
    with tempfile.TemporaryDirectory(prefix="nearfar-") as folder:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not (Path(folder) / package.archive).is_file():
            said = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.strip()]
            raise InputError(
                f"npm could not fetch {wanted} ({said[0] if said else 'it wrote no archive'}); {otherwise}"
            )
        _check(package, Path(folder) / package.archive)
        with replacing(target) as temporary:
            shutil.copyfile(Path(folder) / package.archive, temporary)


def _check(package: Package, archive: Path) -> None:
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode("ascii")
    if digest != package.integrity:
        wanted = f"{package.name} {package.version}"
        raise InputError(f"{archive}: not {wanted}: its SHA-512 is {digest}, expected {package.integrity}; not used")
