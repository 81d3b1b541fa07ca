"""JSON lines and crowd-kit's CSV of labels, joining labels, and the way out to every form."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfar.datasets import load_labels, save_labels
from nearfar.datasets.saving import label_form
from nearfar.errors import InputError
from nearfar.labels import NUMBER_COLUMNS, TEXT_COLUMNS, RelativeLabels, join_labels
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Limb, Skeleton, get_skeleton
from nearfar.tables import (
    iter_labels_jsonl,
    read_crowdkit_csv,
    read_labels_jsonl,
    write_crowdkit_csv,
    write_labels_jsonl,
)

LSP = get_skeleton("lsp14")
COLUMNS = ("pose", "pair", "relation", "unsure", *TEXT_COLUMNS, *NUMBER_COLUMNS)
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x00\u2028\u2029\x85"), max_size=8)


def some(kind="answers", m=40, seed=0, **changes):
    """Labels with every column; merged ones of different pairs."""
    rng = np.random.default_rng(seed)
    pair = rng.permuted(np.tile(np.arange(14), (m, 1)), axis=1)[:, :2]
    relation = rng.choice(np.array([-1, 0, 1], np.int8), m)
    fields = {
        "pose": np.arange(m) if kind == "merged" else rng.integers(0, 1 + m // 3, m),
        "pair": pair,
        "relation": relation,
        "annotator": rng.choice(["ann", "bob", "Jürgen, K."], m),
        "unsure": (relation == 0) & (rng.random(m) < 0.5),
        "probability": rng.random(m),
        "risk": rng.random(m) / 2,
        "response_time": np.where(rng.random(m) < 0.2, np.nan, rng.exponential(2, m)),
        "task": rng.choice(["1", "2"], m),
        "assignment": rng.choice(["a", ""], m),
        "status": rng.choice(["good", "flagged"], m),
        "source_id": np.array([f"{i}_{a},{b}" for i, (a, b) in enumerate(pair.tolist())], dtype=str),
    } | changes
    return RelativeLabels(LSP, kind=kind, provenance={"from": "a test", "n": 1}, **fields)


def same(read, written, columns=COLUMNS):
    assert (read.skeleton, read.kind) == (written.skeleton, written.kind)
    for name in columns:
        got, expected = getattr(read, name), getattr(written, name)
        assert (got is None) == (expected is None), name
        if expected is not None:
            np.testing.assert_array_equal(got, expected, err_msg=name)


@pytest.mark.parametrize("kind", ["answers", "merged"])
@given(st.integers(0, 60), st.integers(0, 2**32 - 1), st.integers(1, 70), st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_lines_there_and_back(tmp_path, kind, m, seed, rows, names):
    names = np.array(names)[np.arange(m) % len(names)]
    written = some(kind, m, seed, annotator=names, status=names)
    write_labels_jsonl(written, tmp_path / "a.jsonl")
    read = read_labels_jsonl(tmp_path / "a.jsonl")
    same(read, written, COLUMNS if m else ("pose", "pair", "relation"))
    assert read.provenance["n"] == 1
    parts = list(iter_labels_jsonl(tmp_path / "a.jsonl", rows=rows))
    assert [len(part) for part in parts] == ([rows] * (m // rows) + [m % rows] * (m % rows > 0) or [0])
    # What is written part by part is the same file.
    write_labels_jsonl((written.select(slice(at, at + rows)) for at in range(0, m or 1, rows)), tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


def test_one_line_is_one_label_and_more_can_be_appended(tmp_path):
    path = tmp_path / "a.jsonl"
    write_labels_jsonl(some(m=3, probability=None, risk=None), path)
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) == 4
    assert json.loads(lines[0])["schema"] == "nearfar-labels-1"
    assert set(json.loads(lines[1])) == {"joint_a", "joint_b", *COLUMNS} - {"pair", "probability", "risk"}
    with path.open("a") as file:
        file.write('\n{"pose": 7, "joint_a": "neck", "joint_b": "left_hip", "relation": 0, "annotator": "eve"}\n')
    read = load_labels(path)
    assert (len(read), read.pose[3], read.annotator[3]) == (4, 7, "eve")
    assert np.isnan(read.response_time[3])
    assert not read.unsure[3]


def test_json_lines_without_a_header(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"pose": 1, "joint_a": "neck", "joint_b": "left_hip", "relation": -1}\n')
    read = load_labels(path, skeleton="lsp14")
    assert (read.kind, read.pair.tolist()) == ("answers", [[LSP.index("neck"), LSP.index("left_hip")]])
    with pytest.raises(InputError, match="which skeleton"):
        load_labels(path)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (0, '{"schema": "nearfar-labels-9"}', "line 1: schema 'nearfar-labels-9', expected 'nearfar-labels-1'"),
        (0, '{"schema": "nearfar-labels-1"}', "line 1: skeleton"),
        (2, '{"pose": 1', r"line 3: not JSON, or cut off"),
        (2, '{"pose": 1}, {"pose": 2}', "line 3: not JSON"),
        (2, "7", "line 3: expected an object, got int"),
        (
            2,
            '{"pose": 1, "joint_a": "nose", "joint_b": "neck", "relation": 1}',
            "line 3, joint_a 'nose': skeleton 'lsp14'",
        ),
        (
            2,
            '{"pose": 1, "joint_a": "neck", "joint_b": "neck", "relation": 1}',
            "line 3, joint_b 'neck': a joint cannot",
        ),
        (
            2,
            '{"pose": 1, "joint_a": "neck", "joint_b": "left_hip", "relation": 3}',
            "line 3, relation '3': expected -1",
        ),
    ],
)
def test_what_is_wrong_in_json_lines_is_named(tmp_path, line, text, message):
    path = tmp_path / "a.jsonl"
    plain = dict.fromkeys(COLUMNS[3:])
    write_labels_jsonl(some(m=5, **plain), path)
    lines = path.read_text("utf-8").splitlines()
    lines[line] = text
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=message) as error:
        load_labels(path)
    assert str(error.value).startswith(f"{path}:")


def test_json_lines_hold_labels_of_one_kind(tmp_path):
    with pytest.raises(InputError, match="of different kinds"):
        write_labels_jsonl([some(), some("merged")], tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="no labels to write"):
        write_labels_jsonl([], tmp_path / "a.jsonl")
    assert not list(tmp_path.iterdir())


def test_crowdkit_tasks_bring_both_ways_round_together(tmp_path):
    neck, hip = LSP.index("neck"), LSP.index("left_hip")
    answers = RelativeLabels(
        LSP, np.array([17, 17, 17, 2]), np.array([[neck, hip], [hip, neck], [hip, neck], [0, 1]]),
        np.array([-1, 1, 0, 0], np.int8), annotator=np.array(["x", "y", "z", "z"]),
        unsure=np.array([False, False, True, False]),
    )  # fmt: skip
    write_crowdkit_csv(answers, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["task", "worker", "label", "asked_first"],
        ["17:left_hip:neck", "x", "second", "neck"],
        ["17:left_hip:neck", "y", "second", "left_hip"],
        ["17:left_hip:neck", "z", "unsure", "left_hip"],
        ["2:right_ankle:right_knee", "z", "same", "right_ankle"],
    ]


@given(st.integers(0, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_crowdkit_there_and_back(tmp_path, m, seed):
    answers = some(m=m, seed=seed)
    write_crowdkit_csv(answers, tmp_path / "a.csv")
    read = load_labels(tmp_path / "a.csv", skeleton="lsp14")
    same(read, answers, ("pose", "pair", "relation", "annotator"))
    np.testing.assert_array_equal(np.zeros(m, bool) if read.unsure is None else read.unsure, answers.unsure)
    merged = some("merged", m, seed)
    write_crowdkit_csv(merged, tmp_path / "b.csv")
    read = read_crowdkit_csv(tmp_path / "b.csv", skeleton=LSP)
    turned = merged.pair[:, 0] > merged.pair[:, 1]  # merged labels come back with the lower joint number first
    np.testing.assert_array_equal(read.pose, merged.pose)
    np.testing.assert_array_equal(read.relation, np.where(turned, -merged.relation, merged.relation))
    flipped = turned & (merged.relation != 0)
    np.testing.assert_allclose(read.probability, np.where(flipped, 1 - merged.probability, merged.probability))
    assert read.kind == "merged"


def test_crowdkit_by_hand_and_as_crowdkit_writes_it(tmp_path):
    path = tmp_path / "a.csv"
    for label in ("left_hip", "second"):
        path.write_text(f"worker,task,label\nw1,3:neck:left_hip,{label}\n")
        read = load_labels(path, skeleton="lsp14")
        assert (read.kind, read.relation.tolist(), read.annotator.tolist()) == ("answers", [1], ["w1"])
    assert read.pair.tolist() == [[LSP.index("neck"), LSP.index("left_hip")]]
    path.write_text("task,agg_label\n3:neck:left_hip,left_hip\n")
    read = load_labels(path, skeleton="lsp14")
    assert (read.kind, read.relation.tolist(), read.probability) == ("merged", [1], None)
    with pytest.raises(InputError, match="which skeleton"):
        load_labels(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("3:neck:left_hip,w,right_hip", "line 2, label 'right_hip': expected first, second, same, unsure, or one of"),
        ("3:neck:nose,w,neck", "line 2, task '3:neck:nose': expected two joints of skeleton 'lsp14'"),
        ("3:neck:neck,w,neck", "line 2, task '3:neck:neck': expected two joints"),
        ("x:neck:left_hip,w,neck", "line 2, task 'x:neck:left_hip': expected POSE:JOINT:JOINT"),
        ("-3:neck:left_hip,w,neck", "expected POSE:JOINT:JOINT"),
        ("cat,w,yes", "task 'cat': expected POSE:JOINT:JOINT, such as '17:left_wrist:right_knee'"),
        ("3:neck:left_hip,,neck", "line 2, worker '': expected who answered"),
        ("3:neck:left_hip,w", "line 2: expected 3 cells, got 2"),
    ],
)
def test_what_is_wrong_in_crowdkits_form_is_named(tmp_path, rows, message):
    path = tmp_path / "a.csv"
    path.write_text(f"task,worker,label\n{rows}\n")
    with pytest.raises(InputError, match=message) as error:
        load_labels(path, skeleton="lsp14")
    assert str(error.value).startswith(f"{path}:")


def test_what_crowdkits_form_has_no_place_for(tmp_path):
    with pytest.raises(InputError, match="names the worker of each answer"):
        write_crowdkit_csv(some(annotator=None), tmp_path / "a.csv")
    with pytest.raises(InputError, match="expected merged labels with probability"):
        write_crowdkit_csv(some("merged", probability=None), tmp_path / "a.csv")
    limbs = (Limb(0, 1),)
    for joints in (("same", "b"), ("a", "unsure"), ("a:b", "c")):
        two = Skeleton("two", joints, joints[0], limbs, ())
        labels = RelativeLabels(two, np.array([0]), np.array([[0, 1]]), np.array([1]), annotator=np.array(["w"]))
        with pytest.raises(InputError, match="such a name has no place there"):
            write_crowdkit_csv(labels, tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


def test_crowdkit_itself_reads_it(tmp_path):
    aggregation = pytest.importorskip("crowdkit.aggregation", reason="needs crowd-kit (the dependency group `oracle`)")
    pandas = pytest.importorskip("pandas", reason="needs crowd-kit (the dependency group `oracle`)")
    rng = np.random.default_rng(0)
    pose = np.repeat(np.arange(30), 5)
    answers = RelativeLabels(
        LSP, pose, np.tile([[1, 12]], (150, 1)), np.where(rng.random(150) < 0.8, 1, -1).astype(np.int8),
        annotator=np.tile(["a", "b", "c", "d", "e"], 30),
    )  # fmt: skip
    write_crowdkit_csv(answers, tmp_path / "a.csv")
    merged = aggregation.MajorityVote().fit_predict(pandas.read_csv(tmp_path / "a.csv"))
    merged.to_csv(tmp_path / "b.csv")
    read = load_labels(tmp_path / "b.csv", skeleton="lsp14")
    assert (read.kind, len(read)) == ("merged", 30)
    votes = np.bincount(pose, answers.relation)
    np.testing.assert_array_equal(read.relation[np.argsort(read.pose)], np.sign(votes))


def test_joining(tmp_path):
    first, second = some(m=4), some(m=3, seed=1, unsure=None, response_time=None, task=None)
    joined = join_labels([first, second, some(m=0, annotator=None)], {"files": 2})
    assert (len(joined), joined.provenance) == (7, {"files": 2})
    same(joined.select(slice(4)), first)
    assert joined.unsure[4:].tolist() == [False] * 3
    assert np.isnan(joined.response_time[4:]).all()
    assert joined.task[4:].tolist() == [""] * 3
    for other, message in (
        (some("merged"), "some are raw answers, and some are merged"),
        (some(annotator=None), "only some of them have annotator"),
        (some(risk=None), "only some of them have risk"),
        (dataclasses.replace(some(), skeleton=get_skeleton("coco17")), "different skeletons: coco17, lsp14"),
    ):
        with pytest.raises(InputError, match=message):
            join_labels([first, other])


@pytest.mark.parametrize("form", ["parquet", "csv", "json", "jsonl", "crowd-kit", "relative-depth-lsp"])
def test_what_is_saved_is_loaded(tmp_path, form):
    labels = some("merged", relation=np.where(np.arange(40) % 2, 1, -1).astype(np.int8), unsure=None)
    poses = PoseSet(LSP, keypoints=np.ones((40, 14, 2)), sequence=Category.of([f"{i}.jpg" for i in range(40)]))
    path = tmp_path / "labels"
    save_labels(labels, path, form=form, poses=poses)
    read = load_labels(path, skeleton="lsp14" if form in ("crowd-kit", "csv") else None, poses=poses)
    assert (len(read), read.kind, read.skeleton) == (40, "merged", LSP)
    np.testing.assert_array_equal(read.pose, labels.pose)
    if form != "crowd-kit":
        same(read, labels, ("pair", "relation", "probability", "risk", "source_id"))


def test_forms_by_name():
    assert [label_form(f"a.{suffix}") for suffix in ("parquet", "CSV", "json", "jsonl")] == [
        "parquet",
        "csv",
        "json",
        "jsonl",
    ]
    assert label_form("a.csv", "crowd-kit") == "crowd-kit"
    with pytest.raises(InputError, match=r"a\.txt: expected a name ending in \.parquet, \.csv, \.json, \.jsonl"):
        label_form("a.txt")
    with pytest.raises(InputError, match="no form 'xml'"):
        label_form("a.txt", "xml")
