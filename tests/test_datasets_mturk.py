"""The study's raw answers, pickled as its scripts did."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsp_samples import JOINT_NAMES, merged, study, study_images, write_merged, write_study

from nearfar.datasets import load_labels, load_poses
from nearfar.datasets.mturk import STUDY_JOINTS, joint_numbers, load_mturk, load_study, load_study_images
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton

LSP, H36M = get_skeleton("lsp14"), get_skeleton("h36m17")


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", ["lsp", "human"])
def test_the_answers_are_what_the_file_says(tmp_path, kind, protocol):
    data = study(kind, images=(0, 7, 1999))
    labels = load_mturk(write_study(tmp_path / "a.pkl", data, protocol))
    skeleton = LSP if kind == "lsp" else H36M
    assert (labels.skeleton, labels.kind) == (skeleton, "answers")
    names = [name.replace("head", "head_top") for name in STUDY_JOINTS]
    i = 0
    for hit, entry in enumerate(data["_all_assignments"]):
        for trial in entry["trials"]:
            if trial["img_id"] == 279782:
                continue
            for key, answer in trial["depth"]["keypoint_comparisons_res"].items():
                a, b = map(int, key.split(","))
                assert [skeleton.joints[j] for j in labels.pair[i]] == [names[a], names[b]]
                assert labels.relation[i] == answer  # -1: the first is nearer, which is our -1
                assert labels.unsure[i] == (key in trial["depth"]["keypoint_comparisons_unsure"])
                assert labels.annotator[i] == entry["worker_id"]
                assert labels.task[i] == str(17 + hit)
                assert labels.assignment[i] == f"3AQF{hit}"
                assert labels.status[i] == ("good", "flagged", "rejected")[hit]
                assert labels.response_time[i] == 9 + hit / 1000
                assert labels.source_id[i] == f"{trial['img_id']}_{key}"
                row = trial["img_id"] if kind == "lsp" else (0, 7, 1999).index(trial["img_id"])
                assert labels.pose[i] == row
                i += 1
    assert i == len(labels) == 45
    assert 0 < labels.unsure.sum() < (labels.relation == 0).sum()  # unsure is not the same as equally far
    assert "of the image" in labels.provenance["response_time"]
    assert ("image_ids" in labels.provenance) == (kind == "human")


def test_assignments(tmp_path):
    study_read = load_study(write_study(tmp_path / "a.pkl", study("human")))
    assert not study_read.of_lsp
    first, second, third = study_read.assignments
    assert (first.annotator, first.status, first.experience, first.seconds) == ("A1", "good", 0, 61.5)
    assert (second.status, second.instruction_seconds, second.rating) == ("flagged", 31.0, 9)
    assert (third.status, third.rating, third.comment) == ("rejected", -1, "Pretty fun! é")
    assert len(first.trials) == 6  # with the tutorial


def test_experts_answers_without_lists_of_status(tmp_path):
    data = {"_all_assignments": study()["_all_assignments"]}
    labels = load_mturk(write_study(tmp_path / "a.pkl", data))
    assert set(labels.status) == {""}


def test_rows_and_joints_as_the_caller_says(tmp_path):
    path = write_study(tmp_path / "a.pkl", study("human", images=(7, 12)))
    labels = load_mturk(path, images=[12, 5, 7], joint_names=STUDY_JOINTS[::-1])
    assert set(labels.pose) == {0, 2}
    assert all(labels.source_id[i].startswith(("12_", "7_")[labels.pose[i] // 2]) for i in range(len(labels)))
    own = load_mturk(path)
    number = joint_numbers(STUDY_JOINTS, H36M, "")
    np.testing.assert_array_equal(np.argsort(number)[own.pair], 16 - np.argsort(number)[labels.pair])
    with pytest.raises(InputError, match=r"a\.pkl: answer '7_.*': not one of the 1 images"):
        load_mturk(path, images=[12])
    with pytest.raises(InputError, match="expected the joints of 'h36m17' in any order"):
        load_mturk(path, joint_names=JOINT_NAMES)


def test_answers_and_merged_labels_name_the_same_pairs(tmp_path):
    """`source_id` joins them, and the joints agree: what the merged file calls 0_3,5 is the crowd's 0_3,5."""
    data = merged()
    anns = {ann["original_id"]: ann for image in data["images"] for ann in image["anns"]}
    answers = study(images=(0, 1))
    for entry in answers["_all_assignments"]:
        for trial in entry["trials"]:
            image = trial["img_id"]
            keys = [key.split("_")[1] for key in anns if key.startswith(f"{image}_")]
            trial["depth"] = {"keypoint_comparisons_res": dict.fromkeys(keys, 1), "keypoint_comparisons_unsure": []}
    crowd = load_mturk(write_study(tmp_path / "a.pkl", answers))
    labels = load_labels(write_merged(tmp_path / "a.json", data))
    of = {name: i for i, name in enumerate(labels.source_id.tolist())}
    for i, name in enumerate(crowd.source_id.tolist()):
        assert crowd.pair[i].tolist() == labels.pair[of[name]].tolist()
        assert crowd.pose[i] == labels.pose[of[name]]


def test_the_door_opens_them(tmp_path):
    for protocol in (0, 1, 2, 4):
        path = write_study(tmp_path / "named.otherwise", study(), protocol)
        assert len(load_labels(path)) == 75
        with pytest.raises(InputError, match="a Python pickle, perhaps of answers; known keypoint files are"):
            load_poses(path)
    poses = load_poses(write_merged(tmp_path / "a.json"))
    assert len(load_labels(path, poses=poses)) == 75
    with pytest.raises(InputError, match=r"pose 3: the pose set has rows 0\.\.2"):
        load_labels(path, poses=poses.select(slice(3)))


WHAT_PYTHON_2_WROTE = (
    # pickle.dumps({'_all_assignments': [{'worker_id': u'A1', 'assignment_id': u'3A', 'hit_id': 4, 'worker_exp': 0,
    #   'response_time': 61500, 'hit_it': 31000, 'hit_comment': u'', 'gui_rating': -1, 'lsp_subj_ids': [279],
    #   'trials': [{'img_id': 279, 'lsp_subj_id': 279, 'response_time': 9000, 'depth':
    #   {u'keypoint_comparisons_res': {u'3,5': -1}, u'keypoint_comparisons_unsure': []}}]}], '_good_assignments': []})
    b"(dp0\nS'_good_assignments'\np1\n(lp2\nsS'_all_assignments'\np3\n(lp4\n(dp5\nS'trials'\np6\n(lp7\n"
    b"(dp8\nS'img_id'\np9\nI279\nsS'depth'\np10\n(dp11\nVkeypoint_comparisons_unsure\np12\n(lp13\n"
    b"sVkeypoint_comparisons_res\np14\n(dp15\nV3,5\np16\nI-1\nsssS'lsp_subj_id'\np17\nI279\n"
    b"sS'response_time'\np18\nI9000\nsasS'worker_id'\np19\nVA1\np20\nsS'worker_exp'\np21\nI0\nsS'hit_id'\n"
    b"p22\nI4\nsS'assignment_id'\np23\nV3A\np24\nsS'gui_rating'\np25\nI-1\nsS'hit_comment'\np26\nV\np27\n"
    b"sS'hit_it'\np28\nI31000\nsg18\nI61500\nsS'lsp_subj_ids'\np29\n(lp30\nI279\nasas."
)


def test_what_python_2_wrote(tmp_path):
    (tmp_path / "a.pkl").write_bytes(WHAT_PYTHON_2_WROTE)
    labels = load_labels(tmp_path / "a.pkl")
    assert labels.source_id.tolist() == ["279_3,5"]
    assert [LSP.joints[j] for j in labels.pair[0]] == ["right_shoulder", "right_elbow"]
    assert (labels.pose[0], labels.relation[0], labels.response_time[0]) == (279, -1, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("_all_assignments"), "expected a dict with a list '_all_assignments'"),
        (lambda d: d["_all_assignments"].clear(), "no assignments in it"),
        (lambda d: d.update(_good_assignments=5), "_good_assignments: expected a list"),
        (lambda d: d["_good_assignments"].append("x"), r"_good_assignments\[1\]: expected a dict, got 'x'"),
        (lambda d: d["_all_assignments"].append(3), "assignment 3: expected a dict, got 3"),
        (lambda d: d["_all_assignments"][0].pop("lsp_subj_ids"), "assignment 0: expected lsp_subj_ids or human_subj_ids"),
        (lambda d: d["_all_assignments"][1].update(worker_id=None), "worker_id: expected a name or number, got None"),
        (lambda d: d["_all_assignments"][1].update(worker_id="A" * 65), "worker_id: expected a name or number"),
        (lambda d: d["_all_assignments"][1].update(trials={}), "assignment 1: trials: expected a list, got {}"),
        (lambda d: d["_all_assignments"][1].update(response_time=None), "assignment 1: response_time: expected a number"),
        (lambda d: d["_all_assignments"][1].update(hit_it=-1), "assignment 1: hit_it: expected a number from 0, got -1"),
        (lambda d: d["_all_assignments"][1]["trials"].append([]), r"assignment 1, trial 5: not a trial"),
        (lambda d: _trial(d).pop("depth"), "assignment 2, trial 4: not a trial .*depth"),
        (lambda d: _trial(d).update(img_id="4"), "trial 4: img_id: expected a number, got '4'"),
        (lambda d: _trial(d).update(img_id=2000), r"answer '2000_.*': not one of the 2000 images"),
        (lambda d: _trial(d).update(response_time=float("nan")), "trial 4: response_time: expected a number from 0"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_unsure=3), "keypoint_comparisons_unsure: expected a list"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_res=[]), "trial 4: not a trial"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_res={"1,2": 2}), "pair '1,2': expected -1, 0 or 1"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_res={"1,2": True}), "pair '1,2': expected -1, 0 or 1"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_res={"1,1": 1}), "expected two different joints of 0"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_res={"1,14": 1}), r"two different joints of 0\.\.13"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_res={"1": 1}), "as 'i,j', got '1'"),
        (lambda d: _trial(d)["depth"].update(keypoint_comparisons_res={4: 1}), "as 'i,j', got 4"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, change, message):
    data = copy.deepcopy(study())
    change(data)
    path = write_study(tmp_path / "a.pkl", data)
    with pytest.raises(InputError, match=message) as error:
        load_mturk(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def _trial(data):
    return data["_all_assignments"][2]["trials"][4]


def test_only_practice_is_no_answer(tmp_path):
    path = write_study(tmp_path / "a.pkl", study("human", images=(), workers=("A1",)))
    with pytest.raises(InputError, match="no answers in it"):
        load_mturk(path)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1, 2], 2))
    with pytest.raises(InputError, match="expected a dict with a list '_all_assignments', got list"):
        load_mturk(path)


def test_a_pickle_runs_nothing(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'was_run'}",)

    for protocol in (0, 2, 4):
        path = write_study(tmp_path / "a.pkl", study() | {"_extra": Attack()}, protocol)
        with pytest.raises(InputError, match=r"asks for 'posix\.system'"):
            load_labels(path)
    assert not (tmp_path / "was_run").exists()


def test_study_images(tmp_path):
    (tmp_path / "gt.json").write_text(json.dumps(study_images()))
    images = load_study_images(tmp_path / "gt.json")
    assert images.ids.tolist() == [305_001, 12, 7]
    assert images.joint_names == STUDY_JOINTS
    poses = images.poses
    assert poses.sequence.values().tolist() == ["S1/Photo 1.54138969", "S5/Eating.55011271", "S9/WalkDog.60457274"]
    assert poses.action.values().tolist() == ["Photo", "Eating", "WalkDog"]
    assert poses.frame_index.tolist() == [0, 100, 200]
    assert poses.image_size[0].tolist() == [1000, 1002]
    points = {entry["id"]: entry["kpts_2d"] for entry in study_images()["annotations"]}
    right_elbow = STUDY_JOINTS.index("right_elbow")
    expected = points[12][2 * right_elbow : 2 * right_elbow + 2]
    np.testing.assert_allclose(poses.keypoints[1, H36M.index("right_elbow")], expected, rtol=1e-6)
    np.testing.assert_allclose(poses.keypoints[1, H36M.index("head_top")], points[12][:2], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("pose"), "not the images of the study"),
        (lambda d: d["pose"][0]["keypoints"].pop(), "keypoints: expected the joints of 'h36m17'"),
        (lambda d: d["annotations"].pop(), r"image 305001 has no annotation \(1 such images\)"),
        (lambda d: d["images"][1].pop("video"), "image 1: no 'video'"),
        (
            lambda d: d["images"][1].update(video="Dancing.5.mp4"),
            "image 1: no action of Human3.6M is called 'Dancing'",
        ),
        (lambda d: d["images"][1].update(frame="x"), "image 1: frame: expected numbers, got 'x'"),
        (
            lambda d: d["annotations"][0].update(kpts_2d=[1.0] * 33),
            "annotation 0: kpts_2d: expected a list of 34 numbers",
        ),
        (lambda d: d["annotations"][0].update(kpts_2d=[1e9] * 34), "is no position"),
    ],
)
def test_bad_study_images(tmp_path, change, message):
    data = study_images()
    change(data)
    (tmp_path / "gt.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=message):
        load_study_images(tmp_path / "gt.json")


@given(st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files(tmp_path, draw):
    data = bytearray(pickle.dumps(study(images=(0, 1), workers=("A1",)), draw.draw(st.sampled_from([0, 2, 4]))))
    for _ in range(draw.draw(st.integers(0, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    (tmp_path / "a.pkl").write_bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))])
    with contextlib.suppress(InputError):
        load_mturk(tmp_path / "a.pkl")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 30), st.just(2**63), st.floats(), st.text(max_size=3), st.just([]), st.just({})
)  # fmt: skip


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_anywhere(tmp_path, draw):
    data = study(images=(0, 1), workers=("A1", "A2"))
    entry = data["_all_assignments"][draw.draw(st.integers(0, 1))]
    trial = entry["trials"][0]
    targets = [data, entry, trial, trial["depth"], trial["depth"]["keypoint_comparisons_res"]]
    target = draw.draw(st.sampled_from(targets))
    target[draw.draw(st.sampled_from(sorted(target)))] = draw.draw(VALUES)
    write_study(tmp_path / "a.pkl", data, 4)
    with contextlib.suppress(InputError):
        load_mturk(tmp_path / "a.pkl")


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_anywhere_in_study_images(tmp_path, draw):
    data = study_images()
    target = draw.draw(
        st.sampled_from(
            [data, data["pose"][0], data["images"][1], data["annotations"][1], data["annotations"][0]["kpts_2d"]]
        )
    )
    key = draw.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(34)))
    target[key] = draw.draw(VALUES)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with contextlib.suppress(InputError):
        load_study_images(tmp_path / "a.json")
