"""``nearfar annotate mturk``: what it says, asks and refuses. The service itself: test_annotation_mturk."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotation_studio import make_project
from mturk_service import Service

import nearfar.annotation.external.mturk
from nearfar.annotation.external.mturk import Turk
from nearfar.cli.annotate import mturk
from nearfar.cli.annotate.mturk import COMMANDS
from nearfar.errors import InputError

DOCS = Path(__file__).resolve().parents[1] / "docs"
OFFER = ["--public-url", "https://studio.example.org", "--reward", "0.15"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("mturk"), 4, images_per_task=1, pairs_per_image=2, answers=3)
    project.close()
    return project.folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the project, so that no test sees another one's HITs."""
    copy = tmp_path / "project"
    copy.mkdir()
    for path in made.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    return copy


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service()
    asked: list[bool] = []
    service.__dict__["asked"] = asked

    def connect(*, sandbox: bool = True) -> Turk:
        asked.append(sandbox)
        return Turk(service, sandbox, sleep=lambda seconds: None)

    monkeypatch.setattr(nearfar.annotation.external.mturk, "connect_turk", connect)
    return service


def run(*arguments: object) -> None:
    mturk.main([str(argument) for argument in arguments])


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    capsys.readouterr()
    run(*arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_the_cost_is_shown_and_the_sandbox_is_the_default(
    folder: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    run("create", folder, *OFFER)
    output = capsys.readouterr()
    # 4 poses x 5 pairs x 3 answers / 2 a task = 30 assignments
    assert "sandbox: 4 HITs x 9 assignments x $0.15: at most $5.40 rewards + $1.08 fees = $6.48" in output.err
    assert "4 HITs are on offer; workers find them at https://workersandbox.mturk.com" in output.out
    assert service.asked == [True]
    assert len(service.hits) == 4


def test_nothing_is_made_over_the_budget(folder: Path, service: Service) -> None:
    with pytest.raises(InputError, match=r"budget: .* = \$6\.48 is more than \$6\.47; nothing was done"):
        run("create", folder, *OFFER, "--budget", "6.47")
    assert not service.calls
    run("create", folder, *OFFER, "--budget", "6.48")
    assert len(service.hits) == 4


def test_real_money_needs_a_yes(folder: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="give --yes"):
        run("create", folder, *OFFER, "--production")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    with pytest.raises(InputError, match="not confirmed"):
        run("create", folder, *OFFER, "--production")
    assert not service.calls
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    run("create", folder, *OFFER, "--production", "--hits", "1")
    run("create", folder, *OFFER, "--production", "--yes", "--hits", "2")
    assert len(service.hits) == 3
    assert set(service.asked) == {False}


def test_an_interrupted_create_is_finished_first(
    folder: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.failures["after:create_hit_with_hit_type"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        run("create", folder, *OFFER, "--hits", "3", "--assignments", "2")
    assert told(capsys, "status", folder)["planned"] == 3
    run("create", folder, *OFFER, "--hits", "40")
    output = capsys.readouterr()
    assert "3 HITs that an interrupted create had planned: at most $0.90 rewards" in output.err
    assert len(service.hits) == 3
    assert told(capsys, "status", folder)["planned"] == 0


def test_status(folder: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    run("create", folder, *OFFER, "--hits", "2")
    service.hand_in("HIT0", "AONE", "NUMBER1")
    service.hand_in("HIT0", "ATWO", "NUMBER2")
    service.assignments["NUMBER2"]["AssignmentStatus"] = "Approved"
    status = told(capsys, "status", folder)
    assert status["totals"] == {
        "assignments": 18, "open": 18, "working": 0, "submitted": 1, "approved": 1, "rejected": 0,
    }  # fmt: skip
    assert status["cost_cents"] == 18
    run("status", folder)
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == [
        "HIT", "state", "assignments", "open", "working", "submitted", "approved", "rejected", "hours", "left",
    ]  # fmt: skip
    assert table[-1] == "cost so far: $0.15 rewards + $0.03 fees = $0.18"


def test_approve_and_reject(folder: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    run("create", folder, *OFFER, "--hits", "1")
    for i in range(3):
        service.hand_in("HIT0", f"AWORKER{i}", f"NUMBER{i}")
    with pytest.raises(InputError, match="which"):
        run("approve", folder)
    result = told(capsys, "approve", folder, "--good")
    assert result["approved"] == 0
    assert [left["why"] for left in result["left"]] == ["was never opened here"] * 3
    capsys.readouterr()
    run("approve", folder, "--assignment", "NUMBER0")
    output = capsys.readouterr()
    assert "note: assignment NUMBER0 was never opened here" in output.err
    assert "1 assignments to be approved, $0.15 rewards + $0.03 fees = $0.18" in output.err
    assert output.out.startswith("1 assignments approved; 2 others wait")
    with pytest.raises(InputError, match="told why"):
        run("reject", folder, "--worker", "AWORKER1")
    assert told(capsys, "reject", folder, "--worker", "AWORKER1", "--reason", "no")["rejected"] == 1
    assert told(capsys, "approve", folder, "--rejected-too", "--assignment", "NUMBER1")["approved"] == 1
    assert [a["AssignmentStatus"] for a in service.assignments.values()] == ["Approved", "Approved", "Submitted"]


def test_bonus_extend_expire(folder: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    run("create", folder, *OFFER, "--hits", "2", "--assignments", "3")
    service.hand_in("HIT0", "AWORKER", "NUMBER")
    pay = ("bonus", folder, "--worker", "AWORKER", "--amount", "0.50", "--reason", "thorough")
    with pytest.raises(InputError, match="budget"):
        run(*pay, "--budget", "0.59")
    assert told(capsys, *pay, "--budget", "0.60") == {"paid": 1, "had_it": 0}
    assert told(capsys, *pay) == {"paid": 0, "had_it": 1}
    with pytest.raises(InputError, match="extend: give"):
        run("extend", folder)
    assert told(capsys, "extend", folder, "--assignments", "9", "--hours", "5") == {"hits": 2, "assignments_added": 12}
    assert told(capsys, "extend", folder, "--assignments", "9") == {"hits": 2, "assignments_added": 0}
    assert told(capsys, "expire", folder, "--hit", "HIT1") == {"expired": 1}
    assert service.hits["HIT1"]["Expiration"].year == 2015


@pytest.mark.parametrize("dollars", ["0.155", "-1", "nan", "1e12"])
def test_amounts_are_whole_cents(folder: Path, service: Service, dollars: str) -> None:
    with pytest.raises(InputError, match="whole cents"):
        run("create", folder, "--public-url", "https://studio.example.org", "--reward", dollars)
    assert not service.calls


def test_every_option_is_documented() -> None:
    documented = (DOCS / "commands.md").read_text("utf-8")
    for name, command in COMMANDS.items():
        assert f"nearfar annotate mturk {name}" in documented
        for field in command.__dataclass_fields__:
            if field != "project":
                assert f"`--{field.replace('_', '-')}" in documented, (name, field)
