"""The static page that lifts keypoints and photos in the browser: `write_site`."""

from nearfar.web_lifter.site import write_site

__all__ = ["write_site"]
