"""`nearfar merge`: what it writes, what it says, and how it fails (one line, exit code 2, nothing half-written)."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from nearfar.cli import main
from nearfar.cli.merge import Merge, MethodName
from nearfar.consensus import METHOD_NAMES, SimulatedCrowd, SkillModel, merge, method, simulate_answers
from nearfar.datasets import load_labels, save_labels
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton

LSP = get_skeleton("lsp14")
DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """poses.npz, and answers about them in a.parquet and b.jsonl."""
    folder = tmp_path_factory.mktemp("merge")
    rng = np.random.default_rng(0)
    poses = PoseSet(
        LSP,
        keypoints=rng.uniform(0, 500, (80, 14, 2)),
        joints=rng.normal(size=(80, 14, 3)) * 250,
        frame="root",
        sequence=Category.of([f"{i:03d}.jpg" for i in range(80)]),
    )
    poses.save(folder / "poses.npz")
    answers = simulate_answers(
        poses, random_pairs(LSP, 80, 4, rng), SimulatedCrowd(workers=12, answers_per_pair=4), rng
    )
    answers = dataclasses.replace(answers, response_time=rng.lognormal(1, 0.4, len(answers)))
    save_labels(answers.select(slice(700)), folder / "a.parquet")
    save_labels(answers.select(slice(700, None)), folder / "b.jsonl")
    return folder


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that must fail with exit code 2 and one line; return the line."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert errors[0].startswith("nearfar: error: ")
    return errors[0]


def run(*arguments: str | Path) -> None:
    assert main(["merge", *(str(argument) for argument in arguments)]) == 0


def test_files_are_put_together(folder, tmp_path, capsys):
    run(folder / "a.parquet", folder / "b.jsonl", "--out", tmp_path / "m.parquet")
    shown = capsys.readouterr().out
    assert "| answers | 1280 (0 same depth, 0 can't tell) |" in shown
    assert "| workers | 11 |" in shown
    assert f"{tmp_path / 'm.parquet'}: 320 labels" in shown
    merged = load_labels(tmp_path / "m.parquet")
    assert (merged.kind, len(merged), merged.skeleton) == ("merged", 320, LSP)
    assert merged.provenance["from"]["files"] == ["a.parquet", "b.jsonl"]
    # The same as merging them in Python.
    parts = [load_labels(folder / name) for name in ("a.parquet", "b.jsonl")]
    columns = {
        name: np.concatenate([getattr(p, name) for p in parts]) for name in ("pose", "pair", "relation", "annotator")
    }
    expected = merge(RelativeLabels(LSP, **columns), method(Merge(answers=(), out=Path()).method)).labels
    np.testing.assert_allclose(merged.probability, expected.probability)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_every_method_can_be_named(folder, tmp_path, name):
    run(folder / "a.parquet", "--out", tmp_path / "m.csv", "--method", name)
    assert load_labels(tmp_path / "m.csv").kind == "merged"


def test_methods_are_those_of_the_library():
    assert get_args(MethodName) == METHOD_NAMES


@pytest.mark.parametrize("form", ["parquet", "csv", "json", "jsonl", "crowd-kit", "relative-depth-lsp"])
def test_every_form_can_be_written(folder, tmp_path, form, capsys):
    out = tmp_path / "labels.txt"
    run(folder / "a.parquet", folder / "b.jsonl", "--out", out, "--format", form, "--poses", folder / "poses.npz",
        "--method", "majority")  # fmt: skip
    merged = load_labels(out, skeleton="lsp14")
    assert merged.kind == "merged"
    ties = int(re.search(r"(\d+) undecided ones left out", capsys.readouterr().out)[1]) if form[:3] == "rel" else 0
    assert len(merged) == 320 - ties
    assert (ties > 0) == (form == "relative-depth-lsp")


@pytest.mark.parametrize("truth", [True, False])
def test_report(folder, tmp_path, truth):
    told = ["--truth", folder / "poses.npz"] if truth else []
    run(folder / "a.parquet", folder / "b.jsonl", "--out", tmp_path / "m.json", "--report", tmp_path / "r", *told)
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        "report.json", "report.md", "workers.csv",
        *(f"{name}.{suffix}" for name in ("calibration", "risk", "workers") for suffix in ("png", "pdf")),
    }  # fmt: skip
    report = json.loads((tmp_path / "r" / "report.json").read_text("utf-8"))
    assert (report["answers"], report["pairs"], report["workers"]) == (1280, 320, 11)
    assert report["calibration"]["against"] == ("truth" if truth else "held-out answers")
    assert (report["truth"] is not None) == truth
    with (tmp_path / "r" / "workers.csv").open(newline="", encoding="utf-8") as file:
        workers = list(csv.DictReader(file))
    assert len(workers) == 11
    assert sum(int(worker["answers"]) for worker in workers) == 1280
    text = (tmp_path / "r" / "report.md").read_text("utf-8")
    assert all((tmp_path / "r" / name).is_file() for name in re.findall(r"!\[.*?\]\((.*?)\)", text))


def test_answers_of_nobody_are_merged_by_majority(folder, tmp_path, capsys):
    answers = dataclasses.replace(load_labels(folder / "a.parquet"), annotator=None)
    save_labels(answers, tmp_path / "a.json")
    run(tmp_path / "a.json", "--out", tmp_path / "m.parquet", "--method", "majority", "--report", tmp_path / "r")
    assert "workers" not in capsys.readouterr().out
    assert not (tmp_path / "r" / "workers.csv").exists()
    message = fails(capsys, "merge", tmp_path / "a.json", "--out", tmp_path / "n.parquet", "--method", "lean")
    assert "method 'lean' needs to know who gave each answer (annotator); 'majority' does not" in message


def test_what_cannot_be_merged(folder, tmp_path, capsys):
    out = ["--out", tmp_path / "m.parquet"]
    answers = load_labels(folder / "a.parquet")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "empty.csv: the file is empty" in fails(capsys, "merge", empty, *out)
    empty.write_text("pose,joint_a,joint_b,relation,annotator\n")
    message = fails(capsys, "merge", empty, *out, "--skeleton", "lsp14")
    assert "empty.csv: no answers in it" in message
    save_labels(merge(answers, SkillModel()).labels, tmp_path / "merged.csv")
    message = fails(capsys, "merge", tmp_path / "merged.csv", *out)
    assert "merged.csv: labels that are merged already; expected raw answers" in message
    save_labels(dataclasses.replace(answers, skeleton=get_skeleton("coco17")), tmp_path / "coco.parquet")
    message = fails(capsys, "merge", folder / "a.parquet", tmp_path / "coco.parquet", *out)
    assert "coco.parquet: answers on skeleton 'coco17', but" in message
    assert "a.parquet on 'lsp14'" in message
    save_labels(dataclasses.replace(answers, annotator=None), tmp_path / "none.parquet")
    message = fails(capsys, "merge", folder / "a.parquet", tmp_path / "none.parquet", *out)
    assert "only one of them names who answered" in message
    gaps = dataclasses.replace(answers, annotator=np.where(np.arange(700) == 5, "", answers.annotator))
    save_labels(gaps, tmp_path / "gaps.parquet")
    message = fails(capsys, "merge", tmp_path / "gaps.parquet", *out)
    assert "1 answers, the first in row 5, name nobody" in message
    message = fails(capsys, "merge", folder / "a.parquet", folder / "." / "a.parquet", *out)
    assert "a.parquet: given twice" in message
    assert "no such file" in fails(capsys, "merge", tmp_path / "x.csv", *out)
    assert not (tmp_path / "m.parquet").exists()


def test_options_that_cannot_be(folder, tmp_path, capsys):
    a = folder / "a.parquet"
    assert "expected a name ending in .parquet" in fails(capsys, "merge", a, "--out", tmp_path / "m.txt")
    out = ["--out", tmp_path / "m.parquet"]
    assert "--risk: expected" in fails(capsys, "merge", a, *out, "--risk", "0.9")
    assert "say --report too" in fails(capsys, "merge", a, *out, "--truth", folder / "poses.npz")
    assert "say --poses" in fails(capsys, "merge", a, *out, "--format", "relative-depth-lsp")
    few = PoseSet.load(folder / "poses.npz").select(slice(10))
    few.save(tmp_path / "few.npz")
    message = fails(capsys, "merge", a, *out, "--report", tmp_path / "r", "--truth", tmp_path / "few.npz")
    assert "the pose set has rows 0..9" in message
    assert not (tmp_path / "m.parquet").exists()
    assert not (tmp_path / "r").exists()


def test_every_method_is_documented():
    section = (DOCS / "commands.md").read_text("utf-8").split("\n## `nearfar merge")[1].split("\n## ")[0]
    assert all(f"`{name}`" in section for name in METHOD_NAMES)
