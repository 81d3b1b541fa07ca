"""Human3.6M (Ionescu et al., PAMI 2014) in its three published forms."""

from nearfar.datasets.h36m.cameras import Camera, find_cameras
from nearfar.datasets.h36m.names import ACTIONS, CAMERAS, SUBJECTS
from nearfar.datasets.h36m.reader import load_h36m
from nearfar.datasets.h36m.source import SOURCE

__all__ = ["ACTIONS", "CAMERAS", "SOURCE", "SUBJECTS", "Camera", "find_cameras", "load_h36m"]
