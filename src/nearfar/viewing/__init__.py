"""Pictures that people look at: overlays on frames, the 3D viewer, figures and reports."""

from nearfar.viewing.overlay import draw_overlay, write_overlay
from nearfar.viewing.viewer import viewer_html, write_viewer

__all__ = ["draw_overlay", "viewer_html", "write_overlay", "write_viewer"]
