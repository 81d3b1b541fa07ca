"""Mechanical Turk: the connection, its errors in one line each, and what work there costs.

Calls go through `Turk.call`, which tries again when the service is overloaded. Tests give it a client of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearfar.errors import InputError

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

__all__ = ["AlreadyDoneError", "Cost", "Turk", "connect_turk", "cost_of", "dollars", "fee_of"]

ENDPOINTS = {
    True: "https://mturk-requester-sandbox.us-east-1.amazonaws.com",
    False: "https://mturk-requester.us-east-1.amazonaws.com",
}
"""By whether it is the sandbox, where nothing is paid."""

REGION = "us-east-1"

FEE = 20
FEE_OF_MANY = 40
MANY = 10
"""Percentages that Amazon takes of rewards and bonuses, and of the rewards of HITs with 10 assignments or more; at
least a cent of each (mturk.com/pricing, October 2026)."""

TRIES = 6
PAGE = 100

_BUSY = frozenset({
    "InternalError", "InternalFailure", "RequestLimitExceeded", "ServiceFault", "ServiceUnavailable", "Throttling",
    "ThrottlingException", "TooManyRequestsException",
})  # fmt: skip
_ALREADY = ("alreadyexists", "already exists", "idempotency token", "already been processed")
"""What the service says when a request token was used before; its wording differs from call to call."""


class AlreadyDoneError(Exception):
    """A request with this token was carried out before."""


@dataclass(frozen=True)
class Cost:
    """What work costs, in cents.

    Attributes:
        rewards: paid to workers.
        fees: paid to Amazon.
    """

    rewards: int
    fees: int

    @property
    def total(self) -> int:
        """Both."""
        return self.rewards + self.fees

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.rewards + other.rewards, self.fees + other.fees)

    def __str__(self) -> str:
        return f"{dollars(self.rewards)} rewards + {dollars(self.fees)} fees = {dollars(self.total)}"


def dollars(cents: int) -> str:
    """``"$12.30"``."""
    return f"${cents // 100}.{cents % 100:02d}"


def fee_of(cents: int, percent: int = FEE) -> int:
    """Amazon's fee on one reward or bonus: rounded half up to cents, at least one."""
    return max(1, (cents * percent + 50) // 100)


def cost_of(assignments: int, reward_cents: int, *, of_hit: int) -> Cost:
    """What so many assignments cost, of HITs that have `of_hit` assignments each."""
    fee = fee_of(reward_cents, FEE_OF_MANY if of_hit >= MANY else FEE)
    return Cost(assignments * reward_cents, assignments * fee)


def connect_turk(*, sandbox: bool = True) -> Turk:
    """Connect, with the AWS credentials of the environment or of ``~/.aws``. Nothing is asked of the service yet.

    Raises:
        InputError: boto3 is not installed, or the credentials are missing.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise InputError('Mechanical Turk needs boto3: pip install "nearfar[mturk]"') from None
    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            raise InputError(
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of an account "
                "that is linked to a Mechanical Turk requester"
            )
        config = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=10, read_timeout=60)
        client = session.client("mturk", region_name=REGION, endpoint_url=ENDPOINTS[sandbox], config=config)
    except BotoCoreError as error:
        raise InputError(f"AWS: {_line(error)}") from None
    return Turk(client, sandbox)


@dataclass(frozen=True)
class Turk:
    """A requester at Mechanical Turk.

    Attributes:
        client: boto3's, for ``mturk``.
        sandbox: nothing is paid, and no real worker comes.
        sleep: waits between attempts.
    """

    client: BaseClient
    sandbox: bool
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    @property
    def worker_site(self) -> str:
        """Where workers find the HITs."""
        return "https://workersandbox.mturk.com" if self.sandbox else "https://worker.mturk.com"

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation, under boto3's name for it; again, with growing pauses, while the service is overloaded.

        Raises:
            AlreadyDoneError: the request token (or the very same change) was used before.
            InputError: it fails otherwise, in one line.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(TRIES):
            try:
                answer: dict[str, Any] = getattr(self.client, operation)(**arguments)
                return answer
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code in _BUSY and attempt < TRIES - 1:
                    self.sleep(2.0**attempt)
                    continue
                if any(words in f"{_turk_code(error)} {error}".lower() for words in _ALREADY):
                    raise AlreadyDoneError(_line(error)) from None
                raise InputError(_explained(operation, code, error)) from None
            except BotoCoreError as error:
                told = f"Mechanical Turk (which AWS closes on 2026-09-30) could not be reached: {_line(error)}"
                raise InputError(told) from None
        raise RuntimeError("unreachable")

    def pages(self, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All entries of a list that comes in pages.

        Args:
            operation: under boto3's name.
            key: of the entries in its answers.
            **arguments: of the operation.
        """
        token: dict[str, str] = {}
        while True:
            answer = self.call(operation, **arguments, **token, MaxResults=PAGE)
            yield from answer.get(key, ())
            if not answer.get("NextToken") or not answer.get(key):
                return
            token = {"NextToken": answer["NextToken"]}


def _turk_code(error: ClientError) -> str:
    return str(error.response.get("TurkErrorCode") or error.response.get("Error", {}).get("TurkErrorCode") or "")


def _explained(operation: str, code: str, error: ClientError) -> str:
    told = _turk_code(error)
    if code in ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "ExpiredToken"):
        return f"AWS does not accept the credentials ({code})"
    if "InsufficientFunds" in told or "insufficient funds" in str(error).lower():
        return "Mechanical Turk: the account's balance does not cover this"
    if code in ("AccessDeniedException", "AccessDenied"):
        return (
            f"AWS: these credentials may not do {operation} at Mechanical Turk (policy AmazonMechanicalTurkFullAccess)"
        )
    message = error.response.get("Error", {}).get("Message") or code
    return f"Mechanical Turk: {operation}: {_line(message)}"


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]
