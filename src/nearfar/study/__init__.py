"""How good people's answers are: against known 3D, against each other, and what noise describes them."""

from nearfar.study.agreement import agreement
from nearfar.study.markdown import report_markdown
from nearfar.study.measures import accuracy_by_difference, cohen_kappa, fleiss_kappa, wilson_interval
from nearfar.study.report import by_risk, study_answers
from nearfar.study.tilt import level_depth, load_rotations, rotations_from_world

__all__ = [
    "accuracy_by_difference",
    "agreement",
    "by_risk",
    "cohen_kappa",
    "fleiss_kappa",
    "level_depth",
    "load_rotations",
    "report_markdown",
    "rotations_from_world",
    "study_answers",
    "wilson_interval",
]
