"""Rays of a camera that is turned to look at the root: where in the image a person stands then changes nothing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["SMALLEST_SIZE", "TurnedView", "rotate"]

SMALLEST_SIZE = 1e-5
"""RMS offset below which rays are one point, within rounding, and there is no pose (NaN)."""


class TurnedView(NamedTuple):
    """Rays of B poses after the camera was turned about its centre, so that it looks at the root.

    Attributes:
        turn: (B, 3, 3) rotation, p_turned = turn p; the turned camera's x axis is level.
        rays: (B, J, 3) directions (x, y, 1) in the turned camera; the root's is (0, 0, 1).
        size: (B,) RMS offset of the rays from the root's; NaN where they are one point.
    """

    turn: Tensor
    rays: Tensor
    size: Tensor

    @classmethod
    def of(cls, slopes: Tensor, root: int) -> TurnedView:
        """The turned view of rays (x, y, 1) given by slopes (B, J, 2)."""
        directions = torch.cat([slopes, torch.ones_like(slopes[..., :1])], dim=-1)
        turn = _looking_along(directions[:, root])
        turned = rotate(turn, directions)
        turned = turned / turned[..., 2:]
        size = turned[..., :2].square().sum(-1).mean(-1).sqrt()
        return cls(turn, turned, torch.where(size > SMALLEST_SIZE, size, torch.nan))

    def offsets(self) -> Tensor:
        """(B, J, 2) offsets of the rays from the root's, over their RMS."""
        return self.rays[..., :2] / self.size[:, None, None]

    def moved(self, offsets: Tensor) -> TurnedView:
        """The view with rays elsewhere: (B, J, 2) is added to `offsets`, in the same unit."""
        slopes = self.rays[..., :2] + self.size[:, None, None] * offsets
        return self._replace(rays=torch.cat([slopes, self.rays[..., 2:]], dim=-1))

    def points(self, depths: Tensor) -> Tensor:
        """(B, J, 3) points of the camera's frame on the rays, at depths (B, J) along the turned camera's axis."""
        return rotate(self.turn.transpose(1, 2), depths[..., None] * self.rays)


def _looking_along(directions: Tensor) -> Tensor:
    """(B, 3, 3) rotations R, p_turned = R p, that turn the camera to look along (B, 3) directions, its x axis level."""
    z = nn.functional.normalize(directions, dim=-1)
    down = torch.tensor([0.0, 1.0, 0.0], device=z.device).expand_as(z)
    x = nn.functional.normalize(torch.linalg.cross(down, z), dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=1)


def rotate(rotations: Tensor, vectors: Tensor) -> Tensor:
    """R p for (B, 3, 3) rotations and (B, J, 3) vectors; no matrix product, which autocast would do in bfloat16."""
    return (rotations[:, None] * vectors[:, :, None]).sum(-1)
