"""MPI-INF-3DHP (Mehta et al., 3DV 2017): training and test annotations, cameras, and the published evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nearfar.datasets.checks import complaints
from nearfar.datasets.joining import join_poses
from nearfar.datasets.mpi_inf_3dhp.calibration import TEST_CAMERAS, Calibration, read_calibration
from nearfar.datasets.mpi_inf_3dhp.protocol import mpi_inf_3dhp_markdown, mpi_inf_3dhp_report
from nearfar.datasets.mpi_inf_3dhp.reading import (
    CITATION,
    LICENCE,
    SEQUENCES,
    VNECT_CAMERAS,
    load_test_sequence,
    load_train_sequence,
)
from nearfar.datasets.progress import progress
from nearfar.datasets.source import Prepared, Source
from nearfar.errors import InputError

__all__ = [
    "SOURCE",
    "TEST_CAMERAS",
    "VNECT_CAMERAS",
    "Calibration",
    "load_test_sequence",
    "load_train_sequence",
    "mpi_inf_3dhp_markdown",
    "mpi_inf_3dhp_report",
    "read_calibration",
]

_TEST_SET = "mpi_inf_3dhp_test_set"


def _train_folders(folder: Path) -> list[Path]:
    """Folders of all training sequences; none where the training set is not there."""
    folders = [folder / name for name in SEQUENCES]
    return folders if any(f.is_dir() for f in folders) else []


def _test_folders(folder: Path) -> list[Path]:
    """Folders of all test sequences; none where the test set is not there."""
    for root in (folder / _TEST_SET, folder / _TEST_SET / _TEST_SET, folder):
        folders = [root / name for name in TEST_CAMERAS]
        if any(f.is_dir() for f in folders):
            return folders
    return []


def _problems(folder: Path) -> list[str]:
    train, test = _train_folders(folder), _test_folders(folder)
    if not train and not test:
        return [f"{folder}: neither the training set (S1/Seq1 to S8/Seq2) nor the test set ({_TEST_SET}/TS1 to TS6)"]
    found = complaints(train, load_train_sequence, "check the training set")
    return found + complaints(test, lambda f: [load_test_sequence(f, universal=u) for u in (False, True)], "check TS")


def _prepare(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    train, test = _train_folders(folder), _test_folders(folder)
    if not train and not test:
        raise InputError(_problems(folder)[0])
    target = skeleton or "h36m17"
    if train:
        bar = progress(train, "read the training set", "sequence")
        parts = [load_train_sequence(sequence).remap(target) for sequence in bar]
        yield Prepared("train", join_poses(parts, parts[0].provenance))
    for name, universal in (("test", False), ("test_universal", True)):
        if test:
            parts = [load_test_sequence(sequence, universal=universal).remap(target) for sequence in test]
            yield Prepared(name, join_poses(parts, parts[0].provenance))


SOURCE = Source(
    name="mpi_inf_3dhp",
    title="MPI-INF-3DHP",
    homepage="https://vcai.mpi-inf.mpg.de/3dhp-dataset/",
    licence=f"{LICENCE} Cite: {CITATION}",
    steps=(
        "Download mpi_inf_3dhp.zip (scripts only) from https://vcai.mpi-inf.mpg.de/3dhp-dataset/ and unpack it.\n"
        "Read licence.txt; if you agree, set ready_to_download=1 in conf.ig, and the folder there if you like.\n"
        "Run get_dataset.sh for the training set and get_testset.sh for the test set (no images are needed).\n"
        "Put S1 … S8 and mpi_inf_3dhp_test_set into one folder; either of the two alone will do."
    ),
    layout=(f"S[1-8]/Seq[12]/annot.mat\nS[1-8]/Seq[12]/camera.calibration\n{_TEST_SET}/TS[1-6]/annot_data.mat"),
    problems=_problems,
    prepare=_prepare,
)
