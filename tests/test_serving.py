"""The service as its clients see it, with a real worker: poses, jobs, refusals, and media of every bad kind."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from malformed_media import coco, malformed, picture
from schemathesis.checks import CHECKS
from serving_service import Running, ended, running, served

from nearfar.media import VideoWriter, read_frames
from nearfar.poses import PoseSet
from nearfar.serving import access, jobs
from nearfar.serving.app import default_protection
from nearfar.serving.schemas import EXAMPLE_KEYPOINTS
from nearfar.tables import read_poses_json
from nearfar.web.protection import Protection
from nearfar.web.rates import Rate

DOCS = Path(__file__).resolve().parents[1] / "docs" / "serving.md"
SIZE = {"image_size": "640x480"}
KEYPOINTS = json.dumps(EXAMPLE_KEYPOINTS).encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("mediapipe")
    with running(tmp_path_factory.mktemp("service"), video_seconds=20, job_seconds=120) as service:
        yield service


@pytest.fixture
def ada(service: Running) -> TestClient:
    return service.client(service.ada)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Running]:
    """A service in which nobody works."""
    with running(tmp_path / "service", work=False, queue_length=3, queue_length_each=2, image_mb=0.01) as service:
        yield service


# What clients want


def test_keypoints_to_poses(ada: TestClient, tmp_path: Path) -> None:
    answer = ada.post("/v1/keypoints", params=SIZE | {"name": "mine.json"}, content=KEYPOINTS)
    assert answer.status_code == 200, answer.text
    (tmp_path / "poses.json").write_bytes(answer.content)
    poses = read_poses_json(tmp_path / "poses.json")
    assert poses.joints is not None
    assert poses.joints.shape == (1, 17, 3)
    assert poses.frame == "root"
    head, ankle = poses.skeleton.index("head_top"), poses.skeleton.index("right_ankle")
    assert poses.joints[0, ankle, 1] - poses.joints[0, head, 1] > 1000  # upright, in millimetres
    job = ada.get(answer.headers["location"]).json()
    assert (job["state"], job["name"], job["progress"]) == ("done", "mine.json", 1.0)
    assert job["result"]["people"] == job["result"]["lifted"] == 1
    arrays = ada.get(f"/v1/jobs/{job['id']}/poses.npz")
    assert arrays.status_code == 200
    (tmp_path / "poses.npz").write_bytes(arrays.content)
    np.testing.assert_allclose(PoseSet.load(tmp_path / "poses.npz").joints, poses.joints, rtol=1e-6)
    again = ada.post("/v1/keypoints", params=SIZE | {"name": "other.json"}, content=KEYPOINTS)
    assert again.content == answer.content  # the same file makes the same poses
    other = ada.post("/v1/keypoints", params=SIZE | {"intrinsics": "300,300,320,240"}, content=KEYPOINTS)
    assert other.json()["provenance"]["intrinsics"] == "given"
    assert other.json()["poses"][0]["root_position"] != answer.json()["poses"][0]["root_position"]


@pytest.mark.shared
def test_a_real_photo_and_a_real_video(ada: TestClient, shared: Path, tmp_path: Path) -> None:
    clip = tmp_path / "walk.mp4"
    frames = [
        frame.image for frame, _ in zip(read_frames(shared / "media" / "street_walk.mp4"), range(72), strict=False)
    ]
    with VideoWriter(clip, fps=30) as writer:
        for image in frames[60:]:
            writer.write(image)
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frames[66]).save(buffer, "JPEG")
    accepted = ada.post("/v1/videos", params={"people": 2, "name": "<b>walk</b>.mp4"}, content=clip.read_bytes())
    assert accepted.status_code == 202
    photo = ada.post("/v1/images", params={"name": "street.jpg", "wait": 50}, content=buffer.getvalue())
    assert photo.status_code == 200, photo.text
    assert np.isfinite(np.array(photo.json()["poses"][0]["joints"], dtype=float)).all()
    job = ended(ada, accepted.json()["id"])
    assert job["state"] == "done", job
    assert job["result"]["people"] == 2
    assert job["result"]["poses"] == 24
    view = ada.get(f"/v1/jobs/{job['id']}/view.html")
    assert "&lt;b&gt;walk" in view.text
    assert "<b>walk" not in view.text
    assert "sandbox" in view.headers["content-security-policy"]
    assert view.headers["content-disposition"].startswith("attachment")


def test_a_request_sent_twice_is_one_job(ada: TestClient) -> None:
    headers = {"Idempotency-Key": "mine-1"}
    first = ada.post("/v1/keypoints", params=SIZE, content=KEYPOINTS, headers=headers)
    second = ada.post("/v1/keypoints", params=SIZE, content=KEYPOINTS, headers=headers)
    assert first.headers["location"] == second.headers["location"]
    assert first.content == second.content
    unwaited = ada.post("/v1/keypoints", params=SIZE | {"wait": 0}, content=KEYPOINTS, headers=headers)
    assert (unwaited.status_code, unwaited.json()["state"]) == (202, "done")  # never the poses, however quick
    other = ada.post("/v1/keypoints", params=SIZE, content=coco(), headers=headers)
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]


def test_jobs_belong_to_who_sent_them(service: Running, ada: TestClient) -> None:
    job = ada.post("/v1/keypoints", params=SIZE, content=KEYPOINTS).headers["location"]
    bo = service.client(service.bo)
    for path in (job, f"{job}/poses.json", f"{job}/poses.npz", f"{job}/view.html"):
        assert ada.get(path).status_code == 200
        assert bo.get(path).status_code == 404
    assert bo.post(f"{job}/cancel").status_code == bo.delete(job).status_code == 404
    assert not bo.get("/v1/jobs").json()["jobs"]
    assert ada.delete(job).status_code == 204
    assert ada.get(f"{job}/poses.json").status_code == 404
    assert not service.service.store.result_of(job.rsplit("/", 1)[1]).exists()


def test_nothing_is_open_but_health_and_the_shell(service: Running) -> None:
    stranger = service.client()
    for path in ("/health/live", "/health/ready", "/"):
        assert stranger.get(path).status_code == 200
    page = stranger.get("/")
    style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
    assert style is not None
    assert stranger.get(style[1]).headers["content-type"].startswith("text/css")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    spec = service.app.openapi()
    asked = 0
    for path, operations in spec["paths"].items():
        for method in operations:
            if path.startswith("/health") or (method, path) == ("post", "/v1/sessions"):
                continue
            answer = stranger.request(method, path.replace("{job_id}", "0" * 32), content=b"{}")
            assert answer.status_code == 401, (method, path, answer.status_code)
            asked += 1
    assert asked > 10
    assert stranger.get("/v1/openapi.json").status_code == 401
    assert stranger.get("/metrics", headers={"Authorization": "Bearer guess"}).status_code == 401
    assert stranger.get("/v1/jobs", headers={"Cookie": f"nearfar={service.ada}"}).status_code == 401
    assert stranger.get("/health/live", headers={"Host": "evil.example"}).status_code == 400


def test_a_page_signs_in_with_a_code_once(service: Running) -> None:
    code = access.new_code(service.service.store, time.time())
    page = service.client()
    session = page.post("/v1/sessions", json={"secret": code})
    assert session.status_code == 200
    assert page.post("/v1/sessions", json={"secret": code}).status_code == 401
    page.headers["Authorization"] = f"Bearer {session.json()['token']}"
    assert page.get("/v1/limits").json()["owner"] == "operator"
    assert page.delete("/v1/sessions").status_code == 204
    assert page.get("/v1/limits").status_code == 401
    foreign = {"Origin": "https://evil.example"}
    assert service.client().post("/v1/sessions", json={"secret": code}, headers=foreign).status_code == 403


def test_figures(ada: TestClient) -> None:
    ada.post("/v1/keypoints", params=SIZE, content=KEYPOINTS)
    text = ada.get("/metrics").text
    assert re.search(r'nearfar_requests_total\{method="POST",route="/v1/keypoints",status="200"\} \d', text)
    assert re.search(r'nearfar_jobs\{kind="keypoints",state="done"\} \d', text)
    assert "nearfar_workers_ready 1.0" in text


# What they may not


def test_bad_media_of_every_kind(service: Running, ada: TestClient, tmp_path: Path) -> None:
    answered = {}
    for name, (endpoint, content) in malformed(tmp_path / "made").items():
        answer = ada.post(f"/v1/{endpoint}", params={"wait": 50} if endpoint != "videos" else {}, content=content)
        status, said = answer.status_code, answer.json()
        if status == 202:
            job = ended(ada, said["id"])
            assert job["state"] == "failed", (name, job)
            status, said = job["error"]["status"], job["error"]
            assert ada.get(f"/v1/jobs/{job['id']}/poses.json").status_code == status
        answered[name] = (status, said.get("detail", ""))
    wrong = {name: answer for name, answer in answered.items() if not 400 <= answer[0] < 500}
    assert not wrong
    assert not [name for name, (_, detail) in answered.items() if str(service.service.store.folder) in detail]
    assert not list(service.service.store.inputs.iterdir())
    assert ada.post("/v1/keypoints", params=SIZE, content=KEYPOINTS).status_code == 200


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("/v1/images", {"people": 11}, "up to 10"),
        ("/v1/images", {"people": 0}, "greater than or equal to 1"),
        ("/v1/images", {"intrinsics": "1,2,3"}, "expected fx,fy,cx,cy"),
        ("/v1/images", {"intrinsics": "nan,1,2,3"}, "expected fx,fy,cx,cy"),
        ("/v1/images", {"wait": "inf"}, "less than or equal to 55"),
        ("/v1/images", {"name": "a\x00b"}, "match pattern"),
        ("/v1/keypoints", {"skeleton": "../../etc/passwd"}, "expected a name"),
        ("/v1/keypoints", {"skeleton": "human"}, "skeleton"),
        ("/v1/keypoints", {"image_size": "0x5"}, "match pattern"),
    ],
)
def test_bad_options(waiting: Running, path: str, params: dict[str, str], said: str) -> None:
    answer = waiting.client(waiting.ada).post(path, params=params, content=b"[]")
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


def test_a_full_queue_says_when_to_come_back(waiting: Running) -> None:
    ada, bo = waiting.client(waiting.ada), waiting.client(waiting.bo)
    sent = [ada.post("/v1/keypoints", params={"wait": 0}, content=coco()) for _ in range(3)]
    assert [answer.status_code for answer in sent] == [202, 202, 429]
    assert [answer.json()["jobs_before"] for answer in sent[:2]] == [0, 1]
    others = [bo.post("/v1/keypoints", params={"wait": 0}, content=coco()) for _ in range(2)]
    assert [answer.status_code for answer in others] == [202, 503]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in (sent[2], others[1]))
    job = sent[0].headers["location"]
    assert ada.get(f"{job}/poses.json").status_code == 409
    assert ada.post(f"{job}/cancel").json()["state"] == "cancelled"
    assert ada.get(f"{job}/poses.json").status_code == 410
    assert ada.post("/v1/keypoints", params={"wait": 0}, content=coco()).status_code == 202
    assert ada.get("/health/ready").status_code == 503  # nobody works here


def test_too_large_and_too_fast(waiting: Running, tmp_path: Path) -> None:
    ada = waiting.client(waiting.ada)
    large = picture("JPEG")
    assert ada.post("/v1/images", content=large).status_code == 413
    assert ada.post("/v1/images", content=iter([large[:6000], large[6000:]])).status_code == 413  # of unsaid length
    assert not list(waiting.service.store.inputs.iterdir())
    assert ada.post("/v1/sessions", content=b"x" * 20_000).status_code == 413
    tight = Protection(session_rate=Rate(5, 0.01), address_rate=Rate(1e6, 1e6), sign_in_rate=Rate(3, 0.01))
    with running(tmp_path / "tight", work=False, protection=tight) as few:
        client = few.client(few.ada)
        answers = [client.get("/v1/jobs") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) >= 1
        guesses = [few.client(address="10.0.0.9").post("/v1/sessions", json={"secret": f"g{i}"}) for i in range(4)]
        assert [answer.status_code for answer in guesses] == [401] * 3 + [429]
    assert "https://poses.example.org" not in default_protection().hosts


def test_a_disk_that_fills_up_while_a_file_comes_in(waiting: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ada = waiting.client(waiting.ada)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        answer = ada.post("/v1/keypoints", content=coco())
    assert (answer.status_code, answer.json()["detail"]) == (503, "the disk is full")
    assert int(answer.headers["retry-after"]) >= 1
    assert not list(waiting.service.store.inputs.iterdir())
    assert ada.post("/v1/keypoints", params={"wait": 0}, content=coco()).status_code == 202


# What goes wrong


def test_a_worker_that_hangs_or_dies(service: Running, ada: TestClient) -> None:
    supervisor = service.service.supervisor
    (pid,) = supervisor.pids()
    os.kill(pid, signal.SIGSTOP)
    died = ada.post("/v1/keypoints", params=SIZE | {"wait": 0, "name": "died"}, content=KEYPOINTS).json()
    until = time.monotonic() + 30
    while ada.get(f"/v1/jobs/{died['id']}").json()["state"] == "queued" and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    assert ended(ada, died["id"])["state"] == "done"  # by another worker
    job = jobs.find_job(service.service.store, "ada", died["id"])
    assert job is not None
    assert job.attempt == 2
    (pid,) = supervisor.pids()
    os.kill(pid, signal.SIGSTOP)
    allowed, supervisor.limits = supervisor.limits, type(supervisor.limits)(job_seconds=1)
    hung = ada.post("/v1/keypoints", params=SIZE | {"wait": 50, "name": "hung"}, content=KEYPOINTS)
    supervisor.limits = allowed
    assert hung.status_code == 422
    assert "more than the 1 s that a job may take" in hung.json()["detail"]
    assert ada.post("/v1/keypoints", params=SIZE | {"wait": 50}, content=KEYPOINTS).status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the system bounds a worker's memory on Linux only")
def test_a_picture_that_needs_too_much_memory(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (6300, 6300), (9, 9, 9)).save(buffer, "JPEG")
    with running(tmp_path / "service", worker_mb=700) as small:
        client = small.client(small.ada)
        answer = client.post("/v1/images", params={"wait": 50}, content=buffer.getvalue())
        assert answer.status_code == 413
        assert "more than the 700 MB" in answer.json()["detail"]
        assert client.post("/v1/keypoints", params=SIZE, content=KEYPOINTS).status_code == 200


@pytest.mark.slow
def test_kill_the_server_and_start_it_again(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    folder = tmp_path / "service"
    tokens = [sys.executable, "-m", "nearfar.cli", "tokens"]
    create = [*tokens, "create", "ada", "--folder", str(folder)]
    token = subprocess.run(create, capture_output=True, text=True, check=True).stdout.strip()
    listed = subprocess.run([*tokens, "list", "--folder", str(folder)], capture_output=True, text=True, check=True)
    assert listed.stdout.startswith("ada: made ")
    import httpx

    def start() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "nearfar.cli", "serve", str(folder), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = []
        while not (lines and lines[-1].startswith("Ctrl-C")):
            lines.append(process.stdout.readline())
            assert lines[-1], "it ended"
        assert token not in "".join(lines)
        assert re.search(r"/#code=[\w-]{43}\n", lines[2])
        return process, lines[0].split()[1]

    process, url = start()
    headers = {"Authorization": f"Bearer {token}"}
    before = httpx.post(f"{url}/v1/keypoints", params=SIZE, content=KEYPOINTS, headers=headers, timeout=60)
    sent = [
        httpx.post(f"{url}/v1/keypoints", params=SIZE | {"wait": 0}, content=KEYPOINTS, headers=headers).json()["id"]
        for _ in range(8)
    ]
    process.kill()
    process.wait()
    process, url = start()
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        assert {ended(client, job)["state"] for job in sent} == {"done"}  # type: ignore[arg-type]
        results = {client.get(f"/v1/jobs/{job}/poses.json").content for job in sent}
    assert results == {before.content}
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert process.stdout is not None
    assert "jobs that wait are kept" in process.stdout.read()


def test_no_request_is_answered_with_a_server_error(service: Running) -> None:
    api = schemathesis.openapi.from_dict(service.app.openapi())
    checks = [CHECKS.get_one(name) for name in ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")]  # fmt: skip
    headers = {"authorization": f"Bearer {service.ada}"}
    statuses: set[int] = set()
    with served(service.app) as url:
        for result in api.get_all_operations():
            operation = result.ok()
            if operation.path == "/v1/sessions" and operation.method == "delete":
                continue

            @hypothesis.settings(
                max_examples=8, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )  # fmt: skip
            @hypothesis.given(case=operation.as_strategy())
            def try_it(case: schemathesis.Case) -> None:
                if "wait" in (case.query or {}):
                    case.query["wait"] = (
                        min(case.query["wait"], 1) if isinstance(case.query["wait"], int | float) else 1
                    )
                response = case.call(base_url=url, headers=headers)
                statuses.add(response.status_code)
                case.validate_response(response, checks=checks)

            try_it()
    assert statuses >= {200, 404, 415, 422}
    assert service.service.is_ready()


@pytest.mark.shared
def test_the_examples_of_the_docs(service: Running, shared: Path, tmp_path: Path) -> None:
    """Every command of docs/serving.md that calls curl, in its order."""
    from PIL import Image

    frames = [
        frame.image for frame, _ in zip(read_frames(shared / "media" / "street_walk.mp4"), range(68), strict=False)
    ]
    Image.fromarray(frames[66]).save(tmp_path / "photo.jpg")
    with VideoWriter(tmp_path / "walk.mp4", fps=30) as writer:
        for image in frames[60:]:
            writer.write(image)
    (tmp_path / "keypoints.json").write_bytes(KEYPOINTS)
    blocks = re.findall(r"```bash\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    script = "set -e\n" + "".join(block for block in blocks if "curl" in block)
    assert script.count("curl") >= 6
    with served(service.app) as url:
        environment = os.environ | {"URL": url, "TOKEN": service.ada}
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
            timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    assert read_poses_json(tmp_path / "poses.json").joints is not None
    assert PoseSet.load(tmp_path / "walk.npz").joints is not None
