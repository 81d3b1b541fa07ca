"""Pictures that people look at: overlays on frames, the 3D viewer, figures and reports."""

from nearfar.viewing.angle_figure import angle_figure
from nearfar.viewing.certainty import order_certainty
from nearfar.viewing.contact_sheet import contact_sheet
from nearfar.viewing.figures import comparison_figure, evaluation_figure, save_figure, training_figure
from nearfar.viewing.overlay import draw_overlay, write_overlay
from nearfar.viewing.page_data import viewer_data, viewer_template
from nearfar.viewing.pose_figure import pose_grid
from nearfar.viewing.report import Code, Page, Picture, Section, Table, Text, write_report
from nearfar.viewing.viewer import viewer_html, viewer_module, viewer_sources, viewer_style, write_viewer

__all__ = [
    "Code",
    "Page",
    "Picture",
    "Section",
    "Table",
    "Text",
    "angle_figure",
    "comparison_figure",
    "contact_sheet",
    "draw_overlay",
    "evaluation_figure",
    "order_certainty",
    "pose_grid",
    "save_figure",
    "training_figure",
    "viewer_data",
    "viewer_html",
    "viewer_module",
    "viewer_sources",
    "viewer_style",
    "viewer_template",
    "write_overlay",
    "write_report",
    "write_viewer",
]
