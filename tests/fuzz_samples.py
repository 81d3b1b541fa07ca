"""One small valid file, or folder of files, of every format that nearfar reads, and its reader."""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfar import PoseSet, RelativeLabels, get_skeleton, synthetic_poses, tables
from nearfar.answer_noise import AnswerNoise
from nearfar.datasets import load_keypoints, load_labels, load_poses
from nearfar.datasets.joint_map import get_joint_map
from nearfar.datasets.source import Source
from nearfar.labels import labels_from_joints, random_pairs
from nearfar.safe_pickle import load_pickle, open_pickled_npz


@dataclass(frozen=True)
class Sample:
    """A format.

    Attributes:
        make: writes a valid file or files into a folder.
        read: reads them from the folder.
        fragile: patterns of the files worth damaging.
    """

    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    fragile: tuple[str, ...] = ("*",)

    def files(self, folder: Path) -> list[Path]:
        return sorted({path for pattern in self.fragile for path in folder.rglob(pattern) if path.is_file()})


def touch(*poses: PoseSet | RelativeLabels) -> None:
    """Use every number, for arrays mapped into memory are not read before."""
    for one in poses:
        for value in vars(one).values():
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
                value.sum()


def one_file(name: str, make: Callable[[Path], Any], read: Callable[[Path], Any]) -> Sample:
    def touched(folder: Path) -> None:
        value = read(folder / name)
        if isinstance(value, PoseSet | RelativeLabels):
            touch(value)

    return Sample(lambda folder: make(folder / name), touched)


def some_poses() -> PoseSet:
    return synthetic_poses(4, seed=0)


def some_labels() -> RelativeLabels:
    poses = some_poses()
    pairs = random_pairs(poses.skeleton, len(poses), 2, np.random.default_rng(0))
    labels = labels_from_joints(poses, pairs)
    names, shares = np.array(["ann", "bob"] * 4), np.linspace(0, 1, 8)
    return RelativeLabels(labels.skeleton, labels.pose, labels.pair, labels.relation, names, shares)


def from_tests(module: str, write: Callable[[Any, Path], Any]) -> Callable[[Path], Any]:
    """Written by what another file of tests writes with, imported when it is called."""
    return lambda path: write(importlib.import_module(f"test_datasets_{module}"), path)


def as_json(of: Callable[[Any], Any]) -> Callable[[Any, Path], Any]:
    return lambda tests, path: path.write_text(json.dumps(of(tests)))


def keypoint_json(of: Callable[[Any], Any]) -> Callable[[Path], Any]:
    return from_tests("keypoint_files", as_json(of))


def openpose_folder(folder: Path) -> None:
    tests = importlib.import_module("test_datasets_keypoint_files")
    for i in range(2):
        frame = tests.openpose_frame(tests.person(25, seed=i), tests.person(25, seed=i, x=300))
        (folder / f"clip_{i:012d}_keypoints.json").write_text(json.dumps(frame))


def numbers_csv(path: Path) -> None:
    joints = get_skeleton("coco17").joints
    header = ",".join(["frame", *(f"{joint}_{part}" for joint in joints for part in "xy")])
    rows = np.random.default_rng(0).uniform(5, 400, (2, 34)).round(1)
    path.write_text("\n".join([header, *(f"{i}," + ",".join(map(str, row)) for i, row in enumerate(rows))]) + "\n")


def a_skeleton(path: Path) -> None:
    from importlib import resources

    path.write_bytes((resources.files("nearfar") / "skeletons" / "lsp14.toml").read_bytes())


def a_joint_map(path: Path) -> None:
    from importlib import resources

    path.write_bytes((resources.files("nearfar") / "datasets" / "joint_maps" / "cgspeed.toml").read_bytes())


def pickled(path: Path) -> None:
    value = {"a": [np.arange(6.0).reshape(2, 3), "text", (1, None)], b"b": {"c": np.float32(2), "d": {1, 2}}}
    path.write_bytes(pickle.dumps(value, protocol=2))


def pickled_npz(path: Path) -> None:
    np.savez(path, a=np.array({"S1": {"Walking": np.ones((2, 3), np.float32)}}, dtype=object), b=np.arange(3))


COCO17 = {"skeleton": "coco17"}

SAMPLES: dict[str, Sample] = {
    "pose_set": one_file("a.npz", lambda path: some_poses().save(path), load_poses),
    "poses_csv": one_file("a.csv", lambda path: tables.write_poses_csv(some_poses(), path), lambda path: load_poses(path, skeleton="h36m17")),
    "poses_json": one_file("a.json", lambda path: tables.write_poses_json(some_poses(), path), load_poses),
    "labels": one_file("a.parquet", lambda path: some_labels().save(path), load_labels),
    "labels_csv": one_file("a.csv", lambda path: tables.write_labels_csv(some_labels(), path), lambda path: load_labels(path, skeleton="h36m17")),
    "labels_jsonl": one_file("a.jsonl", lambda path: tables.write_labels_jsonl(some_labels(), path), load_labels),
    "labels_crowdkit": one_file("a.csv", lambda path: tables.write_crowdkit_csv(some_labels(), path), lambda path: load_labels(path, skeleton="h36m17")),
    "labels_json": one_file("a.json", lambda path: tables.write_labels_json(some_labels(), path), load_labels),
    "mocap": one_file("a.npz", from_tests("mocap", lambda tests, path: np.savez(path, **tests.mocap_arrays())), load_poses),
    "benchmark": one_file("a.npz", from_tests("mocap", lambda tests, path: np.savez(path, **tests.benchmark_arrays())), load_poses),
    "benchmark_labels": one_file("a.npz", from_tests("mocap", lambda tests, path: np.savez(path, **tests.benchmark_arrays())), load_labels),
    "coco_keypoints": one_file("a.json", keypoint_json(lambda tests: tests.coco_file()), load_poses),
    "coco_results": one_file("a.json", keypoint_json(lambda tests: [{"image_id": 1, "category_id": 1, "keypoints": tests.person(), "score": 1.0}]), load_keypoints),
    "openpose": Sample(openpose_folder, lambda folder: touch(load_poses(folder))),
    "alphapose": one_file("a.json", keypoint_json(lambda tests: tests.alphapose([tests.person(), tests.person(seed=1)], ["a.jpg", "b.jpg"])), load_poses),
    "mediapipe": one_file("a.json", keypoint_json(lambda tests: [tests.landmarks(0), tests.landmarks(1)]), lambda path: load_poses(path, image_size=(640, 480))),
    "npy": one_file("a.npy", lambda path: np.save(path, np.random.default_rng(0).uniform(5, 400, (3, 17, 2))), lambda path: load_poses(path, **COCO17)),
    "keypoints_npz": one_file("a.npz", lambda path: np.savez(path, keypoints=np.random.default_rng(0).uniform(5, 400, (3, 17, 2)), scores=np.ones((3, 17))), lambda path: load_poses(path, **COCO17)),
    "keypoints_csv": one_file("a.csv", numbers_csv, lambda path: load_poses(path, **COCO17)),
    "skeleton": one_file("a.toml", a_skeleton, get_skeleton),
    "joint_map": one_file("a.toml", a_joint_map, get_joint_map),
    "answer_noise": one_file("a.json", lambda path: AnswerNoise("logit", 50.0, 0.1).save(path), AnswerNoise.load),
    "pickle": one_file("a.pkl", pickled, load_pickle),
    "pickled_npz": one_file("a.npz", pickled_npz, open_pickled_npz),
}  # fmt: skip


def of_source(make: Callable[[Path], Any], module: str, *fragile: str, name: str = "SOURCE") -> Sample:
    """Everything that ``nearfar data`` does with a folder."""

    def read(folder: Path) -> None:
        source: Source = getattr(importlib.import_module(f"nearfar.datasets.{module}"), name)
        checked_problems(source, folder)
        for part in source.prepare(folder, None):
            touch(part.poses)
            if part.labels is not None:
                part.labels.check_poses(part.poses)

    return Sample(make, read, fragile or ("*",))


def checked_problems(source: Source, folder: Path) -> None:
    problems = source.problems(folder)
    if not isinstance(problems, list) or not all(isinstance(line, str) and line for line in problems):
        raise TypeError(f"problems: {problems!r}")


def make_h36m(form: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        samples = importlib.import_module("h36m_samples")
        source = samples.motion((9,), samples.SMALL[:2], frames=2)
        samples.WRITERS[form](folder, source)
        if form == "npz":
            samples.write_detections_npz(folder / "data_2d_h36m_sh_ft_h36m.npz", samples.detections(source))
        elif form == "h5":
            samples.write_detections_h5(folder, samples.detections(source))

    return make


def read_h36m(folder: Path) -> None:
    from nearfar.datasets.h36m import SOURCE, load_h36m

    checked_problems(SOURCE, folder)
    touch(load_h36m(folder, split="test", subjects=[9]))
    if not (folder / "metadata.xml").exists():
        touch(load_h36m(folder, split="test", subjects=[9], keypoints="sh", skeleton="h36m16"))


def make_mpi_inf_3dhp(folder: Path) -> None:
    tests = importlib.import_module("test_datasets_mpi_inf_3dhp")
    tests.write_train(folder / "S1" / "Seq1", 2)
    tests.write_test(folder / "mpi_inf_3dhp_test_set" / "TS1", 3)


def read_mpi_inf_3dhp(folder: Path) -> None:
    from nearfar.datasets.mpi_inf_3dhp import SOURCE, load_test_sequence, load_train_sequence

    checked_problems(SOURCE, folder)
    touch(load_train_sequence(folder / "S1" / "Seq1"))
    touch(load_test_sequence(folder / "mpi_inf_3dhp_test_set" / "TS1"))


def make_threedpw(folder: Path) -> None:
    tests = importlib.import_module("test_datasets_threedpw")
    for split in ("train", "validation", "test"):
        tests.write(folder / "sequenceFiles" / split / "courtyard_00.pkl", tests.sequence(2))


def make_mpii(folder: Path) -> None:
    tests = importlib.import_module("test_datasets_mpii")
    module = importlib.import_module("nearfar.datasets.mpii")
    tests.write_mat(folder / module._MAT)
    for name in module._JSON.values():
        tests.write_json(folder / name, tests.records())


def make_coco(folder: Path) -> None:
    tests = importlib.import_module("test_datasets_coco")
    for name in importlib.import_module("nearfar.datasets.coco")._FILES.values():
        tests.write(folder / name, tests.ground_truth())


def make_lsp(folder: Path) -> None:
    tests = importlib.import_module("test_datasets_lsp")
    tests.save(folder, tests.lsp_joints())


def make_cmu(folder: Path) -> None:
    motions = importlib.import_module("motion_files")
    for subject in ("01", "03", "07"):
        motion = motions.AcclaimMotion(frames=6)
        motion.write_asf(folder / f"{subject}.asf")
        motion.write_amc(folder / f"{subject}_01.amc")


def make_bvh(path: Path) -> None:
    motions = importlib.import_module("motion_files")
    motions.AcclaimMotion(frames=3).write_bvh(path, names=motions.CGSPEED_NAMES, t_pose=True, lose=("thorax",))


def make_c3d(path: Path) -> None:
    tests = importlib.import_module("test_datasets_c3d")
    tests.write_c3d(path, tests.points(), tests.LABELS)


def read_c3d(path: Path) -> PoseSet:
    tests = importlib.import_module("test_datasets_c3d")
    return importlib.import_module("nearfar.datasets.c3d").load_c3d(path, tests.three_markers(unit_mm=1.0, up="z"))


def make_relative_depth_lsp(folder: Path) -> None:
    samples = importlib.import_module("lsp_samples")
    samples.write_merged(folder / "relative_depth_lsp_v1.json")
    samples.write_study(folder / "relative_depth_lsp_mturk.pkl", samples.study(), 2)
    samples.write_study(folder / "relative_depth_human36m_user_study.pkl", samples.study("human", images=(7, 12)))
    (folder / "relative_depth_human36m_gt.json").write_text(json.dumps(samples.study_images()))


def make_cdf(path: Path) -> None:
    tests = importlib.import_module("test_datasets_cdf")
    tests.write_cdf(path, tests.pose())


def make_hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["poses"] = np.arange(24.0).reshape(2, 12)
        file.create_dataset("packed/numbers", data=np.arange(60).reshape(20, 3), chunks=(5, 3), compression="gzip")


def make_mat(path: Path) -> None:
    io, tests = importlib.import_module("scipy.io"), importlib.import_module("test_datasets_matlab")
    io.savemat(path, {name: value for name, value in tests.variables().items() if name != "unwanted"})


def call(module: str, name: str, *arguments: Any) -> Callable[[Path], Any]:
    return lambda path: getattr(importlib.import_module(module), name)(path, *arguments)


def make_jpeg(path: Path) -> None:
    path.write_bytes(importlib.import_module("test_datasets_lsp").jpeg(100, 80))


def read_jpeg(path: Path) -> Any:
    return importlib.import_module("nearfar.datasets.image_size").read_image_size(path)


SAMPLES |= {
    "jpeg": one_file("a.jpg", make_jpeg, read_jpeg),
    "cdf": one_file("a.cdf", make_cdf, call("nearfar.datasets.cdf", "read_cdf", "Pose")),
    "hdf5": one_file("a.h5", make_hdf5, call("nearfar.datasets.hdf5", "read_hdf5", ["poses", "packed/numbers"])),
    "mat": one_file(
        "a.mat", make_mat, call("nearfar.datasets.matlab", "load_mat", ["numbers", "cell", "people", "text"])
    ),
    "relative_depth_lsp": of_source(make_relative_depth_lsp, "relative_depth_lsp"),
    "h36m_cdf": Sample(make_h36m("cdf"), read_h36m, ("*.cdf", "*.xml")),
    "h36m_h5": Sample(make_h36m("h5"), read_h36m),
    "h36m_npz": Sample(make_h36m("npz"), read_h36m),
    "mpi_inf_3dhp": Sample(make_mpi_inf_3dhp, read_mpi_inf_3dhp),
    "threedpw": of_source(make_threedpw, "threedpw"),
    "mpii": of_source(make_mpii, "mpii"),
    "coco": of_source(make_coco, "coco"),
    "lsp": of_source(make_lsp, "lsp"),
    "cmu": of_source(make_cmu, "cmu"),
    "bvh": one_file(
        "a.bvh", make_bvh, lambda path: importlib.import_module("nearfar.datasets.bvh").load_bvh(path, "cgspeed")
    ),
    "c3d": one_file("a.c3d", make_c3d, read_c3d),
}
