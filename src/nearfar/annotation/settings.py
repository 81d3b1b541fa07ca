"""What a project asks of people, and how: the settings in `project.toml`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from nearfar.errors import InputError

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """How a project asks.

    Attributes:
        answers: answers wanted for each pair, each from another person.
        stop_risk: a pair is closed early when the risk that its merged label is wrong is below this, and asked further,
            up to `most_answers`, while it is above; None for a fixed number of answers.
        fewest_answers: answers before a pair may be closed early.
        most_answers: answers after which a pair is closed, whatever its risk.
        images_per_task: images of one task.
        pairs_per_image: pairs asked of one image in one task, at most.
        gold_share: share of a task's questions whose answer is known, and which are not told apart.
        lease_minutes: time to finish a task; what is unanswered then is free for others, until its owner comes back.
        answer_lock_ms: time before a question shown can be answered.
        reading_seconds: time to spend on the tutorial at least.
        practice_questions: questions with feedback, after the tutorial; 0 for none.
        test_questions: questions of the entry test; 0 for no test.
        test_pass: share of right answers that passes it.
        test_attempts: how often it can be tried.
        fast_ms: an answer in less than this time after the lock counts as hasty.
        hasty_share: people with a larger share of hasty answers are flagged.
        gold_pass: people whose gold accuracy is surely (95 %) below this are flagged.
        block_flagged: block flagged people by itself, rather than show them to an admin.
        price_per_answer: what an answer costs, for the dashboard.
        currency: of the price.
        subject: what is asked about, in words: "the person's left wrist".
        prolific_study: id of the study at Prolific whose participants are let in; empty for none.
        prolific_code: completion code of that study, which sends participants back; where it is empty, each is shown a
            code of their own.
        unregistered_hits: let workers of Mechanical Turk in whose HIT `nearfar annotate mturk create` did not make.
    """

    answers: int = 3
    stop_risk: float | None = None
    fewest_answers: int = 2
    most_answers: int = 9
    images_per_task: int = 5
    pairs_per_image: int = 5
    gold_share: float = 0.1
    lease_minutes: float = 30.0
    answer_lock_ms: int = 750
    reading_seconds: int = 30
    practice_questions: int = 6
    test_questions: int = 10
    test_pass: float = 0.8
    test_attempts: int = 2
    fast_ms: int = 250
    hasty_share: float = 0.3
    gold_pass: float = 0.6
    block_flagged: bool = False
    price_per_answer: float = 0.0
    currency: str = "USD"
    subject: str = "person"
    prolific_study: str = ""
    prolific_code: str = ""
    unregistered_hits: bool = False

    def __post_init__(self) -> None:
        self._range("answers", 1, 1000)
        if self.stop_risk is not None:
            self._range("stop_risk", 0, 0.5)
        self._range("fewest_answers", 1, 1000)
        self._range("most_answers", 1, 1000)
        if self.most_answers < self.answers:
            raise InputError(
                f"settings: most_answers: expected as many as answers ({self.answers}) or more, got {self.most_answers}"
            )
        self._range("images_per_task", 1, 1000)
        self._range("pairs_per_image", 1, 1000)
        self._range("gold_share", 0, 0.9)
        self._range("lease_minutes", 0.01, 60 * 24 * 30)
        for name in ("answer_lock_ms", "fast_ms"):
            self._range(name, 0, 60_000)
        self._range("reading_seconds", 0, 3600)
        for name in ("practice_questions", "test_questions"):
            self._range(name, 0, 100)
        for name in ("test_pass", "hasty_share", "gold_pass"):
            self._range(name, 0, 1)
        self._range("test_attempts", 1, 100)
        self._range("price_per_answer", 0, 1e6)
        for name in ("prolific_study", "prolific_code"):
            if not re.fullmatch("[A-Za-z0-9_-]{0,64}", getattr(self, name)):
                raise InputError(f"settings: {name}: expected at most 64 letters, digits, - and _")

    def right_to_pass(self, total: int) -> int:
        """Right answers that pass an entry test of so many questions."""
        return math.ceil(self.test_pass * total - 1e-9)

    def _range(self, name: str, low: float, high: float) -> None:
        value: Any = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InputError(f"settings: {name}: expected {low:g}..{high:g}, got {value!r}")
