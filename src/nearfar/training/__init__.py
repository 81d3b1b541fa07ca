"""Training lifters from relative depth labels, or from 3D."""

from nearfar.training.data import trainable
from nearfar.training.initial import initial_network
from nearfar.training.log import read_log
from nearfar.training.loop import train
from nearfar.training.temporal import TemporalTrainingConfig, train_temporal

__all__ = ["TemporalTrainingConfig", "initial_network", "read_log", "train", "train_temporal", "trainable"]
