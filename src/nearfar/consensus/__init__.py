"""What many answers say together: majority vote, and merging with the skill of whoever answered."""

from nearfar.consensus.depth import DepthModel
from nearfar.consensus.glad import Glad
from nearfar.consensus.merging import FINISHED_RISK, Consensus, merge
from nearfar.consensus.methods import METHOD_NAMES, Majority, Model, method
from nearfar.consensus.simulation import SimulatedCrowd, simulate_answers
from nearfar.consensus.skill import SkillFit, SkillModel, posterior
from nearfar.consensus.votes import Votes, votes_of

__all__ = [
    "FINISHED_RISK",
    "METHOD_NAMES",
    "Consensus",
    "DepthModel",
    "Glad",
    "Majority",
    "Model",
    "SimulatedCrowd",
    "SkillFit",
    "SkillModel",
    "Votes",
    "merge",
    "method",
    "posterior",
    "simulate_answers",
    "votes_of",
]
