"""Studies of answers: intervals, kappas, accuracy by everything, tilt, agreement, figures, the command."""

from __future__ import annotations

import dataclasses
import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nearfar.answer_noise import AnswerNoise
from nearfar.camera import world_to_camera
from nearfar.cli import main
from nearfar.consensus import Majority, SimulatedCrowd, SkillModel, merge, simulate_answers
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import Category, PoseSet
from nearfar.reproduce.fig2 import fig2
from nearfar.reproduce.fig3 import fig3
from nearfar.skeleton import get_skeleton
from nearfar.study import (
    accuracy_by_difference,
    agreement,
    by_risk,
    cohen_kappa,
    fleiss_kappa,
    level_depth,
    load_rotations,
    report_markdown,
    rotations_from_world,
    study_answers,
    wilson_interval,
)
from nearfar.study.agreement import relations_of
from nearfar.study.figures import merged_labels_figure, response_time_figure, user_study_figure
from nearfar.viewing.figures import save_figure

H36M = get_skeleton("h36m17")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "study.md"


def some_poses(n=60, seed=0, **changes):
    rng = np.random.default_rng(seed)
    joints = rng.normal(size=(n, 17, 3)) * 250 + [0, 0, 4000]
    fields = {
        "keypoints": joints[..., :2] / joints[..., 2:] * 1000 + 500,
        "joints": joints,
        "sequence": Category.of([f"clip {i % 3}" for i in range(n)]),
        "frame_index": np.arange(n),
    }
    return PoseSet(H36M, **(fields | changes))


def crowd(poses, seed=1, **changes):
    rng = np.random.default_rng(seed)
    settings_ = SimulatedCrowd(**({"workers": 8, "spread": 0.0, "spammers": 0.0} | changes))
    return simulate_answers(poses, random_pairs(poses.skeleton, len(poses), 5, rng), settings_, rng)


@pytest.fixture(scope="module")
def studied():
    poses = some_poses()
    answers = crowd(poses)
    times = np.random.default_rng(2).lognormal(1, 0.5, len(answers))
    times[:10] = np.nan
    answers = dataclasses.replace(answers, response_time=times)
    rotations = np.broadcast_to(camera(0.8, 1.0), (60, 3, 3))
    experts = crowd(poses.select(slice(0, 20)), seed=5, workers=3, answers_per_pair=3, noise=AnswerNoise("probit", 60))
    report = study_answers(answers, poses, rotations=rotations, experts=experts, bootstrap=20)
    return poses, answers, experts, report


def camera(tilt, heading, roll=0.0):
    """World-to-camera rotation of a camera that looks down by `tilt`."""
    c, s = np.cos(heading), np.sin(heading)
    level = np.array([[s, -c, 0], [0, 0, -1], [c, s, 0]])  # right, down, forward in the world
    c, s = np.cos(tilt), np.sin(tilt)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(roll), np.sin(roll)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ about_x @ level


def test_wilson_interval():
    # Newcombe (1998), method 3: 81/263, 15/148, 0/20, 1/29.
    low, high = wilson_interval([81, 15, 0, 1], [263, 148, 20, 29])
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0.0000, 0.0061], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)
    assert np.isnan(wilson_interval(0, 0)).all()


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_wilson_intervals_hold_the_share(total, part):
    right = round(part * total)
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total <= high <= 1


def test_accuracy_by_difference():
    table = accuracy_by_difference([10, -60, 70, 300, 90], [True, True, False, True, True], (0, 50, 100, 200))
    assert [(r["lower_mm"], r["upper_mm"], r["answers"]) for r in table] == [
        (0, 50, 1), (50, 100, 3), (100, 200, 0), (200, None, 1),
    ]  # fmt: skip
    assert table[1]["accuracy"] == pytest.approx(2 / 3)
    assert table[1]["mean_mm"] == pytest.approx(220 / 3)
    assert table[2]["accuracy"] is table[2]["interval"] is table[2]["mean_mm"] is None
    with pytest.raises(InputError, match="differences, but"):
        accuracy_by_difference([1, 2], [True])


def test_kappas():
    # Cohen's kappa of the table [[20, 5], [10, 15]] is 0.4.
    first, second = np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa(first, first) == 1
    assert np.isnan(cohen_kappa([], []))
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))  # nothing beyond chance can be seen
    # Fleiss (1971), the example with 10 subjects, 14 raters and 5 categories: 0.210.
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)
    assert np.isnan(fleiss_kappa([[1, 0]]))


@pytest.mark.parametrize(("tilt", "heading", "roll"), list(product([-0.4, 0.3], [0.2, 2.5], [0, 0.1])))
def test_level_depth_is_depth_along_the_ground(tilt, heading, roll):
    world = np.random.default_rng(0).normal(size=(4, 17, 3)) * 300
    rotation = camera(tilt, heading, roll)
    assert np.linalg.det(rotation) == pytest.approx(1)
    seen = world_to_camera(world, rotation, np.array([-4000.0, 100, 1500]))
    ground = world[..., :2] @ [np.cos(heading), np.sin(heading)]
    depth = level_depth(seen, rotation)
    np.testing.assert_allclose(depth - depth[:, :1], ground - ground[:, :1], atol=1e-9)
    upright = level_depth(world_to_camera(world, camera(0, heading), np.zeros(3)), camera(0, heading))
    np.testing.assert_allclose(upright, world_to_camera(world, camera(0, heading), np.zeros(3))[..., 2], atol=1e-9)


def test_rotations_are_found_from_world_poses():
    rng = np.random.default_rng(0)
    world = some_poses(5, frame="world", keypoints=None)
    rotations = np.stack([camera(*rng.uniform(-0.5, 0.5, 3)) for _ in range(5)])
    seen = dataclasses.replace(
        world, joints=world_to_camera(world.joints, rotations, rng.normal(size=(5, 3))), frame="root"
    )
    np.testing.assert_allclose(rotations_from_world(seen, world), rotations, atol=1e-6)
    with pytest.raises(InputError, match="as many world-frame poses"):
        rotations_from_world(seen, world.select(slice(0, 4)))
    with pytest.raises(InputError, match="are not the same poses"):
        rotations_from_world(seen.select(slice(None, None, -1)), world)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"R": np.eye(3)}, "expected an array 'rotation'"),
        ({"rotation": np.tile(np.eye(3), (4, 1, 1))}, r"expected \(5, 3, 3\) or \(3, 3\) numbers, got"),
        ({"rotation": np.array(["a"] * 9).reshape(3, 3)}, "numbers, got <U1"),
        ({"rotation": np.diag([1.0, 1, -1])}, "row 0 is no rotation"),
        ({"rotation": np.full((5, 3, 3), np.nan)}, r"row 0 is no rotation \(5 such rows\)"),
    ],
)
def test_rotation_files_are_checked(tmp_path, arrays, message):
    path = tmp_path / "tilt.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message) as error:
        load_rotations(path, 5)
    assert str(path) in str(error.value)
    np.savez(path, rotation=camera(0.3, 1))
    assert load_rotations(path, 5).shape == (5, 3, 3)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError):
        load_rotations(path, 5)


def test_a_camera_that_looks_straight_down_has_no_level_counterpart():
    with pytest.raises(InputError, match="row 0: the camera looks straight up or down"):
        level_depth(np.zeros((1, 17, 3)), camera(np.pi / 2, 0))


def test_the_report_counts_what_was_answered(studied):
    poses, answers, _, report = studied
    depth = poses.joints[..., 2]
    difference = depth[answers.pose, answers.pair[:, 0]] - depth[answers.pose, answers.pair[:, 1]]
    right = answers.relation * difference > 0
    assert report["single"]["accuracy"] == pytest.approx(right.mean())
    assert report["answers"] == len(answers) == 60 * 5 * 5
    assert (report["pairs"], report["poses"], report["annotators"]) == (300, 60, 8)
    for record in report["per_annotator"]:
        own = answers.annotator == record["annotator"]
        assert record["accuracy"] == pytest.approx(right[own].mean())
        assert record["counted"] == own.sum()
    joints = report["per_pair"]["joints"]
    a, b = joints.index("neck"), joints.index("left_wrist")
    own = (np.sort(answers.pair, axis=1) == sorted((a, b))).all(axis=1)
    assert report["per_pair"]["answers"][a][b] == report["per_pair"]["answers"][b][a] == own.sum()
    hardest = report["per_pose"]["hardest"][0]
    of_pose = right[answers.pose == hardest["pose"]]
    assert hardest["accuracy"] == pytest.approx(of_pose.mean())
    assert hardest["accuracy"] == min(right[answers.pose == p].mean() for p in range(60))
    assert hardest["sequence"] == f"clip {hardest['pose'] % 3}"
    by_bins = sum(record["answers"] for record in report["single"]["by_difference"])
    assert by_bins == report["single"]["answers"] == len(answers)
    for name, model in (("majority", Majority()), ("skill", SkillModel())):
        labels = merge(answers, model).labels
        truth = np.sign(depth[labels.pose, labels.pair[:, 0]] - depth[labels.pose, labels.pair[:, 1]])
        decided = labels.relation != 0
        assert report["merged"][name]["accuracy"] == pytest.approx((labels.relation == truth)[decided].mean())
    assert sum(group["labels"] for group in report["easy_to_hard"]["groups"]) == 300
    assert report["response_time"]["answers"] == len(answers) - 10
    json.dumps(report, allow_nan=False)


def test_undoing_the_tilt_measures_against_the_ground(studied):
    poses, answers, _, report = studied
    ground = level_depth(poses.joints, camera(0.8, 1.0))
    difference = ground[answers.pose, answers.pair[:, 0]] - ground[answers.pose, answers.pair[:, 1]]
    undone = report["tilt_undone"]["single"]["accuracy"]
    assert undone == pytest.approx((answers.relation * difference > 0).mean())
    assert undone < report["single"]["accuracy"]  # this crowd judges along the optical axis
    level = study_answers(answers, poses, rotations=camera(0, 1.0), bootstrap=0)
    assert level["tilt_undone"]["single"] == level["single"]


def test_unsure_answers_and_missing_joints_are_counted_and_left_out():
    poses = some_poses(10)
    answers = crowd(poses)
    relation = answers.relation.copy()
    relation[::5] = 0
    poses.joints[3, :, 2] = np.nan
    poses.joints[4] = poses.joints[4, :1]  # all joints equally far
    report = study_answers(dataclasses.replace(answers, relation=relation), poses, bootstrap=0)
    outside = np.isin(answers.pose, [3, 4])
    assert report["unsure"] == (relation == 0).sum()
    assert report["without_truth"] == outside.sum()
    assert report["single"]["answers"] == ((relation != 0) & ~outside).sum()
    json.dumps(report, allow_nan=False)


def test_nobody_needs_to_be_named():
    poses = some_poses(10)
    report = study_answers(dataclasses.replace(crowd(poses), annotator=None), poses, bootstrap=5)
    assert report["annotators"] is report["per_annotator"] is report["response_time"] is None
    assert list(report["merged"]) == ["majority"]
    assert "annotator" not in report_markdown(report)
    user_study_figure(report)


def test_what_cannot_be_studied_is_refused():
    poses = some_poses(10)
    answers = crowd(poses)
    with pytest.raises(InputError, match="needs poses with joints in the camera's frame"):
        study_answers(answers, dataclasses.replace(poses, frame="world"))
    with pytest.raises(InputError, match=r"rows 0\.\.4"):
        study_answers(answers, poses.select(slice(0, 5)))
    with pytest.raises(InputError, match="merged already"):
        study_answers(merge(answers, SkillModel()).labels, poses)
    with pytest.raises(InputError, match="no answer about two joints of known"):
        study_answers(dataclasses.replace(answers, relation=np.zeros_like(answers.relation)), poses)


@settings(max_examples=40)
@given(hnp.arrays(np.int8, (12, 3), elements=st.sampled_from([-1, 0, 1])), st.randoms(use_true_random=False))
def test_agreement_is_counted_pair_by_pair(said, random):
    """Against counting by hand; nor does it matter which way round a pair was asked."""
    rows, raters = np.divmod(np.arange(36), 3)
    turned = np.array([random.random() < 0.5 for _ in range(36)])
    pair = np.where(turned[:, None], [2, 1], [1, 2])
    experts = RelativeLabels(
        H36M, rows, pair, np.where(turned, -said.ravel(), said.ravel()), annotator=np.char.mod("e%d", raters)
    )
    result = agreement(experts)
    assert result["raters"] == ["e0", "e1", "e2"]
    for i, j in product(range(3), range(3)):
        if i == j:
            assert result["agreement"][i][j] is None
            continue
        both = (said[:, i] != 0) & (said[:, j] != 0)
        alike = (said[:, i] == said[:, j])[both]
        assert result["agreement"][i][j]["answers"] == both.sum()
        assert result["agreement"][i][j]["accuracy"] == (pytest.approx(alike.mean()) if both.any() else None)
    json.dumps(result, allow_nan=False)


def test_the_crowd_is_one_rater_more(studied):
    _, answers, experts, report = studied
    result = report["experts"]
    assert result["raters"] == ["worker 1", "worker 2", "worker 3", "crowd"]
    merged = merge(answers, SkillModel()).labels
    own = experts.annotator == "worker 2"
    said = experts.select(own)
    crowd_said = relations_of(merged, said.pose, said.pair)
    assert (crowd_said != 0).any()
    both = crowd_said != 0
    assert result["agreement"][1][3]["accuracy"] == pytest.approx((crowd_said == said.relation)[both].mean())
    assert result["crowd_with_agreed_experts"]["accuracy"] >= result["agreement"][1][3]["accuracy"]
    with pytest.raises(InputError, match="expert answers need annotators"):
        agreement(dataclasses.replace(experts, annotator=None))
    with pytest.raises(InputError, match="must be merged"):
        agreement(experts, answers)


def test_relations_of_other_pairs():
    labels = RelativeLabels(
        H36M, np.array([1, 1, 0]), np.array([[2, 5], [7, 3], [2, 5]]), np.array([1, 1, -1], np.int8), kind="merged"
    )
    pose, pair = np.array([0, 1, 1, 1, 9]), np.array([[5, 2], [2, 5], [3, 7], [2, 6], [2, 5]])
    assert relations_of(labels, pose, pair).tolist() == [1, 1, -1, 0, 0]
    assert relations_of(labels.select(slice(0, 0)), pose, pair).tolist() == [0] * 5


def test_by_risk_goes_from_easy_to_hard():
    n = 1000
    risk = np.random.default_rng(0).uniform(0, 0.5, n)
    labels = RelativeLabels(
        H36M, np.arange(n), np.tile([1, 2], (n, 1)), np.ones(n, np.int8), probability=1 - risk, kind="merged"
    )
    result = by_risk(labels, (np.random.default_rng(1).random(n) > risk).astype(float))
    assert result["finished"] == (risk < 0.02).mean()
    means = [group["mean_risk"] for group in result["groups"]]
    assert means == sorted(means)
    for group in result["groups"]:
        low, high = group["interval"]
        assert low - 0.05 < 1 - group["mean_risk"] < high + 0.05
    assert by_risk(labels, np.full(n, np.nan))["groups"][0]["accuracy"] is None
    with pytest.raises(InputError, match="neither risk nor probability"):
        by_risk(dataclasses.replace(labels, probability=None), np.full(n, np.nan))


def test_figures_are_drawn(tmp_path, studied):
    poses, answers, _, report = studied
    labels = merge(answers, SkillModel()).labels
    save_figure(user_study_figure(report, "a study"), tmp_path / "study.png")
    save_figure(response_time_figure(report, "times"), tmp_path / "times.svg")
    save_figure(
        merged_labels_figure({**report, "compared_with": "in the true order"}, labels, poses), tmp_path / "m.pdf"
    )
    merged_labels_figure({**report, "experts": None}, labels, poses, examples=3)
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("study.png", "times.svg", "m.pdf"))
    with pytest.raises(InputError, match="no response times"):
        response_time_figure({**report, "response_time": None})
    with pytest.raises(InputError, match="needs poses with keypoints"):
        merged_labels_figure(report, labels, dataclasses.replace(poses, keypoints=None))


def test_the_command(tmp_path, capsys, studied):
    poses, answers, experts, _ = studied
    poses.save(tmp_path / "poses.npz")
    answers.save(tmp_path / "answers.parquet")
    experts.save(tmp_path / "experts.parquet")
    np.savez(tmp_path / "tilt.npz", rotation=camera(0.2, 0.4))
    arguments = ["study", str(tmp_path / "answers.parquet"), "--poses", str(tmp_path / "poses.npz"), "--bootstrap", "5"]
    arguments += ["--experts", str(tmp_path / "experts.parquet"), "--tilt", str(tmp_path / "tilt.npz")]
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out)]) == 0
    names = {"study.json", "study.md", "study.png", "study.pdf", "response_time.png", "response_time.pdf", "noise.json"}
    assert {path.name for path in out.iterdir()} == names
    report = json.loads((out / "study.json").read_text())
    assert report["tilt_undone"]["single"]["answers"] == len(answers)
    assert AnswerNoise.load(out / "noise.json") == AnswerNoise(**report["noise"]["fits"][0]["noise"])
    assert capsys.readouterr().out == (out / "study.md").read_text()
    np.savez(tmp_path / "tilt.npz", rotation=np.zeros((2, 3, 3)))
    assert main([*arguments, "--out", str(tmp_path / "other")]) == 2
    assert re.fullmatch(r"nearfar: error: .*tilt\.npz: rotations: expected .*\n", capsys.readouterr().err)
    assert not (tmp_path / "other").exists()


def test_the_page_names_every_part_of_the_report(studied):
    page = PAGE.read_text("utf-8")
    counts = {"answers", "unsure", "without_truth", "poses", "pairs", "annotators"}
    assert not [key for key in studied[3] if key not in counts and f"| `{key}` |" not in page]


@pytest.fixture
def unsaved(monkeypatch):
    """Figures are drawn, but not written, which takes the most time."""
    monkeypatch.setattr("nearfar.reproduce.writing.save_figure", lambda *_: None)


def test_figures_2_and_3_of_a_simulated_crowd(tmp_path, studied):
    poses = studied[0]
    for name, result in (("fig2", fig2(poses, None, tmp_path)), ("fig3", fig3(poses, None, tmp_path))):
        for suffix in ("json", "md", "tex", "pdf", "png"):
            assert (tmp_path / f"{name}.{suffix}").is_file()
        assert json.loads((tmp_path / f"{name}.json").read_text()) == json.loads(json.dumps(result))
        assert result["caption"] in (tmp_path / f"{name}.md").read_text()
        assert "a simulated crowd, no people" in result["caption"]
        assert result["simulated"]
    assert result["experts"]["raters"] == ["expert 1", "expert 2", "expert 3", "crowd"]


@pytest.mark.usefixtures("unsaved")
def test_figures_2_and_3_of_people(tmp_path, studied):
    poses, answers, experts, report = studied
    two = fig2(poses, answers, tmp_path, rotations=camera(0.8, 1.0))
    assert two["single"] == report["single"]
    assert two["tilt_undone"]["single"]["accuracy"] == report["tilt_undone"]["single"]["accuracy"]
    three = fig3(poses, answers, tmp_path, experts=experts)
    assert three["experts"] == report["experts"]
    assert three["easy_to_hard"] == report["easy_to_hard"]
    for result in (two, three):
        assert "people" in result["caption"]
        assert "no people" not in result["caption"]


@pytest.mark.usefixtures("unsaved")
def test_the_seed_decides_what_is_simulated(tmp_path, studied):
    poses = studied[0]
    first, again, other = (fig3(poses, None, tmp_path, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.usefixtures("unsaved")
def test_figure_3_of_merged_labels_without_3d(tmp_path, studied):
    poses, answers, experts, _ = studied
    flat = dataclasses.replace(poses, joints=None)
    labels = merge(answers, Majority()).labels
    result = fig3(flat, labels, tmp_path, experts=experts)
    assert result["compared_with"] == "as most experts say"
    compared = sum(group["answers"] for group in result["easy_to_hard"]["groups"])
    assert 0 < compared <= 100  # the experts saw 20 poses of 5 pairs, none of another pair
    alone = fig3(flat, labels, tmp_path)
    assert alone["experts"] is None
    assert all(group["accuracy"] is None for group in alone["easy_to_hard"]["groups"])
