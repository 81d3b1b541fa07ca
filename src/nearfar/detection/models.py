"""The detector's model file: from a published package into the user's cache.

Current mediapipe wheels hold no weights. The 0.10.14 wheel (Apache-2.0) holds the two networks that its pose solution
used; with TFLite metadata and zipped together they are the ``.task`` bundle that today's PoseLandmarker reads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.errors import InputError
from nearfar.files import replacing

__all__ = ["cache_folder", "fetch_model", "model_path"]


@dataclass(frozen=True)
class Member:
    """One network of the bundle.

    Attributes:
        name: its name in the bundle.
        source: its path in the wheel.
        digest: SHA-256 of it in the wheel.
        mean: subtracted from 0..255 pixel values ...
        std: ... which are then divided by this.
        outputs: names of the output tensors, in order.
    """

    name: str
    source: str
    digest: str
    mean: float
    std: float
    outputs: tuple[str, ...]


MEMBERS = (
    Member(
        name="pose_detector.tflite",
        source="mediapipe/modules/pose_detection/pose_detection.tflite",
        digest="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        mean=127.5,
        std=127.5,
        outputs=("boxes", "scores"),
    ),
    Member(
        name="pose_landmarks_detector.tflite",
        source="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        digest="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        mean=0.0,
        std=255.0,
        outputs=("landmarks", "presence", "segmentation", "heatmap", "world_landmarks"),
    ),
)
REQUIREMENT = "mediapipe==0.10.14"
# One fixed wheel, whatever the user's Python and system: its data files are wanted, not its code.
PIP_OPTIONS = (
    "--no-deps", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311",
    "--platform=manylinux_2_17_x86_64",
)  # fmt: skip
FILES = {"pose": "pose_landmarker_full.task"}
OTHERWISE = (
    "Or bring the file: nearfar models fetch --file X, a pose_landmarker .task or this wheel, downloaded elsewhere"
)


def cache_folder() -> Path:
    """The folder of fetched models: ``$NEARFAR_CACHE``, or ``nearfar`` in the platform's place for caches."""
    if own := os.environ.get("NEARFAR_CACHE"):
        return Path(own).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "nearfar" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "nearfar"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "nearfar"


def model_path(name: str = "pose") -> Path:
    """Where a model lies in the cache, once fetched.

    Raises:
        InputError: no such model.
    """
    if name not in FILES:
        raise InputError(f"no model {name!r}; known: {', '.join(FILES)}")
    return cache_folder() / FILES[name]


def fetch_model(file: str | Path | None = None) -> Path:
    """Put the pose model into the cache, replacing what is there.

    Args:
        file: a ``.task`` bundle or the mediapipe 0.10.14 wheel, already downloaded; None: the wheel is downloaded
            with this Python's pip, which shows its progress on stderr.

    Returns:
        Where the model now lies.

    Raises:
        InputError: pip or the network fails, the file is not what it should be, or the cache cannot be written.
    """
    if file is not None and Path(file).suffix.lower() == ".task":
        bundle = _read_bundle(Path(file))
    elif file is not None:
        bundle = _bundle_of_wheel(Path(file))
    else:
        try:
            with tempfile.TemporaryDirectory(prefix="nearfar-") as folder:
                bundle = _bundle_of_wheel(_download(Path(folder)))
        except OSError as error:
            raise InputError(f"cannot download to a temporary folder ({error.strerror or error})") from None
    path = model_path("pose")
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in bundle.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def _download(folder: Path) -> Path:
    """The wheel, downloaded into a folder."""
    print(f"Fetching the pose model (once, 36 MB, in {REQUIREMENT}) ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += [*PIP_OPTIONS, "--dest", str(folder), REQUIREMENT]
    done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        reasons = [line for line in said if line.startswith("ERROR")] or said or ["it saved no wheel"]
        raise InputError(f"pip could not download {REQUIREMENT} ({reasons[-1].strip()}). {OTHERWISE}")
    return wheels[0]


def _bundle_of_wheel(path: Path) -> dict[str, bytes]:
    """The bundle's members, made of the networks in the wheel."""
    bundle = {}
    for member, content in zip(MEMBERS, _read_members(path, [m.source for m in MEMBERS]), strict=True):
        if (digest := sha256(content).hexdigest()) != member.digest:
            raise InputError(f"{path}: {member.source} has SHA-256 {digest}, expected {member.digest}: not used")
        bundle[member.name] = _with_metadata(content, member)
    return bundle


def _read_bundle(path: Path) -> dict[str, bytes]:
    names = [member.name for member in MEMBERS]
    contents = _read_members(path, names)
    for name, content in zip(names, contents, strict=True):
        if content[4:8] != b"TFL3":
            raise InputError(f"{path}: {name} is not a TFLite model")
    return dict(zip(names, contents, strict=True))


def _read_members(path: Path, names: list[str]) -> list[bytes]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            if missing := sorted(set(names) - set(archive.namelist())):
                raise InputError(f"{path}: not a pose model: it has no {', '.join(missing)}")
            return [archive.read(name) for name in names]
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InputError(f"{path}: neither a .task bundle nor a wheel, or a damaged one ({error})") from None


def _with_metadata(model: bytes, member: Member) -> bytes:
    """A TFLite model with the metadata that MediaPipe's tasks want: input colours and normalisation, output names."""
    try:
        import flatbuffers
        from mediapipe.tasks.metadata import schema_py_generated as tflite
    except ImportError:
        raise InputError('making the model file needs mediapipe: pip install "nearfar[mediapipe]"') from None
    name = b"TFLITE_METADATA"
    tree = tflite.ModelT.InitFromObj(tflite.Model.GetRootAs(model, 0))
    buffer = tflite.BufferT()
    buffer.data = np.frombuffer(_metadata(member), np.uint8)
    tree.buffers.append(buffer)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = name, len(tree.buffers) - 1
    tree.metadata = [old for old in tree.metadata or [] if old.name != name] + [entry]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _metadata(member: Member) -> bytes:
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    normalization = schema.NormalizationOptionsT()
    normalization.mean, normalization.std = [member.mean], [member.std]
    step = schema.ProcessUnitT()
    step.optionsType, step.options = schema.ProcessUnitOptions.NormalizationOptions, normalization
    content = schema.ContentT()
    content.contentPropertiesType = schema.ContentProperties.ImageProperties
    content.contentProperties = schema.ImagePropertiesT()
    content.contentProperties.colorSpace = schema.ColorSpaceType.RGB
    image = _named(schema.TensorMetadataT(), "image")
    image.content, image.processUnits = content, [step]
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [image]
    graph.outputTensorMetadata = [_named(schema.TensorMetadataT(), output) for output in member.outputs]
    model = schema.ModelMetadataT()
    model.subgraphMetadata = [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"M001")
    return bytes(builder.Output())


def _named(tensor: Any, name: str) -> Any:
    tensor.name = name
    return tensor
