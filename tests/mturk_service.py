"""A stand-in for Mechanical Turk: botocore's own client, whose answers a small model of the service gives.

Requests are checked and answers parsed as for the real service (botocore's Stubber); nothing is sent anywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.stub import Stubber

EXPIRES = datetime(2023, 11, 20, tzinfo=UTC)


def stubbed_client() -> tuple[Any, Stubber]:
    """A client without credentials or network, and what answers it."""
    session = botocore.session.Session()
    session.set_credentials("key", "secret")
    client = session.create_client("mturk", region_name="us-east-1")
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


class Service:
    """HITs, assignments and bonuses, as the service keeps them.

    Attributes:
        hits: by id, as GetHIT gives them.
        assignments: by id, as ListAssignmentsForHIT gives them.
        calls: operations with their arguments, in order.
        failures: operation -> errors to raise, in order, before it works: a ClientError's code, or an exception.
            "after:OPERATION" are raised when the operation has been carried out.
        page: entries of one page of a list.
    """

    def __init__(self, page: int = 2) -> None:
        self.client, self._stubber = stubbed_client()
        self.hits: dict[str, dict[str, Any]] = {}
        self.assignments: dict[str, dict[str, Any]] = {}
        self.bonuses: list[dict[str, Any]] = []
        self.types: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures: dict[str, list[str | BaseException]] = {}
        self.page = page

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((operation, arguments))
            self._fail(operation)
            try:
                answer = getattr(self, f"_{operation}")(**arguments)
            except ClientError as error:
                code, told = error.response["Error"]["Code"], error.response["Error"]["Message"]
                self._stubber.add_client_error(operation, code, told)
                return getattr(self.client, operation)(**arguments)
            self._fail(f"after:{operation}")
            self._stubber.add_response(operation, answer, arguments)
            return getattr(self.client, operation)(**arguments)

        return call

    def count(self, operation: str) -> int:
        """How often an operation was called."""
        return sum(name == operation for name, _ in self.calls)

    def hand_in(self, hit_id: str, worker: str, number: str) -> str:
        """A worker submits an assignment."""
        self.assignments[number] = {
            "AssignmentId": number, "WorkerId": worker, "HITId": hit_id, "AssignmentStatus": "Submitted",
        }  # fmt: skip
        return number

    def _fail(self, name: str) -> None:
        if waiting := self.failures.get(name):
            error = waiting.pop(0)
            if isinstance(error, BaseException):
                raise error
            operation = name.removeprefix("after:")
            self._stubber.add_client_error(operation, error, f"{error} happened", http_status_code=400)
            getattr(self.client, operation)(**self.calls[-1][1])

    def _once(self, token: str) -> None:
        if token in self.tokens:
            raise ClientError({"Error": {"Code": "RequestError", "Message": f"token {token}: already exists"}}, "any")
        self.tokens.add(token)

    def _create_hit_type(self, **arguments: Any) -> Any:
        if arguments not in self.types:
            self.types.append(arguments)
        return {"HITTypeId": f"TYPE{self.types.index(arguments)}"}

    def _create_hit_with_hit_type(self, **arguments: Any) -> Any:
        self._once(arguments["UniqueRequestToken"])
        hit_id = f"HIT{len(self.hits)}"
        self.hits[hit_id] = {
            "HITId": hit_id,
            "HITStatus": "Assignable",
            "MaxAssignments": arguments["MaxAssignments"],
            "RequesterAnnotation": arguments["RequesterAnnotation"],
            "Question": arguments["Question"],
            "Expiration": EXPIRES,
            "NumberOfAssignmentsAvailable": arguments["MaxAssignments"],
            "NumberOfAssignmentsPending": 0,
        }
        return {"HIT": self.hits[hit_id]}

    def _get_hit(self, HITId: str) -> Any:
        return {"HIT": self.hits[HITId]}

    def _list_hits(self, **paging: Any) -> Any:
        return self._paged("HITs", list(self.hits.values()), **paging)

    def _list_assignments_for_hit(self, HITId: str, AssignmentStatuses: Any = None, **paging: Any) -> Any:
        found = [
            assignment
            for assignment in self.assignments.values()
            if assignment["HITId"] == HITId and assignment["AssignmentStatus"] in (AssignmentStatuses or (
                "Submitted", "Approved", "Rejected"))
        ]  # fmt: skip
        return self._paged("Assignments", found, **paging)

    def _approve_assignment(self, AssignmentId: str, **_more: Any) -> Any:
        self.assignments[AssignmentId]["AssignmentStatus"] = "Approved"
        return {}

    def _reject_assignment(self, AssignmentId: str, RequesterFeedback: str) -> Any:
        assert RequesterFeedback
        self.assignments[AssignmentId]["AssignmentStatus"] = "Rejected"
        return {}

    def _send_bonus(self, **arguments: Any) -> Any:
        self._once(arguments["UniqueRequestToken"])
        self.bonuses.append({name: arguments[name] for name in ("WorkerId", "BonusAmount", "AssignmentId", "Reason")})
        return {}

    def _list_bonus_payments(self, AssignmentId: str, **paging: Any) -> Any:
        paid = [bonus for bonus in self.bonuses if bonus["AssignmentId"] == AssignmentId]
        return self._paged("BonusPayments", paid, **paging)

    def _create_additional_assignments_for_hit(self, **arguments: Any) -> Any:
        self._once(arguments["UniqueRequestToken"])
        self.hits[arguments["HITId"]]["MaxAssignments"] += arguments["NumberOfAdditionalAssignments"]
        return {}

    def _update_expiration_for_hit(self, HITId: str, ExpireAt: datetime) -> Any:
        self.hits[HITId]["Expiration"] = ExpireAt
        return {}

    def _paged(self, key: str, entries: list[Any], NextToken: str = "0", MaxResults: int = 10) -> Any:
        start, end = int(NextToken), int(NextToken) + min(self.page, MaxResults)
        more = {"NextToken": str(end)} if end < len(entries) else {}
        return {key: entries[start:end], "NumResults": len(entries[start:end]), **more}
