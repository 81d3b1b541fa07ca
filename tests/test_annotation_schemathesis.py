"""Requests that schemathesis makes up from the studio's own OpenAPI description, by a stranger and by each role."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from annotation_studio import join, make_project
from schemathesis.checks import CHECKS

from nearfar.annotation.projects.project import Project
from nearfar.annotation.web.app import create_app
from nearfar.web.protection import Protection
from nearfar.web.rates import Rate

UNBOUNDED = Protection(session_rate=Rate(1e6, 1e6), address_rate=Rate(1e6, 1e6), sign_in_rate=Rate(1e6, 1e6))
EXAMPLES = 12
"""Requests of each operation and role."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with make_project(tmp_path_factory.mktemp("schemathesis"), practice=2, test=2, tutorial=2) as project:
        yield project


def statuses_of(operation: schemathesis.APIOperation, headers: dict[str, str]) -> set[int]:
    """Make requests up; the statuses of their answers."""
    statuses: set[int] = set()

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def try_it(case: schemathesis.Case) -> None:
        response = case.call(base_url="http://localhost", headers=headers)
        statuses.add(response.status_code)
        case.validate_response(response, checks=[not_a_server_error])

    try_it()
    return statuses


@pytest.mark.parametrize("role", ["stranger", "annotator", "viewer", "admin"])
def test_no_request_is_answered_with_a_server_error(project: Project, role: str) -> None:
    app = create_app(project, protection=UNBOUNDED)
    headers = {"host": "localhost"}
    if role != "stranger":
        headers["authorization"] = f"Bearer {join(project, f'schemathesis {role}', role).token}"  # type: ignore[arg-type]
    api = schemathesis.openapi.from_dict(app.openapi())
    api.app = app
    operations = [result.ok() for result in api.get_all_operations()]
    seen = {f"{operation.method.upper()} {operation.path}": statuses_of(operation, headers) for operation in operations}
    asked = {status for statuses in seen.values() for status in statuses}
    assert asked - {401, 403, 404, 422}, "everything was refused: the requests are not worth much"
    if role == "stranger":
        public = {"/", "/join", "/healthz"}
        private = {name: found for name, found in seen.items() if name.split()[1].startswith(("/api/", "/admin"))}
        assert private
        assert not public & set(private)
        assert all(min(found) >= 400 for found in private.values()), private
    if role == "annotator":
        assert all(min(found) >= 400 for name, found in seen.items() if " /admin" in name)


not_a_server_error = CHECKS.get_one("not_a_server_error")
