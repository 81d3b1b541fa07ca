"""Feed mutated files to one reader, guided by the branches it takes; see fuzz/README.md."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

with atheris.instrument_imports(include=["nearfar"]):
    from fuzz_samples import SAMPLES

    import nearfar.datasets.catalogue  # noqa: F401 - imported inside functions otherwise, out of sight
    from nearfar.errors import InputError


def main() -> None:
    """Prepare a folder with the sample's files, and mutate one of them."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "--list"):
        print("usage: fuzz_reader.py SAMPLE[:FILE] [CORPUS] [libFuzzer options]\nsamples:", *SAMPLES)
        return
    name, _, number = sys.argv.pop(1).partition(":")
    sample = SAMPLES[name]
    folder = Path(tempfile.mkdtemp(prefix="nearfar-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sample.make(folder)
    target = sample.files(folder)[int(number or 0)]
    for argument in sys.argv[1:2]:
        if not argument.startswith("-"):
            Path(argument).mkdir(parents=True, exist_ok=True)
            shutil.copy(target, Path(argument) / f"valid-{target.name}")

    def one(data: bytes) -> None:
        target.write_bytes(data)
        with suppress(InputError):
            sample.read(folder)

    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
