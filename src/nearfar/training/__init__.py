"""Training lifters from relative depth labels, or from 3D."""

from nearfar.training.log import read_log
from nearfar.training.loop import train

__all__ = ["read_log", "train"]
