"""Videos and pictures with skeletons drawn on them, read by PyAV and Pillow; and the command `nearfar export`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import viewing_samples as samples
from PIL import Image

from nearfar.cli import main
from nearfar.errors import InputError
from nearfar.export import FORMATS, export

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.striped_video(tmp_path_factory.mktemp("media") / "in.mp4", 12)


def blue_and_red(image: np.ndarray) -> int:
    """Pixels that are not grey: the film is."""
    return int((np.ptp(image.astype(int), axis=-1) > 60).sum())


def test_a_video_by_pyav(media: Path, tmp_path: Path) -> None:
    import av

    written = export(samples.clip(8, people=2), tmp_path / "out.mp4", media=media)
    with av.open(str(written.paths[0])) as file:
        images = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert float(file.streams.video[0].average_rate) == pytest.approx(12, rel=0.01)
    assert len(images) == 12
    drawn = [blue_and_red(image) for image in images]
    assert min(drawn[:8]) > 200
    assert max(drawn[8:]) < 50  # frames without poses pass through
    (alone,) = export(samples.clip(8, people=2), tmp_path / "one.mp4", media=media, person=0).paths
    with av.open(str(alone)) as file:
        first = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert 0 < blue_and_red(first) < drawn[0]


def test_pictures_by_pillow(media: Path, tmp_path: Path) -> None:
    poses = samples.clip(8, missing=(3,))
    written = export(poses, tmp_path / "frames" / "walk_%04d.png", media=media)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    expected = [f"walk_{number:04d}.png" for number in sorted(set(poses.frame_index.tolist()))]
    assert names == expected
    assert written.notes == (f"{len(expected)} pictures",)
    for name in names:
        image = np.asarray(Image.open(tmp_path / "frames" / name))
        assert image.shape == (samples.SIZE[1], samples.SIZE[0], 3)
        assert (blue_and_red(image) > 200) == (name != "walk_0003.png")
    export(poses, tmp_path / "again_%d.jpg", media=media)
    assert (tmp_path / "again_7.jpg").is_file()


def test_a_still_image(tmp_path: Path) -> None:
    Image.fromarray(samples.striped(5)).save(tmp_path / "in.png")
    (path,) = export(samples.clip(1), tmp_path / "out.png", media=tmp_path / "in.png").paths
    assert blue_and_red(np.asarray(Image.open(path))) > 200
    with pytest.raises(InputError, match="is a still image"):
        export(samples.clip(1), tmp_path / "out.mp4", media=tmp_path / "in.png")


def test_what_cannot_be_drawn_is_refused(media: Path, tmp_path: Path) -> None:
    poses = samples.clip(4)
    late = dataclasses.replace(poses, frame_index=poses.frame_index + 50)
    blind = dataclasses.replace(poses, keypoints=None, scores=None)
    for name, said, what, film in (
        ("a.mp4", "--media", poses, None),
        ("a.png", "frame's number in the name", poses, media),
        ("a%.png", "frame's number in the name", poses, media),
        ("%d_%d.png", "frame's number in the name", poses, media),
        ("%999d.png", "frame's number in the name", poses, media),
        ("a.mp4", "none of the poses' frames", late, media),
        ("%d.png", "none of the poses' frames", late, media),
        ("a.mp4", "no 2D keypoints", blind, media),
        ("%d.png", "no 2D keypoints", blind, media),
        ("a.mp4", "no such file", poses, tmp_path / "gone.mp4"),
        ("a.csv", "--media is for", poses, media),
    ):
        with pytest.raises(InputError) as error:
            export(what, tmp_path / name, media=film)
        assert said in str(error.value)
    with pytest.raises(InputError, match="a frame rate is for motion files"):
        export(poses, tmp_path / "a.mp4", media=media, fps=10)
    assert not list(tmp_path.iterdir())


def test_the_command(media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses = tmp_path / "poses.npz"
    samples.clip(8, people=2).save(poses)
    for name in ("a.csv", "a.glb", "a.bvh"):
        assert main(["export", str(poses), "--out", str(tmp_path / name)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert str(tmp_path / "a-person1.bvh") in said
    assert (tmp_path / "a.glb").read_bytes()[:4] == b"glTF"
    assert main(["export", str(poses), "--out", str(tmp_path / "f" / "%03d.png"), "--media", str(media)]) == 0
    assert len(list((tmp_path / "f").iterdir())) == 8
    assert main(["export", str(poses), "--out", str(tmp_path / "table"), "--format", "csv", "--person", "1"]) == 0
    assert (tmp_path / "table").read_text("utf-8").startswith("skeleton,")
    capsys.readouterr()
    for arguments, words in (
        (["--out", "a.fbx"], "no such export format"),
        (["--out", "a"], "none in the name"),
        (["--out", "a.bvh", "--person", "9"], "no person 9"),
        (["--out", "a.bvh", "--sequence", "run"], "no sequence 'run'"),
        (["--out", "a.bvh", "--fps", "-3"], "above 0"),
        (["--out", "/proc/nearfar/a.bvh"], "cannot write"),
        (["--out", "a.mp4"], "--media"),
    ):
        assert main(["export", str(poses), *arguments]) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1, errors
        assert words in errors[0]
    assert not Path("a.bvh").exists()


def test_formats_are_documented() -> None:
    page = (DOCS / "export.md").read_text("utf-8")
    for name in FORMATS:
        assert f"`.{name}`" in page, name
