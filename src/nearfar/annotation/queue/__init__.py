"""The queue: what people are asked next, and their answers taken in."""

from nearfar.annotation.queue.counting import recount
from nearfar.annotation.queue.leasing import next_task, release_expired
from nearfar.annotation.queue.recording import (
    MOST_EVENTS,
    MOST_REVISIONS,
    Event,
    Feedback,
    Reason,
    Receipt,
    record,
)
from nearfar.annotation.queue.stages import finish_tutorial, open_tutorial, stage_after
from nearfar.annotation.queue.tasks import Kind, Question, Task

__all__ = [
    "MOST_EVENTS",
    "MOST_REVISIONS",
    "Event",
    "Feedback",
    "Kind",
    "Question",
    "Reason",
    "Receipt",
    "Task",
    "finish_tutorial",
    "next_task",
    "open_tutorial",
    "record",
    "recount",
    "release_expired",
    "stage_after",
]
