from __future__ import annotations

import dataclasses
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import viewing_samples as samples

from nearfar.errors import InputError
from nearfar.evaluation import evaluate_predictions
from nearfar.poses import Category
from nearfar.viewing import comparison_figure, evaluation_figure, pose_grid, save_figure, training_figure

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")


def report(noise: float, actions: int = 3) -> dict[str, Any]:
    """A real evaluation report of poses with noise."""
    truth = samples.clip(90)
    names = [f"action {i % actions:02d}" for i in range(len(truth))]
    truth = dataclasses.replace(truth, action=Category.of(names))
    return evaluate_predictions(truth.joints + np.random.default_rng(0).normal(0, noise, truth.joints.shape), truth)


def texts(figure: Any) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_the_evaluation_figure_shows_every_part() -> None:
    figure = evaluation_figure(report(40))
    words = texts(figure)
    for expected in ("left wrist", "action 02", "PCK", "Which joint is nearer?", "chance", "> 400", "PA-MPJPE"):
        assert expected in words
    bars = figure.axes[0].patches
    assert len(bars) == samples.SKELETON.num_joints
    assert [bar.get_width() for bar in bars] == pytest.approx([v["pa_mpjpe"] for v in report(40)["per_joint"].values()])


def test_of_many_actions_both_ends_are_shown() -> None:
    many = report(40, actions=45)
    figure = evaluation_figure(many)
    assert "10 best, 10 worst of 45" in texts(figure)
    widths = [bar.get_width() for bar in figure.axes[1].patches]
    finite = [width for width in widths if np.isfinite(width)]
    assert len(finite) == 20
    assert finite == sorted(finite)
    errors = [entry["pa_mpjpe"] for entry in many["per_action"].values()]
    assert finite[0] == pytest.approx(min(errors))
    assert finite[-1] == pytest.approx(max(errors))


@pytest.mark.parametrize(
    "kept", [("per_joint",), ("pck_curve", "order_by_difference"), ("per_action", "pck_curve", "per_joint")]
)
def test_missing_parts_are_left_out(kept: tuple[str, ...]) -> None:
    whole = report(30)
    figure = evaluation_figure({name: whole[name] for name in kept})
    assert sum(ax.axison for ax in figure.axes) == len(kept)
    with pytest.raises(InputError, match="has no per_joint"):
        evaluation_figure({"pa_mpjpe": 50.0})


def test_the_comparison_names_methods_and_figures() -> None:
    reports = {"labels only": report(60), "supervised": report(30)}
    figure = comparison_figure(reports, title="A against B")
    words = texts(figure)
    assert all(name in words for name in ("labels only", "supervised", "A against B", "N-MPJPE", "PCK"))
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[0] == pytest.approx(reports["labels only"]["pa_mpjpe"])
    with pytest.raises(InputError, match="in common"):
        comparison_figure({})


def test_training_curves_come_from_the_log() -> None:
    rows: list[dict[str, Any]] = [{"step": i, "epoch": 1, "loss": 1 / i, "relative": 0.5 / i} for i in range(1, 200)]
    rows += [{"step": i, "val_pa_mpjpe": 90 - i / 5, "val_relative_depth_accuracy_100mm": 0.8} for i in (100, 200)]
    rows.append({"step": 201, "val_pa_mpjpe": float("nan")})
    figure = training_figure(rows)
    words = texts(figure)
    assert len(figure.axes) == 3
    assert all(name in words for name in ("relative", "PA-MPJPE", "order right"))
    with pytest.raises(InputError, match="no row"):
        training_figure([{"epoch": 1}])


def test_the_grid_has_a_row_a_sample_and_a_column_a_method() -> None:
    poses = samples.clip(8, missing=(3,))
    figure = pose_grid(
        {"ours": poses, "truth": dataclasses.replace(poses, keypoints=None)}, rows=[0, 3, 7], names=["a", "b", "c"]
    )
    assert len(figure.axes) == 9
    assert {"2D input", "ours", "truth", "b"} <= set(texts(figure).split("\n"))
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    for wrong, words in (({}, "nothing"), ({"a": poses, "b": poses.select([0, 1])}, "different lengths")):
        with pytest.raises(InputError, match=words):
            pose_grid(wrong)
    with pytest.raises(InputError, match=r"0\.\.7"):
        pose_grid({"ours": poses}, rows=[9])


def test_figures_are_saved_whole_and_leave_no_global_trace(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    figure = evaluation_figure(report(30))
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        save_figure(figure, tmp_path / f"figure{suffix}")
        assert (tmp_path / f"figure{suffix}").read_bytes().startswith(start)
    with pytest.raises(InputError, match=r"\.pdf, \.png, \.svg"):
        save_figure(figure, tmp_path / "figure.gif")
    assert len(list(tmp_path.iterdir())) == 3
    assert dict(matplotlib.rcParams) == before
