"""OpenSim at work on the exported files, as a script of its own: it logs to the folder that it runs in.

``read``: what OpenSim's own readers find in a TRC and a MOT file. ``move``: a full-body model with the coordinates of
Rajagopal's, and where its joints go as the coordinates change. ``solve``: inverse kinematics of that model from a TRC
file and a marker set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import opensim

SIDES = (("r", 1), ("l", -1))
X, Y, Z = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def full_body(path):
    """Write the model, without muscles: the test's own, upright in its pose of zeros; names as in Rajagopal's."""
    bodies, joints = [], []

    def joint(parent, child, place, turns=(), moves=()):
        """A body on another, at a place in metres, turning about axes one after the other."""
        bodies.append(f'<Body name="{child}"><mass>1</mass><mass_center>0 0 0</mass_center>'
                      "<inertia>1 1 1 0 0 0</inertia></Body>")  # fmt: skip
        rest = [axis for axis in (X, Y, Z) if not turns or abs(np.dot(axis, turns[0][1])) < 0.5]
        axes = [*turns, *[(None, axis) for axis in rest][: 3 - len(turns)], *moves]
        axes += [(None, axis) for axis in (X, Y, Z)][len(axes) - 3 :]
        transform, still = "", '<Constant name="function"><value>0</value></Constant>'
        for i, (name, axis) in enumerate(axes):
            turning = '<LinearFunction name="function"><coefficients>1 0</coefficients></LinearFunction>'
            transform += (
                f'<TransformAxis name="{"rotation" if i < 3 else "translation"}{i % 3 + 1}">'
                f"<coordinates>{name or ''}</coordinates><axis>{axis[0]} {axis[1]} {axis[2]}</axis>"
                f"{turning if name else still}</TransformAxis>"
            )
        frames = "".join(
            f'<PhysicalOffsetFrame name="{name}_offset"><socket_parent>{body}</socket_parent>'
            f"<translation>{at[0]} {at[1]} {at[2]}</translation></PhysicalOffsetFrame>"
            for name, body, at in (
                (parent, "/ground" if parent == "ground" else f"/bodyset/{parent}", place),
                (child, f"/bodyset/{child}", (0, 0, 0)),
            )
        )
        coordinates = "".join(
            f'<Coordinate name="{name}"><default_value>0</default_value><range>-10 10</range></Coordinate>'
            for name, _ in (*turns, *moves)
        )
        if not turns:
            joints.append(
                f'<WeldJoint name="{parent}_{child}"><socket_parent_frame>{parent}_offset</socket_parent_frame>'
                f"<socket_child_frame>{child}_offset</socket_child_frame><frames>{frames}</frames></WeldJoint>"
            )
            return
        joints.append(
            f'<CustomJoint name="{parent}_{child}"><socket_parent_frame>{parent}_offset</socket_parent_frame>'
            f"<socket_child_frame>{child}_offset</socket_child_frame><coordinates>{coordinates}</coordinates>"
            f"<frames>{frames}</frames><SpatialTransform>{transform}</SpatialTransform></CustomJoint>"
        )

    ground = [("pelvis_tilt", Z), ("pelvis_list", X), ("pelvis_rotation", Y)]
    joint("ground", "pelvis", (0, 0, 0), ground, [("pelvis_tx", X), ("pelvis_ty", Y), ("pelvis_tz", Z)])
    back = [("lumbar_extension", Z), ("lumbar_bending", X), ("lumbar_rotation", Y)]
    joint("pelvis", "torso", (-0.0563, 0.1715, 0), back)
    for side, sign in SIDES:
        x, y = (tuple(sign * np.array(axis)) for axis in (X, Y))
        hip = [(f"hip_flexion_{side}", Z), (f"hip_adduction_{side}", x), (f"hip_rotation_{side}", y)]
        joint("pelvis", f"femur_{side}", (-0.0563, -0.0785, sign * 0.0773), hip)
        joint(f"femur_{side}", f"tibia_{side}", (0, -0.41, 0), [(f"knee_angle_{side}", (0, 0, -1))])
        joint(f"tibia_{side}", f"talus_{side}", (0, -0.4, 0), [(f"ankle_angle_{side}", Z)])
        joint(f"talus_{side}", f"calcn_{side}", (-0.0488, -0.042, sign * 0.008))
        arm = [(f"arm_flex_{side}", Z), (f"arm_add_{side}", x), (f"arm_rot_{side}", y)]
        joint("torso", f"humerus_{side}", (0, 0.28, sign * 0.17), arm)
        joint(f"humerus_{side}", f"ulna_{side}", (0, -0.286, 0), [(f"elbow_flex_{side}", Z)])
        joint(f"ulna_{side}", f"hand_{side}", (0, -0.25, 0))
    Path(path).write_text(
        f'<OpenSimDocument Version="40000"><Model name="joints"><BodySet name="bodyset"><objects>{"".join(bodies)}'
        f'</objects></BodySet><JointSet name="jointset"><objects>{"".join(joints)}</objects></JointSet></Model>'
        "</OpenSimDocument>"
    )


PLACES = {  # joints of h36m17 on the model, at the joints' centres
    "mid_hip": ("pelvis", (-0.0563, -0.0785, 0)), "mid_spine": ("torso", (0, 0, 0)), "neck": ("torso", (0, 0.28, 0)),
    "chin": ("torso", (0, 0.4, 0)), "head_top": ("torso", (0, 0.5, 0)),
    **{f"{name}_{part}": (f"{body}_{name[0]}", (0, 0, 0)) for name in ("left", "right")
       for part, body in (("hip", "femur"), ("knee", "tibia"), ("ankle", "talus"), ("shoulder", "humerus"),
                          ("elbow", "ulna"), ("wrist", "hand"))},
}  # fmt: skip


def move(model, coordinates):
    """Marker -> (T, 3) metres, for coordinate -> T degrees or metres."""
    state = model.initSystem()
    known = model.getCoordinateSet()
    markers = model.getMarkerSet()
    count = len(next(iter(coordinates.values())))
    out = {markers.get(i).getName(): [] for i in range(markers.getSize())}
    for frame in range(count):
        for name, values in coordinates.items():
            value = values[frame] if name.startswith("pelvis_t") and name[-1] in "xyz" else np.deg2rad(values[frame])
            known.get(name).setValue(state, value, False)
        model.realizePosition(state)
        for name, places in out.items():
            at = markers.get(name).getLocationInGround(state)
            places.append([at.get(i) for i in range(3)])
    return out


def with_markers(file):
    """The model with a file's markers, or else with `PLACES`."""
    full_body("joints.osim")
    if file is None:
        markers = "".join(
            f'<Marker name="{name}"><socket_parent_frame>/bodyset/{body}</socket_parent_frame>'
            f"<location>{at[0]} {at[1]} {at[2]}</location></Marker>"
            for name, (body, at) in PLACES.items()
        )
        file = "places.xml"
        Path(file).write_text(
            f'<OpenSimDocument Version="40000"><MarkerSet name="places"><objects>{markers}</objects></MarkerSet>'
            "</OpenSimDocument>"
        )
    model = opensim.Model("joints.osim")
    model.updateMarkerSet(opensim.MarkerSet(file))
    return model


def columns(table):
    """Column -> values of a table."""
    values = table.getMatrix().to_numpy()
    return {name: values[:, i].tolist() for i, name in enumerate(table.getColumnLabels())}


def read(trc, mot):
    points = opensim.TimeSeriesTableVec3(trc)
    flat = points.flatten(["_x", "_y", "_z"])
    angles = opensim.TimeSeriesTable(mot)
    return {
        "trc": columns(flat), "trc_time": list(flat.getIndependentColumn()),
        "units": points.getTableMetaDataString("Units"), "rate": points.getTableMetaDataString("DataRate"),
        "mot": columns(angles), "mot_time": list(angles.getIndependentColumn()),
        "in_degrees": angles.getTableMetaDataString("inDegrees"),
    }  # fmt: skip


def solve(markers, trc, out):
    model = with_markers(markers)
    model.initSystem()
    tool = opensim.InverseKinematicsTool()
    tool.setModel(model)
    tool.setMarkerDataFileName(trc)
    tool.setOutputMotionFileName(out)
    table = opensim.TimeSeriesTableVec3(trc).getIndependentColumn()
    tool.setStartTime(table[0])
    tool.setEndTime(table[-1])
    tool.set_report_errors(False)
    tool.run()
    return columns(opensim.TimeSeriesTable(out))


if __name__ == "__main__":
    opensim.Logger.setLevelString("Error")
    task = json.loads(sys.stdin.read())
    match task.pop("task"):
        case "read":
            answer = read(**task)
        case "move":
            answer = move(with_markers(task["markers"]), task["coordinates"])
        case "solve":
            answer = solve(**task)
    print("ANSWER" + json.dumps(answer))
