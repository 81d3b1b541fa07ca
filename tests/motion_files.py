"""Motion files as the programs of the field write them: ASF/AMC, BVH and C3D, with motion of the tests' own."""

from __future__ import annotations

import struct

import numpy as np

# CMU's bones: parent, degrees of freedom.
CMU_BONES = {
    "lhipjoint": ("root", ""),
    "lfemur": ("lhipjoint", "rx ry rz"),
    "ltibia": ("lfemur", "rx"),
    "lfoot": ("ltibia", "rx rz"),
    "ltoes": ("lfoot", "rx"),
    "rhipjoint": ("root", ""),
    "rfemur": ("rhipjoint", "rx ry rz"),
    "rtibia": ("rfemur", "rx"),
    "rfoot": ("rtibia", "rx rz"),
    "rtoes": ("rfoot", "rx"),
    "lowerback": ("root", "rx ry rz"),
    "upperback": ("lowerback", "rx ry rz"),
    "thorax": ("upperback", "rx ry rz"),
    "lowerneck": ("thorax", "rx ry rz"),
    "upperneck": ("lowerneck", "rx ry rz"),
    "head": ("upperneck", "rx ry rz"),
    "lclavicle": ("thorax", "ry rz"),
    "lhumerus": ("lclavicle", "rx ry rz"),
    "lradius": ("lhumerus", "rx"),
    "lwrist": ("lradius", "ry"),
    "lhand": ("lwrist", "rx rz"),
    "lfingers": ("lhand", "rx"),
    "lthumb": ("lwrist", "rx rz"),
    "rclavicle": ("thorax", "ry rz"),
    "rhumerus": ("rclavicle", "rx ry rz"),
    "rradius": ("rhumerus", "rx"),
    "rwrist": ("rradius", "ry"),
    "rhand": ("rwrist", "rx rz"),
    "rfingers": ("rhand", "rx"),
    "rthumb": ("rwrist", "rx rz"),
}
_LENGTHS = {"femur": 7.2, "tibia": 7.4, "foot": 2.4, "toes": 1.2, "clavicle": 3.5, "humerus": 5, "radius": 3.4}
_DOWN = ("femur", "tibia", "hipjoint")
CGSPEED_NAMES = {
    "lhipjoint": "LHipJoint", "lfemur": "LeftUpLeg", "ltibia": "LeftLeg", "lfoot": "LeftFoot", "ltoes": "LeftToeBase",
    "rhipjoint": "RHipJoint", "rfemur": "RightUpLeg", "rtibia": "RightLeg", "rfoot": "RightFoot",
    "rtoes": "RightToeBase", "lowerback": "LowerBack", "upperback": "Spine", "thorax": "Spine1", "lowerneck": "Neck",
    "upperneck": "Neck1", "head": "Head", "lclavicle": "LeftShoulder", "lhumerus": "LeftArm",
    "lradius": "LeftForeArm", "lwrist": "LeftHand", "lhand": "LeftFingerBase", "lfingers": "LeftHandIndex1",
    "lthumb": "LThumb", "rclavicle": "RightShoulder", "rhumerus": "RightArm", "rradius": "RightForeArm",
    "rwrist": "RightHand", "rhand": "RightFingerBase", "rfingers": "RightHandIndex1", "rthumb": "RThumb",
}  # fmt: skip


class AcclaimMotion:
    """A person of CMU's bones and a motion: legs down, the rest up or aside, angles that change smoothly."""

    def __init__(self, seed=0, frames=12):
        rng = np.random.default_rng(seed)
        self.frames = frames
        self.length, self.direction, self.axis, self.values = {}, {}, {}, {}
        for name, (_, dof) in CMU_BONES.items():
            kind = name[1:] if name[0] in "lr" and name not in ("lowerback", "lowerneck") else name
            side = {"l": 1, "r": -1}.get(name[0], 0) if kind != name else 0
            aim = np.array([side * (0.5 if kind in _DOWN else 1), -1 if kind in _DOWN else 1 - abs(side), 0])
            aim = aim + rng.normal(0, 0.1, 3)
            self.direction[name] = aim / np.linalg.norm(aim)
            self.length[name] = _LENGTHS.get(kind, 1.9) * rng.uniform(0.9, 1.1)
            self.axis[name] = rng.uniform(-180, 180, 3) if dof else np.zeros(3)
            self.values[name] = self._smooth(rng, len(dof.split()), 25)
        place = self._smooth(rng, 3, 1) + [rng.uniform(-5, 5), 16.5, rng.uniform(-5, 5)]
        self.values["root"] = np.concatenate([place, self._smooth(rng, 3, 40)], axis=1)

    def _smooth(self, rng, count, amount):
        phase = np.arange(self.frames)[:, None] * rng.uniform(0.01, 0.05, count) + rng.uniform(0, 6, count)
        return rng.uniform(-1, 1, count) * amount * (np.sin(phase) + rng.normal(0, 0.3, count))

    def write_asf(self, path):
        lines = [
            "# AST/ASF file generated using VICON BodyLanguage",
            "# -----------------------------------------------",
            ":version 1.10",
            ":name VICON",
            ":units",
            "  mass 1.0",
            "  length 0.45",
            "  angle deg",
            ":documentation",
            "   .ast/.asf automatically generated from VICON data",
            ":root",
            "   order TX TY TZ RX RY RZ",
            "   axis XYZ",
            "   position 0 0 0  ",
            "   orientation 0 0 0 ",
            ":bonedata",
        ]
        for i, (name, (_, dof)) in enumerate(CMU_BONES.items(), start=1):
            x, y, z = self.direction[name]
            lines += ["  begin", f"     id {i} ", f"     name {name}", f"     direction {x:.12g} {y:.12g} {z:.12g} "]
            lines += [f"     length {self.length[name]:.12g} "]
            lines += ["     axis {:.12g} {:.12g} {:.12g}  XYZ  ".format(*self.axis[name])]
            if dof:
                lines += [f"    dof {dof}", "    limits (-160.0 20.0)"]
                lines += ["           (-70.0 70.0)"] * (len(dof.split()) - 1)
            lines += ["  end"]
        lines += [":hierarchy", "  begin"]
        for parent in ("root", *CMU_BONES):
            if children := [name for name, (of, _) in CMU_BONES.items() if of == parent]:
                lines += [f"    {parent} {' '.join(children)}"]
        path.write_bytes("\r\n".join([*lines, "  end", ""]).encode())

    def write_amc(self, path):
        names = ["root", *sorted(name for name, (_, dof) in CMU_BONES.items() if dof)]
        lines = ["#!OML:ASF H:\\Terrain\\Subject.ASF", ":FULLY-SPECIFIED", ":DEGREES"]
        for frame in range(self.frames):
            lines += [str(frame + 1)]
            lines += [f"{name} " + " ".join(f"{v:.12g}" for v in self.values[name][frame]) for name in names]
        path.write_text("\n".join([*lines, ""]))

    def local_rotations(self, name):
        """(F,) scipy rotations of a bone relative to its parent: C M C⁻¹."""
        from scipy.spatial.transform import Rotation

        dof = CMU_BONES[name][1].split()
        if not dof:
            return Rotation.identity(self.frames)
        axis = Rotation.from_euler("xyz", self.axis[name], degrees=True)
        motion = Rotation.from_euler("".join(d[1] for d in dof), self.values[name], degrees=True)
        return axis * motion * axis.inv()

    def write_bvh(self, path, *, names=None, frame_time="0.0083333", t_pose=False, lose=()):
        """The same motion as BVH: a joint at the START of each bone, Z Y X rotations.

        Args:
            path: of the file.
            names: bone -> joint name.
            frame_time: as written.
            t_pose: put a frame without rotations in front.
            lose: bones whose length is lost, as in cgspeed's conversion.
        """
        from scipy.spatial.transform import Rotation

        names = names or {}
        lines, columns = ["HIERARCHY", "ROOT Hips", "{", "\tOFFSET 0.00000 0.00000 0.00000"], []
        lines += ["\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation "]
        root = Rotation.from_euler("xyz", self.values["root"][:, 3:], degrees=True)
        columns += [self.values["root"][:, :3], root.as_euler("ZYX", degrees=True)]

        def vector(name):
            return np.zeros(3) if name == "root" or name in lose else self.length[name] * self.direction[name]

        def add(name, depth):
            tab = "\t" * depth
            lines.extend([f"{tab}JOINT {names.get(name, name)}", f"{tab}{{"])
            lines.append(tab + "\tOFFSET {:.9f} {:.9f} {:.9f}".format(*vector(CMU_BONES[name][0])))
            lines.append(f"{tab}\tCHANNELS 3 Zrotation Yrotation Xrotation")
            columns.append(self.local_rotations(name).as_euler("ZYX", degrees=True))
            children = [child for child, (of, _) in CMU_BONES.items() if of == name]
            for child in children:
                add(child, depth + 1)
            if not children:
                lines.extend([f"{tab}\tEnd Site", f"{tab}\t{{"])
                lines.append(tab + "\t\tOFFSET {:.9f} {:.9f} {:.9f}".format(*vector(name)))
                lines.append(f"{tab}\t}}")
            lines.append(f"{tab}}}")

        for name, (parent, _) in CMU_BONES.items():
            if parent == "root":
                add(name, 1)
        motion = np.concatenate(columns, axis=1)
        if t_pose:
            motion = np.concatenate([motion[:1] * (np.arange(motion.shape[1]) < 3), motion])
        lines += ["}", "MOTION", f"Frames: {len(motion)}", f"Frame Time: {frame_time}"]
        lines += [" ".join(f"{value:.9f}" for value in row) for row in motion]
        path.write_text("\n".join([*lines, ""]))


def write_c3d(path, points, labels, *, order="<", integers=False, parameters=(), rate=100.0, first=1, analog=0):
    """A C3D file by hand: header, parameters, frames.

    Args:
        path: of the file.
        points: (F, P, 3), NaN where unseen.
        labels: names of the points.
        order: "<" Intel, ">" MIPS, "dec" DEC.
        integers: store points as 16-bit integers times a scale.
        parameters: further (group, name, value); text is a list of strings.
        rate: frames a second.
        first: number of the first frame.
        analog: analog samples a frame.
    """
    frames, count, _ = points.shape
    word = "<" if order == "dec" else order
    scale = 0.05 if integers else -1.0

    def floats(values):
        values = np.asarray(values, np.float32)
        if order == "dec":
            return np.ascontiguousarray((values * 4).view("<u2").reshape(-1, 2)[:, ::-1]).tobytes()
        return values.astype(f"{word}f4").tobytes()

    groups: dict[str, int] = {}
    section = b""

    def parameter(group, name, value):
        nonlocal section
        if group not in groups:
            groups[group] = len(groups) + 1
            section += struct.pack("bb", len(group), -groups[group]) + group.encode() + struct.pack(f"{word}hB", 3, 0)
        if isinstance(value, list):
            width = max([len(text) for text in value] + [1])
            body = struct.pack("bBBB", -1, 2, width, len(value)) + "".join(t.ljust(width) for t in value).encode()
        elif isinstance(value, float):
            body = struct.pack("bB", 4, 0) + floats([value])
        else:
            value = np.atleast_1d(value)
            body = struct.pack("bBB", 2, 1, len(value)) + value.astype(f"{word}u2").tobytes()
        body += b"\0"  # no description
        section += struct.pack("bb", len(name), groups[group]) + name.encode()
        section += struct.pack(f"{word}h", len(body) + 2) + body

    given = {(group, name) for group, name, _ in parameters}
    standard = [
        ("POINT", "USED", count),
        ("POINT", "FRAMES", min(frames, 65535)),
        ("POINT", "SCALE", scale),
        ("POINT", "RATE", float(rate)),
        ("POINT", "UNITS", ["mm"]),
        ("POINT", "LABELS", list(labels)[:255]),
        ("ANALOG", "USED", analog),
        ("ANALOG", "RATE", float(rate)),
    ]
    standard += [("POINT", "LABELS2", list(labels)[255:])] if count > 255 else []
    for entry in (*(entry for entry in standard if entry[:2] not in given), *parameters):
        if entry[2] is not None:
            parameter(*entry)
    section += b"\0\0"
    blocks = -(-(len(section) + 4) // 512)
    processor = {"<": 84, "dec": 85, ">": 86}[order]
    head = struct.pack("BB", 2, 0x50) + struct.pack(
        f"{word}HHHHH", count, analog, first, min(first + frames - 1, 65535), 10
    )
    head += floats([scale]) + struct.pack(f"{word}HH", 2 + blocks, 1 if analog else 0) + floats([rate])
    residual = np.where(np.isnan(points).any(axis=-1, keepdims=True), -1.0, 1.0)
    rows = np.concatenate([np.nan_to_num(points), residual], axis=-1).reshape(frames, -1)
    if integers:
        rows[:, [i for i in range(rows.shape[1]) if i % 4 != 3]] /= scale
        rows = np.round(np.concatenate([rows, np.ones((frames, analog))], axis=1)).astype(f"{word}i2").tobytes()
    else:
        rows = floats(np.concatenate([rows, np.ones((frames, analog))], axis=1).reshape(-1))
    content = head.ljust(512, b"\0") + (struct.pack("BBBB", 1, 0x50, blocks, processor) + section).ljust(
        512 * blocks, b"\0"
    )
    path.write_bytes(content + rows + b"\0" * (-len(rows) % 512))
