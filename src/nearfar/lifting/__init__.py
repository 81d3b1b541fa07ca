"""Networks that lift 2D keypoints to 3D, and the `Lifter` that holds one."""

from nearfar.lifting.lifter import Lifter, default_weights, load, weight_names

__all__ = ["Lifter", "default_weights", "load", "weight_names"]
