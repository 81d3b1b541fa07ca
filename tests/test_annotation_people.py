"""People, links and sessions, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from nearfar.annotation import audit, invitations, people, schema, sessions
from nearfar.annotation.database import connect, migrate, with_retries
from nearfar.annotation.sessions import DAY
from nearfar.errors import InputError

NOW = 1_700_000_000.0


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = connect(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def do(engine: sa.Engine) -> Callable[..., Any]:
    """Call a function in a transaction."""
    return lambda function, *args, **named: with_retries(engine, lambda c: function(c, *args, **named))


def test_a_link_signs_in_once(do: Callable[..., Any]) -> None:
    link = do(invitations.invite, "Ada", "admin", NOW)
    assert do(invitations.look_up, link.token, NOW).name == "Ada"
    session = do(invitations.sign_in, link.token, NOW + 1)
    assert (session.person.name, session.person.role) == ("Ada", "admin")
    assert do(invitations.sign_in, link.token, NOW + 2) is None
    assert do(invitations.look_up, link.token, NOW + 2) is None
    assert do(sessions.find_session, session.token, NOW + 2).person == session.person


def test_of_two_uses_at_once_one_wins(engine: sa.Engine, do: Callable[..., Any]) -> None:
    for turn in range(5):
        link = do(invitations.invite, f"Ada {turn}", "annotator", NOW)
        start, won = threading.Barrier(4), []

        def use(token: str = link.token, start: threading.Barrier = start, won: list[Any] = won) -> None:
            start.wait()
            won.append(with_retries(engine, lambda c: invitations.sign_in(c, token, NOW)))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(session is not None for session in won) == 1
    assert len(do(people.list_people)) == 5


def test_links_expire_and_can_be_taken_back(do: Callable[..., Any]) -> None:
    late = do(invitations.invite, "Ada", "annotator", NOW, days=1)
    assert do(invitations.sign_in, late.token, NOW + DAY) is None
    taken = do(invitations.invite, "Bo", "annotator", NOW)
    assert [i.name for i in do(invitations.list_invitations, NOW)] == ["Bo", "Ada"]
    do(invitations.revoke, taken.id, NOW)
    assert do(invitations.sign_in, taken.token, NOW) is None
    with pytest.raises(InputError, match="none that could still be used"):
        do(invitations.revoke, taken.id, NOW)
    assert do(people.list_people) == []


def test_people_may_choose_their_name(do: Callable[..., Any]) -> None:
    do(people.create_person, "Ada", "annotator", NOW)
    link = do(invitations.invite, None, "annotator", NOW)
    for name in (None, "", "Ada", "x" * 101, "a\u202eb", "a\x00b"):
        with pytest.raises(InputError, match="name"):
            do(invitations.sign_in, link.token, NOW, name=name)
    assert do(invitations.sign_in, link.token, NOW, name="  Bo  Bot ").person.name == "Bo Bot"


def test_a_name_in_the_invitation_cannot_be_changed_by_its_user(do: Callable[..., Any]) -> None:
    link = do(invitations.invite, "Ada", "annotator", NOW)
    assert do(invitations.sign_in, link.token, NOW, name="Root").person.name == "Ada"


def test_names_are_not_given_twice(do: Callable[..., Any]) -> None:
    link = do(invitations.invite, "Ada", "annotator", NOW)
    with pytest.raises(InputError, match="invited already"):
        do(invitations.invite, "Ada", "viewer", NOW)
    ada = do(people.create_person, "Ada", "annotator", NOW)
    with pytest.raises(InputError, match="taken"):
        do(invitations.invite, "Ada", "viewer", NOW)
    with pytest.raises(InputError, match="taken"):
        do(invitations.sign_in, link.token, NOW)
    assert do(invitations.look_up, link.token, NOW) is not None
    bo = do(people.create_person, "Bo", "annotator", NOW)
    with pytest.raises(InputError, match="taken"):
        do(people.rename, bo.id, "Ada", NOW)
    do(people.rename, ada.id, "Eve", NOW)
    do(people.rename, bo.id, "Ada", NOW)
    assert [person.name for person in do(people.list_people)] == ["Eve", "Ada"]
    assert do(people.create_person, "Ada", "annotator", NOW, platform="mturk", external_id="A1").platform == "mturk"


def test_links_for_a_new_device(do: Callable[..., Any]) -> None:
    ada = do(people.create_person, "Ada", "annotator", NOW)
    first, second = do(invitations.link_for, ada.id, NOW), do(invitations.link_for, ada.id, NOW)
    on_one = do(invitations.sign_in, first.token, NOW)
    on_two = do(invitations.sign_in, second.token, NOW)
    assert on_one.person.id == on_two.person.id == ada.id
    assert on_one.token != on_two.token
    worker = do(people.create_person, "W", "annotator", NOW, platform="prolific", external_id="W")
    with pytest.raises(InputError, match="prolific"):
        do(invitations.link_for, worker.id, NOW)


def test_signing_in_ends_the_session_before(do: Callable[..., Any]) -> None:
    ada = do(people.create_person, "Ada", "annotator", NOW)
    before = do(sessions.start_session, ada.id, NOW)
    after = do(invitations.sign_in, do(invitations.link_for, ada.id, NOW).token, NOW, leaving=before.token)
    assert do(sessions.find_session, before.token, NOW) is None
    assert do(sessions.find_session, after.token, NOW) is not None


def test_sessions_end(do: Callable[..., Any]) -> None:
    ada = do(people.create_person, "Ada", "annotator", NOW)
    session = do(sessions.start_session, ada.id, NOW)
    find = sessions.find_session
    assert do(find, session.token, NOW + 6.9 * DAY)
    assert do(find, session.token, NOW + 7.1 * DAY) is None  # idle
    for day in range(1, 31):
        do(sessions.see_session, session.token, NOW + day * DAY)
    assert do(find, session.token, NOW + 29.9 * DAY)
    assert do(find, session.token, NOW + 30.1 * DAY) is None  # in use, but old
    out = do(sessions.start_session, ada.id, NOW)
    do(sessions.end_session, out.token, NOW)
    assert do(find, out.token, NOW) is None


@pytest.mark.parametrize("how", ["block", "role"])
def test_block_and_role_change_end_sessions_and_links(do: Callable[..., Any], how: str) -> None:
    ada = do(people.create_person, "Ada", "annotator", NOW)
    session = do(sessions.start_session, ada.id, NOW)
    link = do(invitations.link_for, ada.id, NOW)
    if how == "block":
        do(people.block, ada.id, "always A", NOW)
    else:
        do(people.change_role, ada.id, "viewer", NOW)
    assert do(sessions.find_session, session.token, NOW) is None
    assert do(invitations.sign_in, link.token, NOW) is None


def test_blocked_people_cannot_come_back_until_unblocked(do: Callable[..., Any]) -> None:
    ada = do(people.create_person, "Ada", "annotator", NOW)
    do(people.block, ada.id, "always A", NOW)
    assert do(people.get_person, ada.id).block_reason == "always A"
    with pytest.raises(InputError, match="blocked"):
        do(invitations.link_for, ada.id, NOW)
    assert do(sessions.find_session, do(sessions.start_session, ada.id, NOW).token, NOW) is None
    do(people.unblock, ada.id, NOW)
    assert do(invitations.sign_in, do(invitations.link_for, ada.id, NOW).token, NOW)


def test_nobody_locks_themselves_out(do: Callable[..., Any]) -> None:
    ada = do(people.create_person, "Ada", "admin", NOW)
    with pytest.raises(InputError, match="themselves"):
        do(people.block, ada.id, "tired", NOW, by=ada.id)
    with pytest.raises(InputError, match="own role"):
        do(people.change_role, ada.id, "viewer", NOW, by=ada.id)
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(InputError, match="reason"):
            do(people.block, ada.id, reason, NOW)
    with pytest.raises(InputError, match="none of that number"):
        do(people.block, 99, "?", NOW)


def test_the_database_holds_no_token(engine: sa.Engine, do: Callable[..., Any]) -> None:
    link = do(invitations.invite, "Ada", "admin", NOW)
    session = do(invitations.sign_in, link.token, NOW)
    do(sessions.end_session, session.token, NOW)
    with engine.connect() as connection:
        stored = [
            str(value)
            for table in schema.metadata.sorted_tables
            for row in connection.execute(sa.select(table))
            for value in row
        ]
    assert stored
    for secret in (link.token, session.token):
        assert len(secret) >= 43  # 256 bits
        assert not [value for value in stored if secret in value]
        assert secret not in repr(link)
        assert secret not in repr(session)


def test_every_act_is_logged(do: Callable[..., Any]) -> None:
    admin = do(invitations.sign_in, do(invitations.invite, "Ada", "admin", NOW).token, NOW + 1).person
    link = do(invitations.invite, "Bo", "annotator", NOW + 2, by=admin.id)
    bo = do(invitations.sign_in, link.token, NOW + 3)
    do(people.rename, bo.person.id, "Bob", NOW + 4, by=admin.id)
    do(people.change_role, bo.person.id, "viewer", NOW + 5, by=admin.id)
    do(people.block, bo.person.id, "spam", NOW + 6, by=admin.id)
    do(people.unblock, bo.person.id, NOW + 7, by=admin.id)
    do(invitations.revoke, do(invitations.link_for, bo.person.id, NOW + 8, by=admin.id).id, NOW + 9, by=admin.id)
    log = do(audit.read_log)
    assert [(entry.name, entry.action, entry.object) for entry in reversed(log)] == [
        (None, "link made", "Ada"), (None, "person added", "Ada"), ("Ada", "signed in", "Ada"),
        ("Ada", "link made", "Bo"), ("Ada", "person added", "Bo"), ("Bob", "signed in", "Bo"),
        ("Ada", "renamed", "Bob"), ("Ada", "role changed", "Bob"), ("Ada", "blocked", "Bob"),
        ("Ada", "unblocked", "Bob"), ("Ada", "link made", "Bob"), ("Ada", "link revoked", "Bob"),
    ]  # fmt: skip
    assert log[3].detail == {"reason": "spam"}
    assert [entry.id for entry in do(audit.read_log, most=2, before=log[2].id)] == [log[3].id, log[4].id]


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE person; --", "<script>alert(1)</script>", 'a"b', "%s {x} \\", "名前 😀"]
)
def test_hostile_names_are_kept_as_they_are(do: Callable[..., Any], text: str) -> None:
    person = do(people.create_person, text, "annotator", NOW)
    assert do(people.find_person, text) == person
    do(people.block, person.id, text, NOW)
    assert do(people.get_person, person.id).block_reason == text
    assert do(sessions.find_session, text, NOW) is None
    assert do(invitations.sign_in, text, NOW) is None


@given(st.text(max_size=300))
def test_checked_names_can_be_shown(text: str) -> None:
    try:
        name = people.check_name(text)
    except InputError:
        return
    assert 0 < len(name) <= people.LONGEST_NAME
    assert name.isprintable() or any(not sign.isprintable() and not sign.isspace() for sign in name)
    assert people.check_name(name) == name
    assert not {"\n", "\u202e", "\u2066", "\x00"} & set(name)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum(a1)", "  =x"])
def test_names_are_no_formulas(name: str) -> None:
    with pytest.raises(InputError, match="spreadsheet"):
        people.check_name(name)


def test_roles() -> None:
    assert people.check_role("viewer") == "viewer"
    with pytest.raises(InputError, match="admin, annotator, viewer"):
        people.check_role("root")
