"""Images and videos to 2D keypoints through time."""

from nearfar.detection.base import Detection, Detector, detector_names, get_detector
from nearfar.detection.boxes import Boxes, load_boxes
from nearfar.detection.media_detection import detect_media
from nearfar.detection.models import cache_folder, fetch_model, model_path
from nearfar.detection.remembering import RememberingDetector
from nearfar.detection.search import find_people, follow_people

__all__ = [
    "Boxes",
    "Detection",
    "Detector",
    "RememberingDetector",
    "cache_folder",
    "detect_media",
    "detector_names",
    "fetch_model",
    "find_people",
    "follow_people",
    "get_detector",
    "load_boxes",
    "model_path",
]
