"""The tables of a project's database.

Times are seconds since 1970 by the server's clock, but where a column says otherwise. Nothing is ever deleted: an
answer that was taken back stays, with the next revision after it.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)

__all__ = [
    "Choice",
    "Platform",
    "Purpose",
    "Role",
    "Stage",
    "answer",
    "audit",
    "ban",
    "comment",
    "hit",
    "invitation",
    "merging",
    "metadata",
    "pair",
    "person",
    "pose",
    "question",
    "session",
    "tally",
    "task",
    "visit",
]

Role = Literal["admin", "annotator", "viewer"]
Platform = Literal["invited", "mturk", "prolific"]
Stage = Literal["tutorial", "practice", "test", "working", "failed"]
Purpose = Literal["work", "gold", "tutorial", "practice", "test"]
Choice = Literal["a", "b", "same", "unsure", "undone"]

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only where the type is INTEGER
Number = Float(53)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

person = Table(
    "person",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("role", String(12), nullable=False),
    Column("platform", String(12), nullable=False, default="invited"),
    Column("external_id", String(100)),  # worker id on the platform
    Column("stage", String(12), nullable=False, default="tutorial"),
    Column("tutorial_opened_at", Number),  # the reading time counts from the first look
    Column("test_attempts", Integer, nullable=False, default=0),
    Column("blocked_at", Number),
    Column("block_reason", String(500)),
    Column("skill_first", Number),  # P(right) where the joint asked first is nearer, from the last merging
    Column("skill_second", Number),
    Column("compared", Integer, nullable=False, default=0),  # answers that can be compared with merged labels
    Column("agreed", Integer, nullable=False, default=0),  # and agree with them; both from the last merging
    Column("unblocked_at", Number),  # an admin let the person in again: not blocked by itself any more
    Column("queue_priority", Number),  # the place in the queue before which all is asked already (queue.py);
    Column("queue_shuffle", Integer),  # None: at its head
    Column("queue_pair", BigInteger),
    Column("created_at", Number, nullable=False),
    UniqueConstraint("platform", "external_id"),
    UniqueConstraint("platform", "name"),
    CheckConstraint("role in ('admin', 'annotator', 'viewer')", name="role"),
    CheckConstraint("platform in ('invited', 'mturk', 'prolific')", name="platform"),
    CheckConstraint("stage in ('tutorial', 'practice', 'test', 'working', 'failed')", name="stage"),
)

invitation = Table(
    "invitation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("role", String(12), nullable=False),
    Column("person_id", ForeignKey("person.id")),  # a new link for somebody known; otherwise a person is made when used
    Column("name", String(100)),
    Column("created_at", Number, nullable=False),
    Column("created_by", ForeignKey("person.id")),  # None: by the command line
    Column("expires_at", Number, nullable=False),
    Column("used_at", Number),
    Column("revoked_at", Number),
)

session = Table(
    "session",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False, index=True),
    Column("csrf_token", String(64), nullable=False),
    Column("created_at", Number, nullable=False),
    Column("seen_at", Number, nullable=False),  # to within sessions.SEEN_SECONDS
    Column("expires_at", Number, nullable=False),
    Column("ended_at", Number),
    Column("visit_id", ForeignKey("visit.id")),  # of external workers: each assignment has its own
)

pose = Table(
    "pose",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),  # row of the project's poses.npz, or of lessons/poses.npz
    Column("image", String(1000), nullable=False),  # below the images folder, or below lessons/
    Column("lesson", Boolean, nullable=False, default=False),
    Column("crop_x", Integer, nullable=False),  # pixels of the image
    Column("crop_y", Integer, nullable=False),
    Column("crop_width", Integer, nullable=False),
    Column("crop_height", Integer, nullable=False),
)
"""Lessons have ids from LESSON_POSES on: their row of lessons/poses.npz is id − LESSON_POSES."""

LESSON_POSES = 1 << 40

pair = Table(
    "pair",
    metadata,
    Column("id", Id, primary_key=True),
    Column("pose_id", ForeignKey("pose.id"), nullable=False),
    Column("joint_a", SmallInteger, nullable=False),  # the lower joint number
    Column("joint_b", SmallInteger, nullable=False),
    Column("purpose", String(12), nullable=False, default="work"),
    Column("truth", SmallInteger),  # -1 joint_a is nearer, +1 joint_b, 0 the same; for all purposes but work
    Column("explanation", String(500)),  # why, for the tutorial and the feedback of practice
    Column("priority", Number, nullable=False, default=0.0),  # higher is asked first
    Column(
        "shuffle", Integer, nullable=False, default=0
    ),  # order among equal priorities, drawn at random for each pose
    Column("wanted", Integer, nullable=False),  # answers wanted at present
    Column("least", Integer, nullable=False, default=0),  # answers that an admin wants, however small the risk
    Column("answered", Integer, nullable=False, default=0),  # live answers of people who are not blocked
    Column("leased", Integer, nullable=False, default=0),  # questions given out and neither answered nor released
    Column("need", Integer, nullable=False),  # max(0, wanted - answered - leased) while open, 0 when closed
    Column("closed", String(12)),  # why: "answers", "risk", "most", "admin", "image"; None while open
    Column("probability", Number),  # that joint_b is nearer, from the last merging
    Column("risk", Number),
    UniqueConstraint("pose_id", "joint_a", "joint_b", "purpose"),
    CheckConstraint("joint_a < joint_b", name="joint_order"),
    CheckConstraint("purpose in ('work', 'gold', 'tutorial', 'practice', 'test')", name="purpose"),
    CheckConstraint("truth in (-1, 0, 1)", name="truth"),
)
# Conditions of partial indexes; a query that uses one has to have it word for word, without parameters.
queued = (pair.c.purpose == literal_column("'work'")) & (pair.c.need > literal_column("0"))
"""Pairs that can be given out; the queue's order is that of the index, backwards."""
merged = (pair.c.purpose == literal_column("'work'")) & (pair.c.risk >= literal_column("0"))
"""Pairs whose risk is known."""
known = pair.c.purpose != literal_column("'work'")
"""Pairs whose answer is known."""
Index("ix_pair_queue", pair.c.priority, pair.c.shuffle, pair.c.id, sqlite_where=queued, postgresql_where=queued)
Index("ix_pair_disputed", pair.c.risk, pair.c.id, sqlite_where=merged, postgresql_where=merged)
Index("ix_pair_known", pair.c.purpose, pair.c.shuffle, pair.c.id, sqlite_where=known, postgresql_where=known)

task = Table(
    "task",
    metadata,
    Column("id", Id, primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("kind", String(12), nullable=False),  # work, practice, test
    Column("a_left", Boolean, nullable=False),  # the button of A is on the left: changes from task to task
    Column("leased_at", Number, nullable=False),
    Column("lease_expires_at", Number, nullable=False),
    Column("state", String(12), nullable=False),  # leased, expired (may be resumed), done, dropped
    Column("finished_at", Number),
    Index("ix_task_person", "person_id", "state"),
    Index("ix_task_lease", "state", "lease_expires_at"),
    CheckConstraint("kind in ('work', 'practice', 'test')", name="kind"),
    CheckConstraint("state in ('leased', 'expired', 'done', 'dropped')", name="state"),
)

question = Table(
    "question",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task_id", ForeignKey("task.id"), nullable=False, index=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("pair_id", ForeignKey("pair.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("swapped", Boolean, nullable=False),  # A is the pair's joint_b
    Column("attempt", Integer, nullable=False, default=0),  # of the entry test; 0 elsewhere
    Column("state", String(12), nullable=False),  # leased, answered, released (its lease ran out unanswered), dropped
    Column("revision", Integer, nullable=False, default=0),  # of the last answer
    Column("choice", String(8)),  # of the last answer; None before, and when it was undone
    Column("correct", SmallInteger),  # 1: it is the known one, 0: not; None for pairs of work, and without an answer
    UniqueConstraint("person_id", "pair_id", "attempt"),
    CheckConstraint("state in ('leased', 'answered', 'released', 'dropped')", name="state"),
)
"""Nobody is asked a pair twice: (person, pair) is unique, but for the entry test, which can be tried again."""
failed = question.c.correct == literal_column("0")
"""Questions with a known answer that were answered otherwise."""
Index("ix_question_failed", question.c.id, sqlite_where=failed, postgresql_where=failed)

answer = Table(
    "answer",
    metadata,
    Column("key", String(36), primary_key=True),  # made by the browser: an answer sent twice is stored once
    Column("question_id", ForeignKey("question.id"), nullable=False),
    Column("revision", Integer, nullable=False),  # counts from 1; the highest is what the person says
    Column("choice", String(8), nullable=False),
    Column("response_ms", Integer, nullable=False),  # from the end of the lock to the key, by the browser's clock
    Column("answered_at", Number),  # by the browser's clock
    Column("received_at", Number, nullable=False, index=True),
    UniqueConstraint("question_id", "revision"),
    CheckConstraint("choice in ('a', 'b', 'same', 'unsure', 'undone')", name="choice"),
)

TIME_BINS = 24
"""Bins of response times; bin i ends at 125·2^(i/2) ms, the last is open."""

tally = Table(
    "tally",
    metadata,
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    Column("hour", Integer, primary_key=True),  # since 1970, by when the answer came
    *(
        Column(name, Integer, nullable=False, default=0)
        for name in ("work", "gold", "gold_right", "first", "left", "same", "unsure", "hasty")
    ),
    *(Column(f"time_{i}", Integer, nullable=False, default=0) for i in range(TIME_BINS)),
)
"""What each person answered in each hour: live answers to pairs of work and of gold, kept with every answer, so that no
number of the dashboard needs all answers to be read. `first` counts choices of A, `left` of the left button."""

merging = Table(
    "merging",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("claimed_until", Number),  # a process is merging
    Column("merged_at", Number),
    Column("seconds", Number),  # that it took
    Column("answers", Integer, nullable=False, default=0),
    Column("crowd", Number),  # skill of an average person
    Column("level_shares", JSON),  # of consensus.SkillFit
    Column("agreement", JSON),  # of the answers to one pair among each other (statistics.Agreement)
)
"""The last merging of all answers."""

ban = Table(
    "ban",
    metadata,
    Column("id", Id, primary_key=True),
    Column("platform", String(12), nullable=False),
    Column("external_id", String(100), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("created_at", Number, nullable=False),
    UniqueConstraint("platform", "external_id"),
)
"""People who are kept out before they come."""

comment = Table(
    "comment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("question_id", ForeignKey("question.id")),
    Column("text", Text, nullable=False),
    Column("at", Number, nullable=False),
)

visit = Table(
    "visit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("platform", String(12), nullable=False),
    Column("assignment_id", String(100), nullable=False),  # Prolific: its submission (SESSION_ID)
    Column("batch_id", String(100), nullable=False),  # Mechanical Turk: the HIT; Prolific: the study
    Column("person_id", ForeignKey("person.id"), nullable=False, index=True),
    Column("task_id", ForeignKey("task.id")),
    Column("submit_url", String(300)),  # where Mechanical Turk wants to be told that it is done
    Column("opened_at", Number, nullable=False),
    Column("submitted_at", Number),  # when the worker was first given the form or the code that says it is done
    Column("completion_code", String(40)),
    Column("verdict", String(12)),  # approved, rejected
    Column("bonus", Number, nullable=False, default=0.0),
    UniqueConstraint("platform", "assignment_id"),
)
"""One assignment of an external worker."""

hit = Table(
    "hit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("request_token", String(64), nullable=False, unique=True),  # idempotent creation
    Column("hit_id", String(64), unique=True),  # None: asked for, not confirmed yet
    Column("hit_type_id", String(64)),
    Column("sandbox", Boolean, nullable=False),
    Column("title", String(128), nullable=False),
    Column("reward_cents", Integer, nullable=False),
    Column("assignments", Integer, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Column("state", String(12), nullable=False),  # planned, created, expired
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Number, nullable=False, index=True),
    Column("person_id", ForeignKey("person.id")),  # None: the command line, or a stranger
    Column("action", String(40), nullable=False),
    Column("object", String(200), nullable=False, default=""),
    Column("detail", JSON, nullable=False, default=dict),
)
