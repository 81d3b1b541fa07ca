"""Lifting more than one machine lifts: inputs shared out by their names, results in Parquet files of bounded size.

Every input has exactly one result, poses or an error, whoever is killed when: a part file is whole or not there, and
says itself which inputs it holds.
"""

from nearfar.batch.inputs import find_inputs
from nearfar.batch.parts import Bounds, Outcome, read_outcomes
from nearfar.batch.recipe import InputLifter, Recipe
from nearfar.batch.shards import Shard, Summary, lift_shard

__all__ = [
    "Bounds",
    "InputLifter",
    "Outcome",
    "Recipe",
    "Shard",
    "Summary",
    "find_inputs",
    "lift_shard",
    "read_outcomes",
]
