"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "ban",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("platform", sa.String(length=12), nullable=False),
        sa.Column("external_id", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ban")),
        sa.UniqueConstraint("platform", "external_id", name=op.f("uq_ban_platform_external_id")),
    )
    op.create_table(
        "hit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("request_token", sa.String(length=64), nullable=False),
        sa.Column("hit_id", sa.String(length=64), nullable=True),
        sa.Column("hit_type_id", sa.String(length=64), nullable=True),
        sa.Column("sandbox", sa.Boolean(), nullable=False),
        sa.Column("title", sa.String(length=128), nullable=False),
        sa.Column("reward_cents", sa.Integer(), nullable=False),
        sa.Column("assignments", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hit")),
        sa.UniqueConstraint("hit_id", name=op.f("uq_hit_hit_id")),
        sa.UniqueConstraint("request_token", name=op.f("uq_hit_request_token")),
    )
    op.create_table(
        "merging",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("claimed_until", sa.Float(precision=53), nullable=True),
        sa.Column("merged_at", sa.Float(precision=53), nullable=True),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("crowd", sa.Float(precision=53), nullable=True),
        sa.Column("level_shares", sa.JSON(), nullable=True),
        sa.Column("agreement", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merging")),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("platform", sa.String(length=12), nullable=False),
        sa.Column("external_id", sa.String(length=100), nullable=True),
        sa.Column("stage", sa.String(length=12), nullable=False),
        sa.Column("tutorial_opened_at", sa.Float(precision=53), nullable=True),
        sa.Column("test_attempts", sa.Integer(), nullable=False),
        sa.Column("blocked_at", sa.Float(precision=53), nullable=True),
        sa.Column("block_reason", sa.String(length=500), nullable=True),
        sa.Column("skill_first", sa.Float(precision=53), nullable=True),
        sa.Column("skill_second", sa.Float(precision=53), nullable=True),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("agreed", sa.Integer(), nullable=False),
        sa.Column("unblocked_at", sa.Float(precision=53), nullable=True),
        sa.Column("queue_priority", sa.Float(precision=53), nullable=True),
        sa.Column("queue_shuffle", sa.Integer(), nullable=True),
        sa.Column("queue_pair", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.CheckConstraint("platform in ('invited', 'mturk', 'prolific')", name=op.f("ck_person_platform")),
        sa.CheckConstraint("role in ('admin', 'annotator', 'viewer')", name=op.f("ck_person_role")),
        sa.CheckConstraint(
            "stage in ('tutorial', 'practice', 'test', 'working', 'failed')", name=op.f("ck_person_stage")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("platform", "external_id", name=op.f("uq_person_platform_external_id")),
        sa.UniqueConstraint("platform", "name", name=op.f("uq_person_platform_name")),
    )
    op.create_table(
        "pose",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("image", sa.String(length=1000), nullable=False),
        sa.Column("lesson", sa.Boolean(), nullable=False),
        sa.Column("crop_x", sa.Integer(), nullable=False),
        sa.Column("crop_y", sa.Integer(), nullable=False),
        sa.Column("crop_width", sa.Integer(), nullable=False),
        sa.Column("crop_height", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pose")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_audit_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_table(
        "invitation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("used_at", sa.Float(precision=53), nullable=True),
        sa.Column("revoked_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["created_by"], ["person.id"], name=op.f("fk_invitation_created_by")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_invitation_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitation_token_hash")),
    )
    op.create_table(
        "pair",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pose_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("joint_a", sa.SmallInteger(), nullable=False),
        sa.Column("joint_b", sa.SmallInteger(), nullable=False),
        sa.Column("purpose", sa.String(length=12), nullable=False),
        sa.Column("truth", sa.SmallInteger(), nullable=True),
        sa.Column("explanation", sa.String(length=500), nullable=True),
        sa.Column("priority", sa.Float(precision=53), nullable=False),
        sa.Column("shuffle", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("leased", sa.Integer(), nullable=False),
        sa.Column("need", sa.Integer(), nullable=False),
        sa.Column("closed", sa.String(length=12), nullable=True),
        sa.Column("probability", sa.Float(precision=53), nullable=True),
        sa.Column("risk", sa.Float(precision=53), nullable=True),
        sa.CheckConstraint("purpose in ('work', 'gold', 'tutorial', 'practice', 'test')", name=op.f("ck_pair_purpose")),
        sa.CheckConstraint("joint_a < joint_b", name=op.f("ck_pair_joint_order")),
        sa.CheckConstraint("truth in (-1, 0, 1)", name=op.f("ck_pair_truth")),
        sa.ForeignKeyConstraint(["pose_id"], ["pose.id"], name=op.f("fk_pair_pose_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair")),
        sa.UniqueConstraint(
            "pose_id", "joint_a", "joint_b", "purpose", name=op.f("uq_pair_pose_id_joint_a_joint_b_purpose")
        ),
    )
    op.create_index("ix_pair_disputed", "pair", ["purpose", "risk", "id"], unique=False)
    op.create_index(
        "ix_pair_known",
        "pair",
        ["purpose", "shuffle", "id"],
        unique=False,
        sqlite_where=sa.text("purpose != 'work'"),
        postgresql_where=sa.text("purpose != 'work'"),
    )
    op.create_index(
        "ix_pair_queue",
        "pair",
        ["priority", "shuffle", "id"],
        unique=False,
        sqlite_where=sa.text("purpose = 'work' AND need > 0"),
        postgresql_where=sa.text("purpose = 'work' AND need > 0"),
    )
    op.create_table(
        "tally",
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("work", sa.Integer(), nullable=False),
        sa.Column("gold", sa.Integer(), nullable=False),
        sa.Column("gold_right", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=False),
        sa.Column("same", sa.Integer(), nullable=False),
        sa.Column("unsure", sa.Integer(), nullable=False),
        sa.Column("hasty", sa.Integer(), nullable=False),
        sa.Column("time_0", sa.Integer(), nullable=False),
        sa.Column("time_1", sa.Integer(), nullable=False),
        sa.Column("time_2", sa.Integer(), nullable=False),
        sa.Column("time_3", sa.Integer(), nullable=False),
        sa.Column("time_4", sa.Integer(), nullable=False),
        sa.Column("time_5", sa.Integer(), nullable=False),
        sa.Column("time_6", sa.Integer(), nullable=False),
        sa.Column("time_7", sa.Integer(), nullable=False),
        sa.Column("time_8", sa.Integer(), nullable=False),
        sa.Column("time_9", sa.Integer(), nullable=False),
        sa.Column("time_10", sa.Integer(), nullable=False),
        sa.Column("time_11", sa.Integer(), nullable=False),
        sa.Column("time_12", sa.Integer(), nullable=False),
        sa.Column("time_13", sa.Integer(), nullable=False),
        sa.Column("time_14", sa.Integer(), nullable=False),
        sa.Column("time_15", sa.Integer(), nullable=False),
        sa.Column("time_16", sa.Integer(), nullable=False),
        sa.Column("time_17", sa.Integer(), nullable=False),
        sa.Column("time_18", sa.Integer(), nullable=False),
        sa.Column("time_19", sa.Integer(), nullable=False),
        sa.Column("time_20", sa.Integer(), nullable=False),
        sa.Column("time_21", sa.Integer(), nullable=False),
        sa.Column("time_22", sa.Integer(), nullable=False),
        sa.Column("time_23", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_tally_person_id")),
        sa.PrimaryKeyConstraint("person_id", "hour", name=op.f("pk_tally")),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("a_left", sa.Boolean(), nullable=False),
        sa.Column("leased_at", sa.Float(precision=53), nullable=False),
        sa.Column("lease_expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.CheckConstraint("kind in ('work', 'practice', 'test')", name=op.f("ck_task_kind")),
        sa.CheckConstraint("state in ('leased', 'expired', 'done', 'dropped')", name=op.f("ck_task_state")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_task_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    op.create_index("ix_task_lease", "task", ["state", "lease_expires_at"], unique=False)
    op.create_index("ix_task_person", "task", ["person_id", "state"], unique=False)
    op.create_table(
        "question",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pair_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("swapped", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("choice", sa.String(length=8), nullable=True),
        sa.Column("correct", sa.SmallInteger(), nullable=True),
        sa.CheckConstraint("state in ('leased', 'answered', 'released', 'dropped')", name=op.f("ck_question_state")),
        sa.ForeignKeyConstraint(["pair_id"], ["pair.id"], name=op.f("fk_question_pair_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_question_person_id")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_question_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
        sa.UniqueConstraint("person_id", "pair_id", "attempt", name=op.f("uq_question_person_id_pair_id_attempt")),
    )
    op.create_index(
        "ix_question_failed",
        "question",
        ["id"],
        unique=False,
        sqlite_where=sa.text("correct = 0"),
        postgresql_where=sa.text("correct = 0"),
    )
    op.create_index(op.f("ix_question_pair_id"), "question", ["pair_id"], unique=False)
    op.create_index(op.f("ix_question_task_id"), "question", ["task_id"], unique=False)
    op.create_table(
        "visit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("platform", sa.String(length=12), nullable=False),
        sa.Column("assignment_id", sa.String(length=100), nullable=False),
        sa.Column("batch_id", sa.String(length=100), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("submit_url", sa.String(length=300), nullable=True),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("submitted_at", sa.Float(precision=53), nullable=True),
        sa.Column("completion_code", sa.String(length=40), nullable=True),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("bonus", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_visit_person_id")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_visit_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visit")),
        sa.UniqueConstraint("platform", "assignment_id", name=op.f("uq_visit_platform_assignment_id")),
    )
    op.create_index(op.f("ix_visit_person_id"), "visit", ["person_id"], unique=False)
    op.create_table(
        "answer",
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column("question_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("choice", sa.String(length=8), nullable=False),
        sa.Column("response_ms", sa.Integer(), nullable=False),
        sa.Column("answered_at", sa.Float(precision=53), nullable=True),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.CheckConstraint("choice in ('a', 'b', 'same', 'unsure', 'undone')", name=op.f("ck_answer_choice")),
        sa.ForeignKeyConstraint(["question_id"], ["question.id"], name=op.f("fk_answer_question_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_answer")),
        sa.UniqueConstraint("question_id", "revision", name=op.f("uq_answer_question_id_revision")),
    )
    op.create_index(op.f("ix_answer_received_at"), "answer", ["received_at"], unique=False)
    op.create_table(
        "comment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("question_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_comment_person_id")),
        sa.ForeignKeyConstraint(["question_id"], ["question.id"], name=op.f("fk_comment_question_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment")),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("csrf_token", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("ended_at", sa.Float(precision=53), nullable=True),
        sa.Column("visit_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_session_person_id")),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name=op.f("fk_session_visit_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_person_id"), "session", ["person_id"], unique=False)
