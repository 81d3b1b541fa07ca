"""Lifters as folders in the layout of model hubs: round trip, the model card, bad folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import nearfar
from nearfar import InputError, Lifter
from nearfar.cli import main

KEYPOINTS = np.random.default_rng(0).uniform(200, 800, (3, 17, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's own lifter, packed by the command."""
    path = tmp_path_factory.mktemp("hub") / "default"
    assert main(["models", "pack", "default", str(path)]) == 0
    return path


def test_a_folder_gives_the_same_lifter(folder: Path) -> None:
    assert sorted(entry.name for entry in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    expected = nearfar.load()
    for lifter in (nearfar.load(folder), Lifter.from_pretrained(folder), nearfar.load(folder / "model.safetensors")):
        assert lifter.card == expected.card
        assert lifter.skeleton == expected.skeleton
        again, before = (each.lift(KEYPOINTS, skeleton="h36m17") for each in (lifter, expected))
        assert np.array_equal(again, before)


def test_a_lifter_of_clips_goes_through_a_folder(tmp_path: Path) -> None:
    expected = nearfar.load("default-video")
    expected.save_pretrained(tmp_path / "video")
    lifter = Lifter.from_pretrained(tmp_path / "video")
    poses = nearfar.PoseSet(expected.skeleton, keypoints=KEYPOINTS, time=np.arange(3) / 15)
    assert np.allclose(lifter.lift_poses(poses).joints, expected.lift_poses(poses).joints, atol=0.01)


def test_the_model_card_is_one_that_hubs_read(folder: Path, tmp_path: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    _, header, body = text.split("---\n", 2)
    said = yaml.safe_load(header)
    assert said["library_name"] == "nearfar"
    assert said["license"] == "apache-2.0"
    assert "h36m17" in said["tags"]
    lifter = nearfar.load()
    for words in (
        lifter.card["licence"],
        lifter.card["acknowledgement"],
        *lifter.card["limits"],
        *lifter.skeleton.joints,
    ):
        assert words in body
    Lifter(lifter.network, {"name": "mine"}).save_pretrained(tmp_path)
    header = yaml.safe_load((tmp_path / "README.md").read_text("utf-8").split("---\n", 2)[1])
    assert (header["license"], header["license_name"]) == ("other", "see-below")


def test_folders_that_are_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Lifter.from_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match=r"it has no config\.json"):
        nearfar.load(tmp_path)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    for change, words in (
        ({"model_type": "bert"}, "model_type nearfar"),
        ({"schema": "nearfar-lifter-9"}, "not weights of a lifter"),
        ({"network": {"width": 7}}, "do not fit"),
        ({"network": {"widht": 7}}, "not a nearfar weights file"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(InputError, match=words) as caught:
            nearfar.load(tmp_path)
        assert "\n" not in str(caught.value) or "do not fit" in words
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        nearfar.load().save_pretrained(tmp_path / "file")
