"""The HTTP service: images, videos and keypoints to poses, through a queue that survives a restart."""

from nearfar.serving.limits import Limits

__all__ = ["Limits"]
