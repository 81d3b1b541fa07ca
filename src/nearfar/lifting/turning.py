"""Lifted poses as another camera would see them: free views of people whose 3D is not known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nearfar.lifting.network import Prediction
from nearfar.lifting.rays import rotate

__all__ = ["random_turns", "turned_view"]

NEAREST = 0.2
"""Joints nearer to a turned pose's camera than this share of the person's distance are left out."""


def random_turns(size: int, tilt: float, generator: torch.Generator) -> Tensor:
    """(size, 3, 3) rotations R_x(tilt) R_y(about): by a random angle about the image's vertical, and a little tilted.

    Args:
        size: how many.
        tilt: standard deviation of the tilt, degrees.
        generator: source of randomness; the rotations are on its device.
    """
    device = generator.device
    about = 2 * math.pi * torch.rand(size, generator=generator, device=device)
    tilts = math.radians(tilt) * torch.randn(size, generator=generator, device=device)
    zero, c, s, ct, st = torch.zeros_like(about), about.cos(), about.sin(), tilts.cos(), tilts.sin()
    rows = [c, zero, s, st * s, ct, -st * c, -ct * s, st, ct * c]
    return torch.stack(rows, dim=-1).view(-1, 3, 3)


def turned_view(lifted: Prediction, turns: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints and joints of lifted poses that are turned about their roots, as far away as before.

    Args:
        lifted: B poses with their roots; NaN joints stay NaN.
        turns: (B, 3, 3) rotations, p_turned = R p.
        intrinsics: (B, 4) fx, fy, cx, cy of the camera, which looks at the root.

    Returns:
        (B, J, 2) pixels and (B, J, 3) mm, root-relative in the camera's axes; NaN for joints beside the camera.
    """
    if lifted.root is None:
        raise ValueError("a pose can be seen by another camera only where the lifter places it (head ray_depth)")
    joints = rotate(turns, lifted.joints)
    distance = torch.linalg.vector_norm(lifted.root, dim=-1)[:, None, None]
    depth = joints[..., 2:] + distance
    joints = torch.where(depth > NEAREST * distance, joints, torch.nan)
    return joints[..., :2] / depth * intrinsics[:, None, :2] + intrinsics[:, None, 2:], joints
