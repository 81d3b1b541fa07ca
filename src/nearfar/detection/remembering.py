"""A detector's looks written to a file as they happen, so that a run that was broken off goes on where it stopped.

Detection takes nearly all of the time of lifting a video. What is stored is what the detector said of each picture that
it was shown, in order, with the picture's checksum: a later run shows the same pictures in the same order and gets the
same answers, until the file ends or a picture is another one; from there on the detector itself is asked. So nothing
need be known of how people are searched for and followed.

The file is one line of JSON and a record a look: CRC-32 of the picture and of the answer, the number of people asked
for and found, and their keypoints, scores and boxes as float32. A record that was cut off, by ``kill -9`` or a full
disk, ends the file.
"""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from nearfar.detection.base import Closing, Detection, Detector, Image
from nearfar.errors import InputError

__all__ = ["RememberingDetector"]

SCHEMA = "nearfar-looks-1"
_RECORD = struct.Struct("<IIII")
"""CRC of the picture, CRC of the answer, most people asked for, people found."""
_LONGEST_HEADER = 1 << 16


class RememberingDetector(Closing):
    """A detector that answers from a file what it was asked before, and adds to it what is new.

    Implements `nearfar.detection.Detector`. Keypoints, scores and boxes are rounded to float32, whether they come from
    the file or not.

    Args:
        detector: who is asked; it stays open.
        path: the file. One of another detector is replaced.

    Attributes:
        remembered: how many looks were answered from the file.

    Raises:
        InputError: the file cannot be read or written.
    """

    def __init__(self, detector: Detector, path: str | Path) -> None:
        self.name, self.skeleton, self.finds_all = detector.name, detector.skeleton, detector.finds_all
        self.remembered = 0
        self._detector, self._path = detector, Path(path)
        header = {"schema": SCHEMA, "detector": self.name, "joints": list(self.skeleton.joints)}
        line = json.dumps(header).encode() + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self._path.open("r+b" if self._path.exists() else "x+b")
            self._replaying = self._file.readline(_LONGEST_HEADER) == line
            if not self._replaying:
                self._file.seek(0)
                self._file.truncate()
                self._write(line)
        except OSError as error:
            raise self._error(error) from None

    def detect(self, image: Image, max_people: int) -> list[Detection]:
        """What was found on this picture before, or is found now."""
        picture = zlib.crc32(np.ascontiguousarray(image).data, zlib.crc32(repr(image.shape).encode()))
        try:
            if self._replaying:
                begin = self._file.tell()
                people = self._recalled(picture, max_people)
                if people is not None:
                    self.remembered += 1
                    return people
                self._replaying = False
                self._file.seek(begin)
                self._file.truncate()
            found = [_rounded(person) for person in self._detector.detect(image, max_people)]
            answer = b"".join(_packed(person) for person in found)
            self._write(_RECORD.pack(picture, zlib.crc32(answer), max_people, len(found)) + answer)
        except OSError as error:
            raise self._error(error) from None
        return found

    def close(self) -> None:
        """Close the file; the detector stays open."""
        with suppress(OSError):  # of a full disk; told when it was written to
            self._file.close()

    def _recalled(self, picture: int, max_people: int) -> list[Detection] | None:
        """The next record's people, or None: cut off, damaged, or of another picture."""
        head = self._file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return None
        of_picture, of_answer, asked, count = _RECORD.unpack(head)
        if (of_picture, asked) != (picture, max_people) or count > max_people:
            return None
        joints = self.skeleton.num_joints
        answer = self._file.read(4 * count * (3 * joints + 4))
        if len(answer) < 4 * count * (3 * joints + 4) or zlib.crc32(answer) != of_answer:
            return None
        rows = np.frombuffer(answer, "<f4").reshape(count, 3 * joints + 4)
        return [
            Detection(row[: 2 * joints].reshape(joints, 2).copy(), row[2 * joints : -4].copy(), row[-4:].copy())
            for row in rows
        ]

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()  # what the system has survives `kill -9`

    def _error(self, error: OSError) -> InputError:
        return InputError(f"{self._path}: cannot keep what the detector found ({error.strerror or error})")


def _rounded(person: Detection) -> Detection:
    return Detection(*(np.asarray(part, np.float32) for part in (person.keypoints, person.scores, person.box)))


def _packed(person: Detection) -> bytes:
    return b"".join(np.asarray(part, "<f4").tobytes() for part in (person.keypoints, person.scores, person.box))
