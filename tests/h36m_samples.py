"""Small Human3.6M folders in the three published forms, all from one random source, with made-up cameras."""

from __future__ import annotations

from pathlib import Path

import cdflib
import h5py
import numpy as np

from nearfar.datasets.h36m.cameras import Camera
from nearfar.datasets.h36m.names import ACTIONS, CAMERAS, SUBJECTS

SMALL = ("Directions 1", "Photo", "Photo 1", "WalkDog", "Walking 2")
ALL = tuple(f"{action}{take}" for action in ACTIONS for take in ("", " 1"))


def motion(subjects=SUBJECTS, clips=SMALL, frames=4, seed=0):
    """(subject, clip) -> (N, 32, 3) float32, world mm: a cloud of joints near the middle of the room, with shins."""
    rng = np.random.default_rng(seed)
    out = {}
    for subject in subjects:
        for i, clip in enumerate(clips):
            joints = rng.normal(size=(frames + i % 3, 32, 3)) * 200 + [0, 0, 900]
            joints[:, 3] = joints[:, 2] + rng.normal(size=3) * 5 + [0, 0, -440]
            out[subject, clip] = joints.astype(np.float32)
    return out


def other_cameras(seed=0):
    """(subject, name) -> a camera: about 5 m off, one in each quarter of the room, looking at its middle from 1.5 m."""
    rng = np.random.default_rng(seed)
    lenses = {
        name: (rng.normal([1150, 1150, 512, 506], 4), rng.normal([-0.2, 0.2, 0], 0.01), rng.normal(size=2) * 1e-3)
        for name in CAMERAS
    }
    return {
        (subject, name): Camera(name, *place(np.pi / 4 + i * np.pi / 2, rng), *lenses[name])
        for subject in SUBJECTS
        for i, name in enumerate(CAMERAS)
    }


def place(azimuth, rng):
    """Rotation and centre."""
    centre = np.array([5000 * np.cos(azimuth), 5000 * np.sin(azimuth), 1500]) + rng.normal(size=3) * 100
    forward = [0, 0, 900] - centre
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward]) @ euler(rng.normal(size=3) * 0.02), centre


def euler(angles):
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    return np.array(
        [
            [cy * cz, -cy * sz, sy],
            [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
            [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
        ]
    )


def angles_of(R):
    """Angles about x, y and z such that R = Rx Ry Rz."""
    return [np.arctan2(-R[1, 2], R[2, 2]), np.arcsin(R[0, 2]), np.arctan2(-R[0, 1], R[0, 0])]


def w0_of(cameras):
    """The 300 numbers of metadata.xml; subjects without published motion have zeros here."""
    places = np.zeros((4, 11, 6))
    for (subject, name), camera in cameras.items():
        places[CAMERAS.index(name), subject - 1] = [*angles_of(camera.rotation), *camera.centre]
    lenses = [[*c.intrinsics, *c.radial, *c.tangential] for c in (cameras[1, name] for name in CAMERAS)]
    return np.concatenate([places.ravel(), np.ravel(lenses)])


def write_xml(path: Path, cameras):
    numbers = " ".join(repr(float(x)) for x in w0_of(cameras))
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<metadata><mapping><tr><td>Action</td></tr></mapping>'
        f"<dbcameras><index2id><item>54138969</item></index2id></dbcameras><w0>[{numbers}]</w0></metadata>\n"
    )


def write_cameras_h5(path: Path, cameras):
    with h5py.File(path, "w") as file:
        for (subject, name), camera in cameras.items():
            group = file.create_group(f"subject{subject}/camera{CAMERAS.index(name) + 1}")
            group["R"] = camera.rotation.T
            group["T"] = camera.centre[:, None]
            for key, values in (
                ("f", camera.intrinsics[:2]), ("c", camera.intrinsics[2:]),
                ("k", camera.radial), ("p", camera.tangential),
            ):  # fmt: skip
                group[key] = values[:, None]
            group["Name"] = np.array([[ord(letter)] for letter in name], np.uint16)


def quaternion_of(R):
    """w, x, y, z of a rotation: the eigenvector of its 4 x 4 form (Bar-Itzhack, 2000)."""
    trace, twist = np.trace(R), [R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]
    K = np.block([[np.array([[trace]]), np.array([twist])], [np.array([twist]).T, R + R.T - trace * np.eye(3)]])
    return np.linalg.eigh(K)[1][:, -1]


def code_of(cameras):
    """VideoPose3D's common/h36m_dataset.py in outline: other code around the two assignments, withheld subjects empty."""
    lenses = "".join(
        f"    {{\n        'id': '{name}',\n        'center': {camera.intrinsics[2:].tolist()},\n"
        f"        'focal_length': {camera.intrinsics[:2].tolist()},\n"
        f"        'radial_distortion': {camera.radial.tolist()},\n"
        f"        'tangential_distortion': {camera.tangential.tolist()},\n"
        "        'res_w': 1000,\n        'azimuth': 70, # Only used for visualization\n    },\n"
        for name, camera in ((name, cameras[1, name]) for name in CAMERAS)
    )
    places = ""
    for subject in range(1, 12):
        places += f"    'S{subject}': [\n"
        for camera in (cameras.get((subject, name)) for name in CAMERAS):
            places += "        {},\n" if camera is None else (
                f"        {{\n            'orientation': {quaternion_of(camera.rotation.T).tolist()},\n"
                f"            'translation': {camera.centre.tolist()},\n        }},\n"
            )  # fmt: skip
        places += "    ],\n"
    return (
        "import copy\nfrom common.skeleton import Skeleton\n\nh36m_skeleton = Skeleton(parents=[-1, 0])\n\n"
        f"h36m_cameras_intrinsic_params = [\n{lenses}]\n\nh36m_cameras_extrinsic_params = {{\n{places}}}\n\n"
        "class Human36mDataset:\n    def __init__(self, path):\n"
        "        self._cameras = copy.deepcopy(h36m_cameras_extrinsic_params)\n"
    )


def write_code(path: Path, cameras):
    path.write_text(code_of(cameras))


def write_cdf(folder: Path, source, cameras=None):
    """The authors' archive, with the other names of subject 1's clips, and a clip of no action."""
    folder.mkdir(parents=True, exist_ok=True)
    write_xml(folder / "metadata.xml", cameras or other_cameras())
    for (subject, clip), joints in source.items():
        name = clip.replace("Photo", "TakingPhoto").replace("WalkDog", "WalkingDog") if subject == 1 else clip
        path = folder / f"S{subject}" / "MyPoseFeatures" / "D3_Positions" / f"{name}.cdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        with cdflib.cdfwrite.CDF(path, cdf_spec={"Majority": "row_major"}) as file:
            info = {"Variable": "Pose", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable"}
            file.write_var(
                {**info, "Dim_Sizes": [len(joints), 96]}, var_data=joints.reshape(1, -1, 96).astype(np.float32)
            )
        (path.parent / "_ALL 1.cdf").write_bytes(b"not of any action")


def write_h5(folder: Path, source, cameras=None):
    """3d-pose-baseline's archive."""
    folder.mkdir(parents=True, exist_ok=True)
    write_cameras_h5(folder / "cameras.h5", cameras or other_cameras())
    for (subject, clip), joints in source.items():
        path = folder / f"S{subject}" / "MyPoses" / "3D_positions" / f"{clip}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["3D_positions"] = joints.reshape(-1, 96).T.astype(np.float64)


def write_npz(folder: Path, source, cameras=None):
    """VideoPose3D's file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_code(folder / "h36m_dataset.py", cameras or other_cameras())
    positions = {}
    for (subject, clip), joints in source.items():
        positions.setdefault(f"S{subject}", {})[clip] = (joints / 1000).astype("float32")
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=positions)


def detections(source, joints=16, extra=0, seed=1):
    """(subject, clip, camera) -> (N + extra, joints, 2) pixels."""
    rng = np.random.default_rng(seed)
    return {
        (*key, camera): rng.uniform(200, 800, (len(value) + extra, joints, 2))
        for key, value in source.items()
        for camera in CAMERAS
    }


def write_detections_h5(folder: Path, found, place="StackedHourglassFineTuned240"):
    for (subject, clip, camera), keypoints in found.items():
        path = folder / f"S{subject}" / place / f"{clip.replace(' ', '_')}.{camera}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["poses"] = keypoints


def write_detections_npz(path: Path, found, joints=16):
    positions = {}
    for (subject, clip, camera), keypoints in found.items():
        views = positions.setdefault(f"S{subject}", {}).setdefault(clip, [None] * 4)
        views[CAMERAS.index(camera)] = keypoints.astype("float32")
    metadata = {"num_joints": joints, "keypoints_symmetry": [[3, 4, 5, 13, 14, 15], [0, 1, 2, 10, 11, 12]]}
    np.savez_compressed(path, positions_2d=positions, metadata=metadata)


WRITERS = {"cdf": write_cdf, "h5": write_h5, "npz": write_npz}
