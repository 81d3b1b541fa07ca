"""Human3.6M: its three published forms, written here from one random source, agree; what is wrong is named."""

from __future__ import annotations

import dataclasses
import re
import shutil

import h5py
import numpy as np
import pytest
from h36m_samples import (
    ALL,
    SMALL,
    WRITERS,
    detections,
    motion,
    other_cameras,
    write_code,
    write_detections_h5,
    write_detections_npz,
    write_h5,
    write_npz,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.camera import camera_to_world, project_distorted
from nearfar.datasets.h36m import ACTIONS, CAMERAS, SOURCE, load_h36m
from nearfar.datasets.h36m.names import clip_name
from nearfar.datasets.h36m.positions import list_clips
from nearfar.errors import InputError
from nearfar.evaluation import evaluate_predictions
from nearfar.geometry import limb_lengths
from nearfar.skeleton import get_skeleton

INDICES = {  # of the 32 joints, from PAPER section 1
    "h36m17": [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27],
    "h36m16": [3, 2, 1, 6, 7, 8, 0, 12, 13, 15, 27, 26, 25, 17, 18, 19],
    "lsp14": [3, 2, 1, 6, 7, 8, 27, 26, 25, 17, 18, 19, 13, 15],
    "human19": [15, 14, 13, 25, 26, 27, 17, 18, 19, 12, 0, 1, 2, 3, 5, 6, 7, 8, 10],
}
IN_THE_END = {"cdf": "metadata.xml", "h5": "cameras.h5", "npz": "h36m_dataset.py"}


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """A folder for each form, all with the same motion and, each in its own way, the same cameras."""
    folder, source = tmp_path_factory.mktemp("h36m"), motion()
    for form, write in WRITERS.items():
        write(folder / form, source)
    return folder, source


def same_poses(first, second, mm=1e-2, pixels=1e-2):
    for name in ("sequence", "subject", "action"):
        assert getattr(first, name).values().tolist() == getattr(second, name).values().tolist()
    np.testing.assert_array_equal(first.frame_index, second.frame_index)
    np.testing.assert_array_equal(first.image_size, second.image_size)
    np.testing.assert_allclose(first.intrinsics, second.intrinsics, rtol=1e-6)
    np.testing.assert_allclose(first.joints, second.joints, rtol=0, atol=mm)
    np.testing.assert_allclose(first.keypoints, second.keypoints, rtol=0, atol=pixels)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_three_forms_agree(forms, split):
    folder, source = forms
    read = {form: load_h36m(folder / form, split=split) for form in WRITERS}
    for form, poses in read.items():
        same_poses(poses, read["cdf"])
        assert poses.provenance["cameras"] == IN_THE_END[form]
        assert poses.joints.dtype == poses.keypoints.dtype == np.float32
        assert poses.frame == "camera"
    subjects = {"train": [1, 5, 6, 7, 8], "test": [9, 11]}[split]
    assert len(read["npz"]) == 4 * sum(len(v) for (subject, _), v in source.items() if subject in subjects)
    assert list(dict.fromkeys(read["npz"].subject.values().tolist())) == [f"S{s}" for s in subjects]


@pytest.mark.parametrize("seed", range(3))
def test_the_forms_agree_with_any_cameras(tmp_path, seed):
    source, cameras = motion((9, 11), seed=seed), other_cameras(seed)
    for form, write in WRITERS.items():
        write(tmp_path / form, source, cameras)
    read = {form: load_h36m(tmp_path / form, split="test") for form in WRITERS}
    same_poses(read["h5"], read["cdf"])
    same_poses(read["npz"], read["cdf"])
    write_code(tmp_path / "npz" / "h36m_dataset.py", other_cameras(seed + 3))
    off = np.abs(read["npz"].joints - load_h36m(tmp_path / "npz", split="test").joints)
    assert off.max() > 10  # the cameras of the file were used
    shutil.copy(tmp_path / "cdf" / "metadata.xml", tmp_path / "npz")  # which comes first
    same_poses(load_h36m(tmp_path / "npz", split="test"), read["cdf"])


@pytest.mark.parametrize(("form", "name"), [("cdf", "metadata.xml"), ("h5", "cameras.h5"), ("npz", "h36m_dataset.py")])
def test_without_cameras(tmp_path, form, name):
    WRITERS[form](tmp_path, motion((9,)))
    (tmp_path / name).unlink()
    message = re.escape(
        f"{tmp_path}: no cameras: expected metadata.xml (of the authors' code), or cameras.h5 (of 3d-pose-baseline), or "
        "h36m_dataset.py (a copy of VideoPose3D's common/h36m_dataset.py)"
    )
    with pytest.raises(InputError, match=message):
        load_h36m(tmp_path, split="test", subjects=[9])
    problems = SOURCE.problems(tmp_path)
    assert re.fullmatch(message, problems[0])
    assert any("no motion of S11" in problem for problem in problems)


def test_joints_and_pixels_are_those_of_the_definition(forms):
    """World to camera and to pixels once more, after the formulas of PAPER section 6, a joint at a time."""
    folder, source = forms
    poses = load_h36m(folder / "h5", split="test")
    rows = {}
    for row, (name, frame) in enumerate(zip(poses.sequence.values(), poses.frame_index, strict=True)):
        rows[str(name), int(frame)] = row
    for subject, clip, frame, camera in [(9, "Photo 1", 0, "54138969"), (11, "Walking 2", 3, "60457274")]:
        view = other_cameras()[subject, camera]
        row = rows[f"S{subject}/{clip}.{camera}", frame]
        assert poses.action.values()[row] == clip.split(" ")[0]
        for joint, index in enumerate(INDICES["h36m17"]):
            p = view.rotation @ (source[subject, clip][frame, index].astype(float) - view.centre)
            np.testing.assert_allclose(poses.joints[row, joint], p, atol=1e-3)
            x, y = p[:2] / p[2]
            r2, k, t = x * x + y * y, view.radial, view.tangential
            factor = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3 + t[0] * y + t[1] * x
            pixel = np.array([x, y]) * factor + np.array([t[1], t[0]]) * r2
            pixel = pixel * view.intrinsics[:2] + view.intrinsics[2:]
            np.testing.assert_allclose(poses.keypoints[row, joint], pixel, atol=1e-3)
    assert poses.image_size[rows["S9/Photo.54138969", 0]].tolist() == [1000, 1002]
    assert poses.image_size[rows["S9/Photo.55011271", 0]].tolist() == [1000, 1000]
    view = other_cameras()[9, "54138969"]
    opencv = project_distorted(poses.joints[:4], view.intrinsics, view.radial, view.tangential)
    assert 1e-3 < np.abs(opencv - poses.keypoints[:4]).max() < 3  # OpenCV's lens is another


@pytest.mark.parametrize("name", INDICES)
def test_joint_choices(forms, name):
    folder, source = forms
    poses = load_h36m(folder / "npz", split="test", skeleton=name)
    assert poses.skeleton == get_skeleton(name)
    view = poses.select(poses.sequence.values() == "S11/WalkDog.58860488")
    camera = other_cameras()[11, "58860488"]
    world = camera_to_world(view.joints.astype(float), camera.rotation, camera.centre)
    np.testing.assert_allclose(world, source[11, "WalkDog"][:, INDICES[name]], atol=1e-2)
    full = load_h36m(folder / "npz", split="test", skeleton="human19")
    where = [INDICES["human19"].index(i) for i in INDICES[name]]
    np.testing.assert_array_equal(poses.keypoints, full.keypoints[:, where])


def test_mean_limb_lengths_are_of_the_training_split(forms):
    folder, source = forms
    train, skeleton = load_h36m(folder / "cdf", split="train"), get_skeleton("h36m17")
    world = np.concatenate([v[:, INDICES["h36m17"]] for (s, _), v in source.items() if s in (1, 5, 6, 7, 8)])
    np.testing.assert_allclose(train.mean_limb_lengths, limb_lengths(world, skeleton).mean(axis=0), rtol=1e-5)
    assert load_h36m(folder / "cdf", split="test").mean_limb_lengths is None


def test_protocols(tmp_path):
    write_npz(tmp_path, motion((9, 11), ("Eating",), frames=130))
    full, sparse = load_h36m(tmp_path, split="test"), load_h36m(tmp_path, split="test", every=64)
    assert sparse.frame_index[:3].tolist() == [0, 64, 128]
    kept = full.select(full.frame_index % 64 == 0)
    same_poses(sparse, kept, 0, 0)
    np.testing.assert_array_equal(full.time, full.frame_index / 50)
    only = load_h36m(tmp_path, split="test", subjects=[11])
    assert set(only.subject.values()) == {"S11"}
    assert len(only) == 4 * 130


def test_both_takes_of_an_action_are_evaluated_together(forms):
    folder, _ = forms
    poses = load_h36m(folder / "h5", split="test", skeleton="h36m17")
    report = evaluate_predictions(poses.joints, poses)
    assert list(report["per_action"]) == ["Directions", "Photo", "WalkDog", "Walking"]
    assert report["per_action"]["Photo"]["poses"] == (poses.action.values() == "Photo").sum()
    assert report["mean_over_actions"]["mpjpe"] == 0
    assert set(poses.action.names) <= set(ACTIONS)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Directions", "Directions"),
        ("Directions 1", "Directions 1"),
        ("Directions_1", "Directions 1"),
        ("TakingPhoto", "Photo"),
        ("TakingPhoto 1", "Photo 1"),
        ("WalkingDog_1", "WalkDog 1"),
        ("WalkDog", "WalkDog"),
        ("WalkTogether 2", "WalkTogether 2"),
        ("_ALL", None),
        ("_ALL 1", None),
    ],
)
def test_clip_names(stem, name):
    assert clip_name(stem, "x") == name


@pytest.mark.parametrize("stem", ["Dancing", "Directions 1 2", "Directions x", "", "Sitting down"])
def test_names_of_no_action(stem):
    with pytest.raises(InputError, match=r"f\.cdf: no action of Human3\.6M is called .*; they are Directions, "):
        clip_name(stem, "f.cdf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, r"split: expected one of \('train', 'test'\), got 'val'"),
        ({"split": "test", "subjects": [2]}, r"subjects: expected some of \(1, 5, 6, 7, 8, 9, 11\), each once"),
        ({"split": "test", "subjects": []}, "subjects: expected some of"),
        ({"split": "test", "every": 0}, "every: expected 1 or more, got 0"),
        ({"split": "test", "keypoints": "openpose"}, r"keypoints: expected one of \('projected', 'sh', 'sh_pt', 'cpn'"),
        ({"split": "test", "keypoints": "cpn"}, r"no detections 'cpn': expected data_2d_h36m_cpn_ft_h36m_dbb\.npz"),
        ({"split": "test", "skeleton": "coco17"}, "cannot map skeleton 'human19' to 'coco17': no way to derive nose"),
    ],
)
def test_bad_arguments(forms, arguments, message):
    with pytest.raises(InputError, match=message):
        load_h36m(forms[0] / "npz", **arguments)


def test_detections_in_both_forms(forms, tmp_path):
    _, source = forms
    for form in ("h5", "npz"):
        shutil.copytree(forms[0] / form, tmp_path / form)
    found = detections(source, extra=2)  # the videos go on after the motion ends
    write_detections_h5(tmp_path / "h5", found)
    write_detections_npz(tmp_path / "npz" / "data_2d_h36m_sh_ft_h36m.npz", found)
    h5, npz = (load_h36m(tmp_path / form, split="test", keypoints="sh") for form in ("h5", "npz"))
    same_poses(h5, npz)
    assert h5.skeleton == get_skeleton("h36m16")
    assert h5.provenance["derived_keypoints"] == []
    projected = load_h36m(tmp_path / "h5", split="test", skeleton="h36m16")
    same_poses(dataclasses.replace(h5, keypoints=projected.keypoints), projected, 0, 0)
    for row in (0, 17, len(h5) - 1):
        view, camera = str(h5.sequence.values()[row]).split(".")
        subject, clip = view.split("/")
        detected = found[int(subject[1:]), clip, camera][h5.frame_index[row]]
        np.testing.assert_allclose(h5.keypoints[row], detected, atol=1e-3)
    lsp = load_h36m(tmp_path / "h5", split="test", keypoints="sh", skeleton="lsp14", every=2)
    np.testing.assert_array_equal(lsp.keypoints[:, 12], h5.keypoints[h5.frame_index % 2 == 0, 8])
    chin = load_h36m(tmp_path / "h5", split="test", keypoints="sh", skeleton="h36m17")
    assert chin.provenance["derived_keypoints"] == ["chin"]
    with pytest.raises(InputError, match="cannot map skeleton 'h36m16' to 'human19': no way to derive right_foot_tip"):
        load_h36m(tmp_path / "h5", split="test", keypoints="sh", skeleton="human19")


@pytest.mark.parametrize("form", ["h5", "npz"])
@pytest.mark.parametrize("left", ["all", "three", "none"])
def test_the_damaged_view_is_left_out(tmp_path, form, left):
    source = motion((11,), ("Directions", "Directions 1"))
    found = detections(source)
    if left != "all":
        for camera in CAMERAS[: 4 if left == "none" else 1]:
            del found[11, "Directions", camera]
    write_h5(tmp_path, source)
    if form == "h5":
        write_detections_h5(tmp_path, found)
    else:
        write_detections_npz(tmp_path / "data_2d_h36m_sh_ft_h36m.npz", found)
    poses = load_h36m(tmp_path, split="test", subjects=[11], keypoints="sh")
    names = set(poses.sequence.names)
    assert "S11/Directions.54138969" not in names
    assert "S11/Directions 1.54138969" in names
    assert len(names) == (4 if left == "none" else 7)
    assert len(load_h36m(tmp_path, split="test", subjects=[11]).sequence.names) == 8  # its motion is sound


def test_nothing_but_the_damaged_clip(tmp_path):
    source = motion((11,), ("Directions",))
    write_npz(tmp_path, source)
    write_detections_npz(tmp_path / "data_2d_h36m_sh_pt_mpii.npz", {})
    with pytest.raises(InputError, match=r"no view is left"):
        load_h36m(tmp_path, split="test", subjects=[11], keypoints="sh_pt")


def test_detections_trained_on_mpii_are_of_its_joints(tmp_path):
    """Joints 7 and 8 are MPII's thorax and upper neck, not Human3.6M's spine and thorax."""
    source = motion((9,), ("Eating",))
    write_npz(tmp_path, source)
    found = detections(source)
    write_detections_npz(tmp_path / "data_2d_h36m_sh_pt_mpii.npz", found)
    poses = load_h36m(tmp_path, split="test", subjects=[9], keypoints="sh_pt", skeleton="lsp14")
    first = found[9, "Eating", CAMERAS[0]]
    np.testing.assert_allclose(poses.keypoints[: len(first), poses.skeleton.index("neck")], first[:, 7], rtol=1e-6)
    assert load_h36m(tmp_path, split="test", subjects=[9], keypoints="sh_pt").skeleton == get_skeleton("mpii16")


def test_bad_detections(tmp_path):
    source = motion((9,), ("Eating", "Eating 1"))
    write_npz(tmp_path, source)

    def load():
        return load_h36m(tmp_path, split="test", subjects=[9], keypoints="cpn")

    path, good = tmp_path / "data_2d_h36m_cpn_ft_h36m_dbb.npz", detections(source, 17)
    write_detections_npz(path, good)
    assert load().skeleton == get_skeleton("h36m17")
    view = (9, "Eating 1", CAMERAS[2])
    for changed, message in [
        ({view: good[view][:3]}, "S9, Eating 1, camera 58860488: 3 frames, expected 5"),
        ({view: good[view][:, :16]}, r"camera 58860488: expected pixels of shape \(N, 17, 2\), got \(5, 16, 2\)"),
        ({view: good[view] * np.nan}, "expected pixels, got nan"),
        ({view: good[view] * 1e6}, "expected pixels, got 7"),
    ]:
        write_detections_npz(path, good | changed)
        with pytest.raises(InputError, match=message):
            load()
    write_detections_npz(path, {key: value for key, value in good.items() if key[1:] != view[1:]})
    with pytest.raises(InputError, match=r"detections 'cpn' of S9, Eating 1, camera 58860488: none$"):
        load()
    for wrong in ({"S9": {"Eating": [1, 2]}}, {"S9": [1]}, [1]):
        np.savez(path, positions_2d=np.array(wrong, dtype=object) if isinstance(wrong, dict) else wrong)
        with pytest.raises(InputError, match=r"dbb\.npz: .*expected"):
            load()


def test_files_that_are_wrong_say_so(tmp_path):
    source = motion((9, 11))

    def fails(message, **changes):
        with pytest.raises(InputError, match=message) as error:
            load_h36m(tmp_path, split="test", **changes)
        assert str(tmp_path) in str(error.value)

    fails(r"no Human3\.6M here: expected one of S\*/MyPoseFeatures/D3_Positions/\*\.cdf, S\*/MyPoses")
    write_h5(tmp_path, {key: value for key, value in source.items() if key[0] == 9})
    fails(r"no motion of S11: expected it in S\*/MyPoses/3D_positions/\*\.h5")
    write_h5(tmp_path, source)
    path = tmp_path / "S9" / "MyPoses" / "3D_positions" / "Photo.h5"
    for values, message in [
        (source[9, "Photo"].reshape(-1, 96).T / 1000, r"the right shin is 0\.4\d* mm long, .*: another unit\?"),
        (source[9, "Photo"].reshape(-1, 96), r"3D_positions: expected shape \(96, N\), got \(5, 96\)"),
        (source[9, "Photo"].reshape(-1, 96).T + 1e5, "1.*e.05 mm out, expected 20000 at most: another unit"),
        (np.full((96, 4), np.nan), "expected joints in every frame, all of them finite numbers"),
        (np.zeros((96, 0)), "expected joints in every frame"),
    ]:
        with h5py.File(path, "w") as file:
            file["3D_positions"] = values
        fails(message)
    with h5py.File(path, "w") as file:
        file["2D_positions"] = np.zeros((64, 4))
    fails(r"missing arrays \['3D_positions'\]; it has \['2D_positions'\]")
    write_h5(tmp_path, source)
    shutil.copy(path, path.with_name("TakingPhoto.h5"))
    fails(r"TakingPhoto\.h5: the same clip as .*Photo\.h5 \(S9, Photo\)")


def test_npz_that_is_wrong_says_so(tmp_path):
    source = motion((9,), ("Eating",))
    write_npz(tmp_path, source)
    good = source[9, "Eating"] / 1000
    for positions, message in [
        ({"S9": {"Eating": good[:, :17]}}, r"S9, Eating: expected an array of floats of shape \(N, 32, 3\), got"),
        ({"S9": {"Eating": good * 1000}}, "a joint is .* mm out, expected 20000 at most"),
        ({"S9": {"Eating": "x"}}, r"of shape \(N, 32, 3\), got str"),
        ({"S9": {"Dancing": good}}, "S9, Dancing: no action of Human3.6M"),
        ({"9": {"Eating": good}}, "expected subjects 'S1' to 'S11', got '9'"),
        ({"S9": [good]}, r"expected 'positions_3d', a dict of dicts \(subject, action\)"),
        ({"S9": {"Photo": good, "TakingPhoto": good}}, "S9, TakingPhoto: the same clip as .*S9, Photo"),
    ]:
        np.savez_compressed(tmp_path / "data_3d_h36m.npz", positions_3d=np.array(positions, dtype=object))
        with pytest.raises(InputError, match=message):
            load_h36m(tmp_path, split="test", subjects=[9])
    np.savez_compressed(tmp_path / "data_3d_h36m.npz", positions=good)
    with pytest.raises(InputError, match="expected 'positions_3d'"):
        load_h36m(tmp_path, split="test", subjects=[9])


def test_nothing_in_an_npz_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.array({"S9": Evil()}, dtype=object))
    with pytest.raises(InputError):
        load_h36m(tmp_path, split="test", subjects=[9])
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All clips of all subjects in VideoPose3D's form, which has no S11 Directions, with detections."""
    folder, source = tmp_path_factory.mktemp("whole"), motion(clips=ALL, frames=2)
    del source[11, "Directions"]
    write_npz(folder, source)
    write_detections_npz(folder / "data_2d_h36m_sh_ft_h36m.npz", detections(source))
    return folder


def test_a_whole_folder_has_no_problems_and_is_prepared(whole):
    assert SOURCE.problems(whole) == []
    parts = {part.name: part.poses for part in SOURCE.prepare(whole, None)}
    assert list(parts) == ["train", "test", "test_64", "train_sh", "test_sh"]
    assert len(parts["train"]) == len(parts["train_sh"])
    assert len(parts["test_64"].sequence.names) == 4 * 59 == len(parts["test_64"])
    assert tuple(parts["train"].action.names) == ACTIONS
    assert parts["test_sh"].skeleton == get_skeleton("h36m16")
    assert [part.name for part in SOURCE.prepare(whole, "human19")] == ["train", "test", "test_64"]


def test_problems_are_all_named(forms, tmp_path):
    folder, source = forms
    assert SOURCE.problems(tmp_path)[0].startswith(f"{tmp_path}: no motion: expected one of S*/MyPoseFeatures")
    (tmp_path / "Poses_D3_Positions_S1.tgz").touch()
    assert SOURCE.problems(tmp_path) == [
        f"{tmp_path / 'Poses_D3_Positions_S1.tgz'}: not unpacked: tar -xzf Poses_D3_Positions_S1.tgz"
    ]
    shutil.copytree(folder / "h5", tmp_path / "h5")
    shutil.rmtree(tmp_path / "h5" / "S7")
    with h5py.File(tmp_path / "h5" / "S5" / "MyPoses" / "3D_positions" / "WalkDog.h5", "w") as file:
        file["3D_positions"] = np.zeros((96, 4))
    (tmp_path / "h5" / "S6" / "MyPoses" / "3D_positions" / "Photo.h5").write_bytes(b"cut")
    found = detections(source)
    del found[8, "Photo", CAMERAS[1]]
    write_detections_h5(tmp_path / "h5", found | {(9, "Photo", CAMERAS[3]): found[9, "Photo", CAMERAS[3]][:2]})
    problems = "\n".join(SOURCE.problems(tmp_path / "h5"))
    for expected in (
        "no motion of S7: expected it in S*/MyPoses/3D_positions/*.h5",
        "S1: Eating: 0 of 2 clips",
        "S1: WalkDog: 1 of 2 clips",
        "WalkDog.h5: the right shin is 0 mm long",
        "Photo.h5: not an HDF5 file",
        "detections 'sh' of S8, Photo, camera 55011271: none",
        "detections 'sh' of S9, Photo, camera 60457274: 2 frames, expected 5",
    ):
        assert expected in problems
    assert "S1: Photo" not in problems
    (tmp_path / "h5" / "cameras.h5").write_bytes(b"cut")
    problems = SOURCE.problems(tmp_path / "h5")
    assert problems[0].startswith(f"{tmp_path / 'h5' / 'cameras.h5'}: not an HDF5 file, or a damaged one (")
    assert any("WalkDog.h5: the right shin is 0 mm long" in problem for problem in problems)


def damaged(data, content, flips=4):
    content = bytearray(content)
    for _ in range(data.draw(st.integers(0, flips))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    return bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_motion(forms, tmp_path_factory, form, data):
    """Any flipped bytes and any cut: poses, or one clear line."""
    folder = tmp_path_factory.getbasetemp() / f"damaged_{form}"
    if not folder.exists():
        WRITERS[form](folder, motion((9,), SMALL[:1]))
        (folder / "good").write_bytes(list_path(folder, form).read_bytes())
    list_path(folder, form).write_bytes(damaged(data, (folder / "good").read_bytes()))
    try:
        poses = load_h36m(folder, split="test", subjects=[9])
    except InputError:
        return
    assert np.isfinite(poses.joints).all()


def list_path(folder, form):
    if form == "npz":
        return folder / "data_3d_h36m.npz"
    return next(path for path in folder.glob(f"S9/*/*/*.{form}") if not path.name.startswith("_ALL"))


def test_clips_are_sorted_as_in_tables(forms):
    names = [(clip.subject, clip.name) for clip in list_clips(forms[0] / "cdf", "cdf")]
    assert names[:5] == [(1, name) for name in SMALL]
    assert [subject for subject, _ in names[::5]] == [1, 5, 6, 7, 8, 9, 11]
