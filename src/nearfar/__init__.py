"""nearfar: 3D pose from one kind of question: which of these two joints is nearer to the camera?"""

__version__ = "0.1.0"
