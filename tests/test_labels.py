"""Relative depth labels: validation, Parquet, answers from 3D, tolerance, the simulated crowd, random pairs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar import parquet
from nearfar.answer_noise import PAPER_CROWD
from nearfar.errors import InputError
from nearfar.labels import (
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    RelativeLabels,
    all_pairs,
    flip,
    labels_from_joints,
    random_pairs,
)
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton

H36M = get_skeleton("h36m17")


def make(pose=(0, 0, 1), pair=((0, 1), (3, 2), (16, 0)), relation=(-1, 1, 0), **changes):
    fields = {"skeleton": H36M, "pose": np.array(pose), "pair": np.array(pair), "relation": np.array(relation, np.int8)}
    return RelativeLabels(**(fields | changes))


def random_poses(n, seed=0, **changes):
    joints = np.random.default_rng(seed).normal(size=(n, 17, 3)) * 300 + [0, 0, 4000]
    return PoseSet(**({"skeleton": H36M, "joints": joints} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "votes"}, r"kind must be one of \('answers', 'merged'\), got 'votes'"),
        ({"pair": ((0, 1), (1, 2))}, r"pair: expected shape \(3, 2\), got \(2, 2\)"),
        ({"relation": (1, -1)}, r"relation: expected shape \(3,\), got \(2,\)"),
        ({"annotator": np.array(["a"])}, r"annotator: expected shape \(3,\), got \(1,\)"),
        ({"probability": np.zeros(4)}, r"probability: expected shape \(3,\), got \(4,\)"),
        ({"pose": (0.0, 1.0, 2.0)}, "pose: expected integers, got float64"),
        ({"relation": np.array([1.0, 1, 1])}, "relation: expected integers, got"),
        ({"pose": (0, -1, 1)}, r"row 1: pose -1: pose numbers start at 0 \(1 such rows\)"),
        ({"pair": ((0, 1), (3, 17), (17, 0))}, r"row 1: pair \[3, 17\]: skeleton 'h36m17' has joints 0\.\.16 \(2 such"),
        ({"pair": ((0, 1), (3, 2), (-1, 0))}, r"row 2: pair \[-1, 0\]: skeleton 'h36m17' has joints"),
        ({"pair": ((5, 5), (3, 2), (1, 0))}, r"row 0: pair \[5, 5\]: a joint cannot be compared with itself"),
        ({"relation": (1, 2, 1)}, r"row 1: relation 2: expected -1, 0 or \+1"),
        ({"probability": np.array([0, 1.5, 1])}, r"row 1: probability 1\.5: expected 0\.\.1"),
        ({"probability": np.array([0, 1, np.nan])}, r"row 2: probability nan: expected 0\.\.1"),
        ({"probability": np.array(["a", "b", "c"])}, "probability: expected numbers, got <U1"),
        ({"risk": np.array([0, 1, -0.1])}, r"row 2: risk -0\.1: expected 0\.\.1"),
        ({"response_time": np.array([0, np.nan, -1])}, r"row 2: response_time -1\.0: expected seconds from 0, or NaN"),
        ({"response_time": np.array([0, np.inf, 1])}, r"row 1: response_time inf: expected seconds from 0, or NaN"),
        ({"unsure": np.array([0, 0, 1])}, "unsure: expected bool, got int64"),
        ({"unsure": np.array([True, False, True])}, "row 0: relation -1: expected 0 where the annotator was unsure"),
        ({"status": np.array(["good"])}, r"status: expected shape \(3,\), got \(1,\)"),
    ],
)
def test_what_cannot_be_a_label_is_refused(changes, message):
    if isinstance(changes.get("relation"), np.ndarray):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(make(), **changes)
    else:
        with pytest.raises(InputError, match=message):
            make(**changes)


@pytest.mark.parametrize("second", [((0, 1), 1), ((1, 0), -1), ((0, 1), 0)])
def test_merged_labels_may_not_disagree_but_answers_may(second):
    pair, relation = ((0, 1), (5, 6), second[0]), (-1, 1, second[1])
    answers = make((2, 2, 2), pair, relation)
    assert answers.conflict() == (0, 2)
    with pytest.raises(InputError, match=r"rows 0 and 2: pose 2, mid_hip and right_hip: two different merged labels"):
        dataclasses.replace(answers, kind="merged")


def test_merged_labels_may_say_the_same_twice_and_differ_between_poses():
    labels = make((2, 2, 3), ((0, 1), (1, 0), (0, 1)), (-1, 1, 1), kind="merged")
    assert labels.conflict() is None


def test_labels_speak_of_the_poses():
    labels = make()
    labels.check_poses(random_poses(2))
    with pytest.raises(InputError, match=r"row 2: pose 1: the pose set has rows 0\.\.0"):
        labels.check_poses(random_poses(1))
    with pytest.raises(InputError, match="made for skeleton 'h36m17', but the poses are on 'h36m16'"):
        labels.check_poses(random_poses(2).remap("h36m16"))


@pytest.mark.parametrize(
    "extras",
    [
        {},
        {"annotator": np.array(["w1", "w2", "ü"]), "probability": np.array([0.25, 1, 0])},
        {
            **dict.fromkeys(TEXT_COLUMNS, np.array(["a", "ü", ""])),
            **dict.fromkeys(NUMBER_COLUMNS, np.array([0.1, 1, 0])),  # 0.1 keeps all its digits
            "response_time": np.array([0.5, np.nan, 7], np.float32),
            "unsure": np.array([False, False, True]),
        },
    ],
)
def test_parquet_there_and_back(tmp_path, extras):
    labels = make(kind="merged", provenance={"from": "a test"}, **extras)
    labels.save(tmp_path / "a.parquet")
    back = RelativeLabels.load(tmp_path / "a.parquet")
    assert (back.skeleton, back.kind, back.provenance) == (H36M, "merged", {"from": "a test"})
    for field in dataclasses.fields(RelativeLabels):
        expected, got = getattr(labels, field.name), getattr(back, field.name)
        assert (got is None) == (expected is None), field.name
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(got, expected, err_msg=field.name)
            assert got.dtype.kind == expected.dtype.kind


def test_parquet_in_several_row_groups(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr(parquet, "ROWS", 2)
    labels = make(
        *([value * 3 for value in ((0, 0, 1), ((0, 1), (3, 2), (16, 0)), (-1, 1, 0))]),
        annotator=np.array(list("abcabdxyz")),
    )
    labels.save(tmp_path / "a.parquet")
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 5
    back = RelativeLabels.load(tmp_path / "a.parquet")
    for name in ("pose", "pair", "relation", "annotator"):
        np.testing.assert_array_equal(getattr(back, name), getattr(labels, name))


@given(st.integers(0, 2**32 - 1))
def test_a_conflict_is_found_wherever_it_stands(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 17, 12)
    pair = np.stack([a, (a + rng.integers(1, 17, 12)) % 17], axis=1)
    labels = make(rng.integers(0, 2, 12), pair, rng.integers(-1, 2, 12))
    told = [
        (int(pose), *sorted(pair), int(r if pair[0] < pair[1] else -r))
        for pose, pair, r in zip(labels.pose, pair.tolist(), labels.relation, strict=True)
    ]
    there = any(one[:3] == other[:3] and one[3] != other[3] for one in told for other in told)
    rows = labels.conflict()
    assert (rows is not None) == there
    if rows:
        one, other = (told[row] for row in rows)
        assert rows[0] < rows[1]
        assert one[:3] == other[:3]
        assert one[3] != other[3]


def test_labels_follow_their_poses():
    labels = make((0, 2, 2, 5), ((0, 1), (3, 2), (16, 0), (4, 5)), (-1, 1, 0, 1), risk=np.array([0, 0.1, 0.2, 0.3]))
    for rows in (np.array([5, 2]), np.array([False, False, True, True, True, True])):
        kept = labels.of_poses(rows)
        numbers = rows if rows.dtype != bool else np.flatnonzero(rows)
        assert numbers[kept.pose].tolist() == [2, 2, 5]
        assert kept.risk.tolist() == [0.1, 0.2, 0.3]
    assert len(labels.of_poses(np.array([1, 7]))) == 0
    assert len(labels.select(slice(0)).of_poses(np.array([1]))) == 0
    with pytest.raises(InputError, match="would count twice"):
        labels.of_poses(np.array([2, 2]))


def test_labels_on_another_skeleton():
    lsp = get_skeleton("lsp14")
    labels = dataclasses.replace(make(pair=((0, 1), (3, 2), (13, 12))), skeleton=lsp)
    on_17 = labels.remap("h36m17")
    names = np.array(lsp.joints)[labels.pair]
    np.testing.assert_array_equal(np.array(H36M.joints)[on_17.pair], names)
    assert on_17.remap("lsp14").pair.tolist() == labels.pair.tolist()
    with pytest.raises(InputError, match=r"row 0: pair \[0, 1\]: skeleton 'lsp14' has not both of these joints"):
        make().remap("lsp14")


def test_sure_leaves_out_who_could_not_tell():
    labels = make(unsure=np.array([False, False, True]), status=np.array(["good", "flagged", "good"]))
    assert labels.sure().relation.tolist() == [-1, 1]
    assert labels.sure().status.tolist() == ["good", "flagged"]
    assert make().sure().relation.tolist() == [-1, 1, 0]  # equally far is an answer


def test_the_parquet_schema(tmp_path):
    import pyarrow.parquet as pq

    make(annotator=np.array(["a", "b", "a"])).save(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["pose", "joint_a", "joint_b", "relation", "annotator"]
    assert [str(table.schema.field(name).type) for name in table.column_names[:4]] == [
        "int64",
        "int16",
        "int16",
        "int8",
    ]
    header = json.loads(table.schema.metadata[b"nearfar"])
    assert header["schema"] == "nearfar-labels-1"
    assert header["skeleton"]["joints"] == list(H36M.joints)


def test_files_that_are_no_label_tables(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    with pytest.raises(InputError, match="no such file"):
        RelativeLabels.load(path)
    path.write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match="not a Parquet file, or a damaged one"):
        RelativeLabels.load(path)
    make().save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a Parquet file, or a damaged one"):
        RelativeLabels.load(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(InputError, match="not a nearfar table"):
        RelativeLabels.load(path)
    header = {"schema": "nearfar-labels-9"}
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({"nearfar": json.dumps(header)}), path)
    with pytest.raises(InputError, match=r"schema 'nearfar-labels-9', expected 'nearfar-labels-1'") as error:
        RelativeLabels.load(path)
    assert str(error.value).count(str(path)) == 1


def test_select():
    labels = make(annotator=np.array(["a", "b", "c"]))
    some = labels.select(labels.relation != 0)
    assert len(some) == 2
    assert some.annotator.tolist() == ["a", "b"]
    assert some.probability is None


@given(st.integers(0, 2**32 - 1))
def test_exact_answers_are_the_order_of_depth(seed):
    poses = random_poses(20, seed)
    pairs = random_pairs(H36M, 20, 5, np.random.default_rng(seed))
    labels = labels_from_joints(poses, pairs)
    assert labels.pose.tolist() == np.repeat(np.arange(20), 5).tolist()
    depth = poses.joints[..., 2]
    a_deeper = depth[labels.pose, labels.pair[:, 0]] > depth[labels.pose, labels.pair[:, 1]]
    assert (labels.relation == np.where(a_deeper, 1, -1)).all()
    turned = labels_from_joints(poses, pairs[..., ::-1])
    assert (turned.relation == -labels.relation).all()


def test_tolerance():
    joints = np.zeros((1, 17, 3))
    joints[0, :, 2] = 1000 + np.arange(17) * 50  # joint i is i * 50 mm behind joint 0
    pairs = np.array([[[0, 1], [0, 2], [0, 3], [3, 0]]])
    labels = labels_from_joints(PoseSet(H36M, joints=joints), pairs, tolerance=100)
    assert labels.relation.tolist() == [0, -1, -1, 1]
    assert labels_from_joints(PoseSet(H36M, joints=joints), pairs).relation.tolist() == [-1, -1, -1, 1]


def test_answers_need_joints_in_the_cameras_frame():
    pairs = np.array([[[0, 1]]])
    with pytest.raises(InputError, match="needs joints in the camera's frame"):
        labels_from_joints(random_poses(1, frame="world"), pairs)
    with pytest.raises(InputError, match="needs joints in the camera's frame"):
        labels_from_joints(PoseSet(H36M, keypoints=np.zeros((1, 17, 2))), pairs)
    with pytest.raises(InputError, match="tolerance and label noise exclude each other"):
        labels_from_joints(random_poses(1), pairs, tolerance=10, noise=PAPER_CROWD)
    with pytest.raises(InputError, match="needs a random generator"):
        labels_from_joints(random_poses(1), pairs, noise=PAPER_CROWD)
    poses = random_poses(3)
    poses.joints[1, 1] = np.nan
    with pytest.raises(InputError, match="pose 1 has missing joints"):
        labels_from_joints(poses, np.array([[[0, 1]]] * 3))


@pytest.mark.parametrize("difference", [0, 80, 200, 320, 400])
def test_the_simulated_crowd_is_right_as_often_as_the_formula_says(difference):
    n = 20_000
    joints = np.zeros((n, 17, 3))
    joints[:, 1, 2] = difference
    pairs = np.tile([[[1, 0]]], (n, 1, 1))
    labels = labels_from_joints(PoseSet(H36M, joints=joints), pairs, noise=PAPER_CROWD, rng=np.random.default_rng(1))
    p = min(1, 0.5 + 0.0125 * difference / 10)
    right = (labels.relation == 1).mean()
    assert abs(right - p) <= 4 * np.sqrt(p * (1 - p) / n)


def test_flip():
    labels = make(np.zeros(10_000, int), np.tile([[0, 1]], (10_000, 1)), np.tile([1, 0], 5000))
    rng = np.random.default_rng(0)
    assert (flip(labels, 0, rng).relation == labels.relation).all()
    assert (flip(labels, 1, rng).relation == -labels.relation).all()
    some = flip(labels, 0.25, rng).relation
    assert (some[labels.relation == 0] == 0).all()
    assert abs((some[labels.relation == 1] == -1).mean() - 0.25) < 0.03
    each = np.arange(10_000) < 100
    assert ((flip(labels, each, rng).relation != labels.relation) == (each & (labels.relation != 0))).all()


def test_all_pairs():
    pairs = all_pairs(H36M)
    assert pairs.shape == (136, 2)
    assert len({frozenset(pair) for pair in pairs.tolist()}) == 136


@pytest.mark.parametrize("per_pose", [1, 2, 17, 136])
def test_random_pairs_are_different_and_cover_all(per_pose):
    pairs = random_pairs(H36M, 4000, per_pose, np.random.default_rng(0))
    assert pairs.shape == (4000, per_pose, 2)
    low, high = pairs.min(axis=-1), pairs.max(axis=-1)
    assert (low < high).all()
    key = np.sort(low * 17 + high, axis=1)
    assert (np.diff(key, axis=1) > 0).all()  # never the same pair twice in a pose
    counts = np.unique(key, return_counts=True)[1]
    assert len(counts) == 136  # every pair is drawn,
    expected = 4000 * per_pose / 136
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected) + 1  # equally often,
    assert abs((pairs[..., 0] < pairs[..., 1]).mean() - 0.5) < 0.04  # and either way round


def test_random_pairs_follow_the_seed_and_refuse_too_many():
    a, b = (random_pairs(H36M, 5, 3, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    for count in (0, 137):
        with pytest.raises(InputError, match=rf"skeleton 'h36m17' has 1\.\.136 pairs, got {count}"):
            random_pairs(H36M, 5, count, np.random.default_rng(0))


def test_a_small_file_that_claims_many_rows_is_not_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 3_000_000
    columns = {name: pa.array(np.zeros(rows, np.int8)) for name in ("pose", "joint_a", "joint_b", "relation")}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(InputError, match=r"a\.parquet: claims 3000000 rows, too many for its \d+ bytes"):
        RelativeLabels.load(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("annotator", "message"),
    [(["a", None, "b"], r"column 'annotator': rows without a value"), (["a", "b", "c" * 500], "500 characters")],
)
def test_text_columns_that_are_not(tmp_path, annotator, message):
    import pyarrow as pa
    import pyarrow.parquet as pq

    make(annotator=np.array(["a", "b", "c"])).save(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    table = table.set_column(table.column_names.index("annotator"), "annotator", pa.array(annotator))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        RelativeLabels.load(tmp_path / "a.parquet")
