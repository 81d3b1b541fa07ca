"""What many answers say together: majority vote, and merging with the skill of whoever answered."""

from nearfar.consensus.merging import Consensus, majority, merge
from nearfar.consensus.simulation import SimulatedCrowd, simulate_answers
from nearfar.consensus.skill import SkillModel
from nearfar.consensus.votes import Votes, votes_of

__all__ = [
    "Consensus",
    "SimulatedCrowd",
    "SkillModel",
    "Votes",
    "majority",
    "merge",
    "simulate_answers",
    "votes_of",
]
