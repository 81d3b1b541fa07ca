"""Mechanical Turk: HITs without doubles, work judged once, money spent once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import botocore.session
import pytest
from annotation_samples import NOW, fill
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st
from mturk_service import EXPIRES, Service, stubbed_client
from sqlalchemy import Engine, select

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, transaction, with_retries
from nearfar.annotation.external.mturk import AlreadyDoneError, Cost, Turk, connect_turk, cost_of, fee_of
from nearfar.annotation.external.mturk_hits import (
    create_hits,
    expire_hits,
    extend_cost,
    extend_hits,
    hit_rows,
    hit_statuses,
    hits_needed,
    planned_hits,
)
from nearfar.annotation.external.mturk_plan import HitPlan
from nearfar.annotation.external.mturk_work import choose, judge, list_submissions, send_bonus, submissions_to_pay
from nearfar.annotation.external.visits import Arrival, open_visit, take_task
from nearfar.annotation.queue import Event, record
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError

PLAN = HitPlan("https://studio.example.org/", 5, 3, 15, "Title", "Description")
SETTINGS = Settings(gold_share=0, images_per_task=1, pairs_per_image=2)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    migrate(engine)
    fill(engine, poses=4, pairs=3, people=0, wanted=3)
    yield engine
    engine.dispose()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def turk(service: Service) -> Turk:
    return Turk(service, True, sleep=lambda seconds: None)


def stored(engine: Engine) -> list[tuple[str | None, str]]:
    with engine.connect() as connection:
        query = select(schema.hit.c.hit_id, schema.hit.c.state).order_by(schema.hit.c.id)
        return [tuple(row) for row in connection.execute(query)]


def test_fees() -> None:
    assert [fee_of(cents) for cents in (1, 2, 10, 12, 13, 15, 100)] == [1, 1, 2, 2, 3, 3, 20]
    assert cost_of(9, 15, of_hit=9) == Cost(135, 27)
    assert cost_of(10, 15, of_hit=10) == Cost(150, 60)
    assert str(cost_of(9, 15, of_hit=9)) == "$1.35 rewards + $0.27 fees = $1.62"


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_a_fee_is_its_share_to_half_a_cent_and_never_nothing(cents: int, percent: int) -> None:
    fee = fee_of(cents, percent)
    assert fee == 1 or abs(fee - cents * percent / 100) <= 0.5
    assert fee >= 1


def test_create_makes_each_hit_once_with_its_own_key(engine: Engine, turk: Turk, service: Service) -> None:
    assert create_hits(turk, engine, PLAN, NOW) == 5
    assert len(service.hits) == 5
    assert [state for _, state in stored(engine)] == ["created"] * 5
    assert {hit_id for hit_id, _ in stored(engine)} == set(service.hits)
    keys = set()
    for hit in service.hits.values():
        root = ElementTree.fromstring(hit["Question"])
        url = next(element.text for element in root if element.tag.endswith("ExternalURL"))
        assert re.fullmatch(r"https://studio\.example\.org/external/mturk\?key=[0-9a-f]{48}", url)
        keys.add(url)
    assert len(keys) == 5
    assert not planned_hits(engine, True)


def test_hits_of_one_kind_are_of_one_type(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, PLAN, NOW)
    create_hits(turk, engine, replace(PLAN, hits=2), NOW + 100)
    assert len(service.types) == 1
    assert service.types[0]["Reward"] == "0.15"
    wanted = {entry["QualificationTypeId"]: entry for entry in service.types[0]["QualificationRequirements"]}
    assert wanted["00000000000000000071"]["LocaleValues"] == [{"Country": "US"}]
    assert wanted["000000000000000000L0"]["IntegerValues"] == [98]
    assert wanted["00000000000000000040"]["IntegerValues"] == [100]
    assert len(service.hits) == 7


@pytest.mark.parametrize("when", ["create_hit_with_hit_type", "after:create_hit_with_hit_type"])
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_killed_create_goes_on_without_doubles(
    engine: Engine, turk: Turk, service: Service, when: str, forgotten: bool
) -> None:
    """Killed before the call, or after the service made the HIT; a day later it has forgotten the request tokens."""
    for hits in (5, 50, 50):
        service.failures[when] = [KeyboardInterrupt()]
        with pytest.raises(KeyboardInterrupt):
            create_hits(turk, engine, replace(PLAN, hits=hits), NOW)
    if forgotten:
        service.tokens.clear()
    assert len(planned_hits(engine, True)) > 0
    create_hits(turk, engine, replace(PLAN, hits=50), NOW)
    assert len(service.hits) == 5
    assert len({hit_id for hit_id, _ in stored(engine)} & set(service.hits)) == 5
    assert len({hit["RequesterAnnotation"] for hit in service.hits.values()}) == 5
    assert not planned_hits(engine, True)


def test_a_hit_made_without_being_listed_yet_is_not_made_again(engine: Engine, turk: Turk, service: Service) -> None:
    service.failures["after:create_hit_with_hit_type"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        create_hits(turk, engine, PLAN, NOW)
    made, service.hits = service.hits, {}
    with pytest.raises(InputError, match="wait a minute"):
        create_hits(turk, engine, PLAN, NOW)
    service.hits = made
    create_hits(turk, engine, PLAN, NOW)
    assert len(service.hits) == 5


def test_a_failure_in_the_middle_keeps_what_was_made(engine: Engine, turk: Turk, service: Service) -> None:
    create = "create_hit_with_hit_type"
    service.failures[f"after:{create}"] = []
    create_hits(turk, engine, replace(PLAN, hits=2), NOW)
    service.failures[create] = ["RequestError"]
    with pytest.raises(InputError, match="RequestError happened"):
        create_hits(turk, engine, PLAN, NOW)
    assert len(service.hits) == 2
    assert create_hits(turk, engine, PLAN, NOW) == 5
    assert len(service.hits) == 7


def test_throttling_is_waited_out(engine: Engine, service: Service) -> None:
    waited: list[float] = []
    turk = Turk(service, True, sleep=waited.append)
    service.failures["create_hit_with_hit_type"] = ["ThrottlingException", "ServiceFault", "ThrottlingException"]
    create_hits(turk, engine, PLAN, NOW)
    assert len(service.hits) == 5
    assert waited == [1, 2, 4]
    service.failures["get_hit"] = ["ThrottlingException"] * 6
    with pytest.raises(InputError, match="ThrottlingException happened"):
        turk.call("get_hit", HITId="HIT0")
    assert len(waited) == 3 + 5


def test_status_counts_over_all_pages(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, replace(PLAN, hits=1, assignments=9), NOW)
    for i in range(7):
        service.hand_in("HIT0", f"AWORKER{i}", f"ASSIGNMENT{i}")
    for i in range(3):
        service.assignments[f"ASSIGNMENT{i}"]["AssignmentStatus"] = "Approved"
    service.assignments["ASSIGNMENT3"]["AssignmentStatus"] = "Rejected"
    (status,) = hit_statuses(turk, engine, EXPIRES.timestamp() - 7200)
    assert (status.submitted, status.approved, status.rejected) == (3, 3, 1)
    assert status.hours_left == pytest.approx(2)
    assert status.cost == Cost(45, 9)
    assert service.count("list_assignments_for_hit") == 4


def answered(engine: Engine, worker: str, assignment: str, hit_id: str = "HIT0", leave: int = 0) -> None:
    """A worker comes, and answers all questions of their task but `leave`."""
    arrival = Arrival("mturk", worker, assignment, hit_id, "https://workersandbox.mturk.com")
    settings = replace(SETTINGS, unregistered_hits=True)
    visit, person = with_retries(engine, lambda connection: open_visit(connection, settings, arrival, NOW))
    with transaction(engine) as connection:
        connection.execute(schema.person.update().where(schema.person.c.id == person.id).values(stage="working"))
    task = take_task(engine, settings, visit, NOW)
    assert task is not None
    questions = task.questions[: len(task.questions) - leave]
    events = [
        Event(f"00000000-0000-4000-8000-{question.id:012}", question.id, 1, "a", 900, NOW) for question in questions
    ]
    record(engine, settings, person.id, events, NOW)


def test_only_work_of_the_worker_who_answered_is_good(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, replace(PLAN, hits=1, assignments=9), NOW)
    answered(engine, "AGOOD", "GOOD")
    answered(engine, "AHALF", "HALF", leave=1)
    answered(engine, "ATHIEF", "STOLEN")
    answered(engine, "AOTHER", "OTHERHIT", hit_id="HIT77")
    for worker, number in (("AGOOD", "GOOD"), ("AHALF", "HALF"), ("AHONEST", "STOLEN"), ("AOTHER", "OTHERHIT")):
        service.hand_in("HIT0", worker, number)
    service.hand_in("HIT0", "ANEVER", "NEVER")
    found = {s.assignment_id: s for s in list_submissions(turk, engine, SETTINGS)}
    assert {number: s.verdict for number, s in found.items()} == {
        "GOOD": "good", "HALF": "bad", "STOLEN": "unknown", "OTHERHIT": "unknown", "NEVER": "unknown",
    }  # fmt: skip
    assert "another worker, ATHIEF" in found["STOLEN"].why
    assert found["GOOD"].answers == 2
    good = choose(list(found.values()), verdict="good")
    assert judge(turk, engine, good, "approved", "") == 1
    assert service.assignments["GOOD"]["AssignmentStatus"] == "Approved"
    assert {a["AssignmentStatus"] for n, a in service.assignments.items() if n != "GOOD"} == {"Submitted"}
    bad = choose(list(found.values()), verdict="bad")
    with pytest.raises(InputError, match="told why"):
        judge(turk, engine, bad, "rejected", " ")
    assert judge(turk, engine, bad, "rejected", "one question was not answered") == 1
    with engine.connect() as connection:
        rows = connection.execute(select(schema.visit.c.assignment_id, schema.visit.c.verdict)).all()
        verdicts = {row[0]: row[1] for row in rows}
    assert (verdicts["GOOD"], verdicts["HALF"], verdicts["STOLEN"]) == ("approved", "rejected", None)


def test_inaccurate_and_blocked_workers_are_bad(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, replace(PLAN, hits=1, assignments=9), NOW)
    for worker in ("AWRONG", "AFEW", "ABLOCKED"):
        answered(engine, worker, worker[1:])
        service.hand_in("HIT0", worker, worker[1:])
    people = {}

    def change(connection) -> None:
        for row in connection.execute(select(schema.person.c.id, schema.person.c.external_id)):
            people[row[1]] = row[0]
        tally = schema.tally
        for worker, gold, right in (("AWRONG", 20, 4), ("AFEW", 2, 0)):
            connection.execute(tally.delete().where(tally.c.person_id == people[worker]))
            connection.execute(tally.insert().values(person_id=people[worker], hour=1, gold=gold, gold_right=right))
        blocked = schema.person.c.external_id == "ABLOCKED"
        connection.execute(schema.person.update().where(blocked).values(blocked_at=NOW, block_reason="spam"))

    with_retries(engine, change)
    verdicts = {s.worker_id: (s.verdict, s.why) for s in list_submissions(turk, engine, SETTINGS)}
    assert verdicts["AWRONG"] == ("bad", "4 of 20 questions with known answers were right")
    assert verdicts["AFEW"][0] == "good"  # two wrong answers prove nothing
    assert verdicts["ABLOCKED"] == ("bad", "the worker is blocked")


def test_judging_is_resumed(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, replace(PLAN, hits=1, assignments=9), NOW)
    for i in range(4):
        answered(engine, f"AWORKER{i}", f"WORK{i}")
        service.hand_in("HIT0", f"AWORKER{i}", f"WORK{i}")
    service.failures["approve_assignment"] = []
    chosen = list_submissions(turk, engine, SETTINGS)
    service.failures["after:approve_assignment"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        judge(turk, engine, chosen, "approved", "")
    left = list_submissions(turk, engine, SETTINGS)
    assert len(left) == 3
    assert judge(turk, engine, left, "approved", "thanks") == 3
    assert {a["AssignmentStatus"] for a in service.assignments.values()} == {"Approved"}


def test_choose_names_what_is_not_there(engine: Engine, turk: Turk, service: Service) -> None:
    with pytest.raises(InputError, match="assignment X: nothing of it is waiting"):
        choose([], assignments=["X"])
    with pytest.raises(InputError, match="worker A1: nothing of it is waiting"):
        choose([], workers=["A1"])


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_bonus_is_paid_once(engine: Engine, turk: Turk, service: Service, forgotten: bool) -> None:
    create_hits(turk, engine, replace(PLAN, hits=1, assignments=9), NOW)
    for i in range(3):
        answered(engine, f"AWORKER{i}", f"WORK{i}")
        service.hand_in("HIT0", f"AWORKER{i}", f"WORK{i}")
    done = list_submissions(turk, engine, SETTINGS)
    service.failures["after:send_bonus"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        send_bonus(turk, engine, submissions_to_pay(turk, done, 50, "thorough"), 50, "thorough")
    assert len(service.bonuses) == 1
    if forgotten:
        service.tokens.clear()
    left = submissions_to_pay(turk, done, 50, "thorough")
    assert len(left) == 2
    assert send_bonus(turk, engine, left, 50, "thorough") == 2
    assert send_bonus(turk, engine, submissions_to_pay(turk, done, 50, "thorough"), 50, "thorough") == 0
    assert [bonus["BonusAmount"] for bonus in service.bonuses] == ["0.50"] * 3
    with pytest.raises(InputError, match=r"had a bonus of \$0\.50 for this reason"):
        submissions_to_pay(turk, done, 60, "thorough")
    assert send_bonus(turk, engine, submissions_to_pay(turk, done[:1], 5, "again"), 5, "again") == 1
    with engine.connect() as connection:
        bonus = connection.execute(select(schema.visit.c.bonus).order_by(schema.visit.c.assignment_id)).scalars().all()
    assert bonus[0] == pytest.approx(0.55)


def test_a_bonus_already_carried_out_is_no_failure(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, replace(PLAN, hits=1), NOW)
    service.hand_in("HIT0", "AWORKER", "WORK")
    done = list_submissions(turk, engine, SETTINGS)
    assert send_bonus(turk, engine, done, 50, "thorough") == 1
    assert send_bonus(turk, engine, done, 50, "thorough") == 0
    assert len(service.bonuses) == 1


def test_extend_goes_up_to_a_number(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, replace(PLAN, hits=2), NOW)
    rows = hit_rows(engine, True)
    fewer, cost = extend_cost(turk, rows, 9)
    assert cost == Cost(2 * 6 * 15, 2 * 6 * 3)
    service.failures["after:create_additional_assignments_for_hit"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        extend_hits(turk, engine, fewer, 9)
    fewer, cost = extend_cost(turk, rows, 9)
    assert [hit_id for hit_id, _, _ in fewer] == ["HIT1"]
    assert extend_hits(turk, engine, fewer, 9) == 6
    assert [hit["MaxAssignments"] for hit in service.hits.values()] == [9, 9]
    assert extend_cost(turk, rows, 9) == ([], Cost(0, 0))
    with pytest.raises(InputError, match="9 at most"):
        extend_cost(turk, rows, 10)


def test_expire_and_its_echo(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, replace(PLAN, hits=2), NOW)
    service.failures["update_expiration_for_hit"] = [
        AlreadyDoneError()
    ]  # as for "The idempotency token ... has already been processed"
    expire_hits(turk, engine, hit_rows(engine, True, ["HIT0"]))
    assert [state for _, state in stored(engine)] == ["expired", "created"]
    expire_hits(turk, engine, hit_rows(engine, True), NOW + 3600)
    assert service.hits["HIT1"]["Expiration"].timestamp() == NOW + 3600
    with pytest.raises(InputError, match="HIT HIT9: not one of this project's in the sandbox"):
        hit_rows(engine, True, ["HIT9"])


def test_sandbox_and_production_are_apart(engine: Engine, turk: Turk, service: Service) -> None:
    create_hits(turk, engine, PLAN, NOW)
    assert not hit_rows(engine, False)
    assert not planned_hits(engine, False)


def test_hits_needed_ask_all_that_is_wanted(engine: Engine) -> None:
    assert hits_needed(engine, SETTINGS, 9) == 2  # 4 poses x 3 pairs x 3 answers / 2 a task / 9
    assert hits_needed(engine, replace(SETTINGS, gold_share=0.5), 9) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"public_url": "http://studio.example.org"}, "public URL: expected https://HOST"),
        ({"public_url": "https://user@host"}, "public URL"),
        ({"hits": 0}, "hits: expected 1..100000, got 0"),
        ({"reward_cents": 0}, "reward cents"),
        ({"title": ""}, "title: expected 1 to 128 characters"),
        ({"countries": ("usa",)}, "country: expected two capital letters"),
        ({"approval_rate": 101}, "approval rate"),
        ({"days": float("nan")}, "days"),
    ],
)
def test_plans_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(PLAN, **change)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("UnrecognizedClientException", "does not accept the credentials"),
        ("AccessDeniedException", "may not do get_account_balance"),
        ("RequestError", "Mechanical Turk: get_account_balance: what it says"),
    ],
)
def test_errors_are_one_line(code: str, message: str) -> None:
    client, stubber = stubbed_client()
    stubber.add_client_error("get_account_balance", code, "what\n it says")
    with pytest.raises(InputError, match=message) as caught:
        Turk(client, True).call("get_account_balance")
    assert "\n" not in str(caught.value)


def test_no_money_and_no_network() -> None:
    client, stubber = stubbed_client()
    stubber.add_client_error(
        "get_account_balance",
        "RequestError",
        "no",
        modeled_fields={"TurkErrorCode": "AWS.MechanicalTurk.InsufficientFunds"},
    )
    with pytest.raises(InputError, match="balance does not cover"):
        Turk(client, True).call("get_account_balance")
    service = Service()
    service.failures["get_hit"] = [EndpointConnectionError(endpoint_url="https://x"), NoCredentialsError()]
    for _ in range(2):
        with pytest.raises(InputError, match="could not be reached"):
            Turk(service, True).call("get_hit", HITId="H")


def test_missing_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda self: None)
    with pytest.raises(InputError, match="no AWS credentials: set AWS_ACCESS_KEY_ID"):
        connect_turk()


def test_the_sandbox_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert "sandbox" in connect_turk().client.meta.endpoint_url
    assert "sandbox" not in connect_turk(sandbox=False).client.meta.endpoint_url
