"""What HITs to make, whom for, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from nearfar.annotation.external.mturk import Cost, cost_of
from nearfar.errors import InputError

__all__ = ["HitPlan"]

DAY = 86400.0

LOCALE = "00000000000000000071"
APPROVAL_RATE = "000000000000000000L0"
APPROVED_HITS = "00000000000000000040"
"""Qualifications that Mechanical Turk itself keeps of every worker."""

XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ExternalQuestion xmlns="http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/'
    'ExternalQuestion.xsd">\n<ExternalURL>{url}</ExternalURL>\n<FrameHeight>{height}</FrameHeight>\n</ExternalQuestion>'
)


@dataclass(frozen=True)
class HitPlan:
    """What HITs to make.

    Attributes:
        public_url: of the server, as workers reach it: ``https://...``.
        hits: how many.
        assignments: workers that may do each.
        reward_cents: paid for each assignment.
        title, description, keywords: shown to workers.
        minutes: time to finish an assignment once it was accepted.
        days: how long the HITs can be found.
        approve_days: after which submitted work is approved by itself.
        countries: two-letter codes of the workers' countries; none for all.
        approval_rate: percentage of a worker's work that was approved, at least; 0 for any.
        approved_hits: a worker's approved assignments, at least; 0 for any.
        frame_height: pixels of the page.
    """

    public_url: str
    hits: int
    assignments: int
    reward_cents: int
    title: str
    description: str
    keywords: str = "image, body, pose, depth, compare"
    minutes: float = 30.0
    days: float = 7.0
    approve_days: float = 3.0
    countries: Sequence[str] = ("US",)
    approval_rate: int = 98
    approved_hits: int = 100
    frame_height: int = 800

    def __post_init__(self) -> None:
        address = urlsplit(self.public_url)
        if address.scheme != "https" or not address.hostname or address.query or address.fragment or address.username:
            raise InputError(f"public URL: expected https://HOST, which browsers ask for, got {self.public_url!r}")
        for name, low, high in (
            ("hits", 1, 100_000),
            ("assignments", 1, 1000),
            ("reward_cents", 1, 10_000),
            ("minutes", 0.5, 60 * 24 * 365),
            ("days", 1 / 24, 365),
            ("approve_days", 0, 30),
            ("approval_rate", 0, 100),
            ("approved_hits", 0, 1_000_000),
            ("frame_height", 200, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name.replace('_', ' ')}: expected {low:g}..{high:g}, got {getattr(self, name):g}")
        for name, most in (("title", 128), ("description", 2000), ("keywords", 1000)):
            if not 0 < len(getattr(self, name)) <= most:
                raise InputError(f"{name}: expected 1 to {most} characters, got {len(getattr(self, name))}")
        for country in self.countries:
            if not re.fullmatch("[A-Z]{2}", country):
                raise InputError(f"country: expected two capital letters (ISO 3166), such as US, got {country!r}")

    @property
    def cost(self) -> Cost:
        """What all of it costs, when all of it is done and approved."""
        return cost_of(self.hits * self.assignments, self.reward_cents, of_hit=self.assignments)

    def hit_type(self) -> dict[str, Any]:
        """The arguments of CreateHITType; the same ones give the same type, so that workers see one group."""
        required: list[dict[str, Any]] = []
        if self.countries:
            locales = [{"Country": country} for country in self.countries]
            required.append({"QualificationTypeId": LOCALE, "Comparator": "In", "LocaleValues": locales})
        for qualification, least in ((APPROVAL_RATE, self.approval_rate), (APPROVED_HITS, self.approved_hits)):
            if least:
                required.append({
                    "QualificationTypeId": qualification,
                    "Comparator": "GreaterThanOrEqualTo",
                    "IntegerValues": [least],
                })  # fmt: skip
        return {
            "AutoApprovalDelayInSeconds": round(self.approve_days * DAY),
            "AssignmentDurationInSeconds": round(self.minutes * 60),
            "Reward": f"{self.reward_cents // 100}.{self.reward_cents % 100:02d}",
            "Title": self.title,
            "Keywords": self.keywords,
            "Description": self.description,
            "QualificationRequirements": required,
        }

    def question(self, key: str) -> str:
        """The HIT's question: the page of ours that Mechanical Turk shows in a frame."""
        url = f"{self.public_url.rstrip('/')}/external/mturk?key={key}"
        return XML.format(url=escape(url), height=self.frame_height)
