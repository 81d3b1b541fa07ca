"""CSV, JSON and JSON lines in and out, for people: pose sets and relative depth labels as tables.

Field names or the header say the units; a missing number is an empty cell or null. The columns and keys are listed in
docs/formats.md. Numbers are written with as many digits as it takes to read the same number again, and read as float64.
"""

from nearfar.tables.angles import write_angles_csv
from nearfar.tables.crowdkit import read_crowdkit_csv, write_crowdkit_csv
from nearfar.tables.labels import read_labels_csv, read_labels_json, write_labels_csv, write_labels_json
from nearfar.tables.labels_jsonl import iter_labels_jsonl, read_labels_jsonl, write_labels_jsonl
from nearfar.tables.poses import pose_columns, read_poses_csv, read_poses_json, write_poses_csv, write_poses_json

__all__ = [
    "iter_labels_jsonl",
    "pose_columns",
    "read_crowdkit_csv",
    "read_labels_csv",
    "read_labels_json",
    "read_labels_jsonl",
    "read_poses_csv",
    "read_poses_json",
    "write_angles_csv",
    "write_crowdkit_csv",
    "write_labels_csv",
    "write_labels_json",
    "write_labels_jsonl",
    "write_poses_csv",
    "write_poses_json",
]
