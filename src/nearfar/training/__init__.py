"""Training lifters from relative depth labels, or from 3D."""

from nearfar.training.data import trainable
from nearfar.training.initial import initial_network
from nearfar.training.log import read_log
from nearfar.training.loop import train
from nearfar.training.store import TrainingStore, pack
from nearfar.training.temporal import TemporalTrainingConfig, train_temporal

__all__ = [
    "TemporalTrainingConfig",
    "TrainingStore",
    "initial_network",
    "pack",
    "read_log",
    "train",
    "train_temporal",
    "trainable",
]
