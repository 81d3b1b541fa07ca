"""ONNX files against torch: how near their figures are on the CMU benchmark's val split, and how long a pose takes.

``python benchmarks/onnx_files.py --val cmu_benchmark/val.npz`` prints the tables of docs/portable.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import tyro
from onnxruntime.quantization import QuantType, quantize_dynamic

import nearfar
from nearfar.lifting.onnx import save_onnx
from nearfar.metrics import mpjpe, pa_mpjpe

BATCHES = (1, 32, 4096)
CHUNK = 4096


@dataclass(frozen=True)
class Benchmark:
    """What is measured on what."""

    val: Path
    """The CMU benchmark's val.npz."""
    repeats: int = 7
    """Timings of which the fastest counts."""
    threads: int = 1
    """Threads of both torch and onnxruntime."""

    def run(self) -> None:
        """Measure and print."""
        torch.set_num_threads(self.threads)
        lifter, poses = nearfar.load(), nearfar.load_poses(self.val)
        keypoints = np.array(poses.keypoints, np.float32)
        cameras = np.array(np.broadcast_to(poses.intrinsics, (len(poses), 4)), np.float32)
        truth = poses.joints - poses.joints[:, [poses.skeleton.root_index]]
        expected = lifter.lift_poses(poses).joints
        size = np.sqrt(np.square(expected).sum(-1).mean(-1))

        def by_torch(rows: slice) -> np.ndarray[Any, Any]:
            with torch.inference_mode():
                parts = (torch.from_numpy(part[rows]) for part in (keypoints, cameras))
                return lifter.network.lift(*parts).joints.numpy()

        print("| file | MB | PA-MPJPE, mm | MPJPE, mm | largest difference |", "|---|---|---|---|---|", sep="\n")
        print(f"| torch | | {pa_mpjpe(expected, truth).mean():.2f} | {mpjpe(expected, truth).mean():.2f} | |")
        runs: dict[str, Callable[[slice], np.ndarray[Any, Any]]] = {"torch": by_torch}
        with tempfile.TemporaryDirectory() as folder:
            files = {name: Path(folder) / f"{name}.onnx" for name in ("float32", "int8", "dynamic")}
            save_onnx(lifter, files["float32"])
            save_onnx(lifter, files["int8"], precision="int8")
            quantize_dynamic(files["float32"], files["dynamic"], weight_type=QuantType.QInt8, per_channel=True)
            for name, file in files.items():
                runs[name] = self.session(file, keypoints, cameras)
                joints = np.concatenate([runs[name](slice(i, i + CHUNK)) for i in range(0, len(poses), CHUNK)])
                off = (np.abs(joints - expected).max(axis=(1, 2)) / size).max()
                errors = f"{pa_mpjpe(joints, truth).mean():.2f} | {mpjpe(joints, truth).mean():.2f}"
                print(f"| {name} | {file.stat().st_size / 1e6:.1f} | {errors} | {off:.1e} |")
        print(f"\n| microseconds a pose, {self.threads} thread | {' | '.join(map(str, BATCHES))} |")
        print("|---|" + "---|" * len(BATCHES))
        for name, lift in runs.items():
            times = [1e6 * self.seconds(lift, slice(0, batch)) / batch for batch in BATCHES]
            print(f"| {name} | {' | '.join(f'{value:.0f}' for value in times)} |")

    def session(self, file: Path, keypoints: Any, cameras: Any) -> Callable[[slice], np.ndarray[Any, Any]]:
        """A call that lifts rows with a file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return lambda rows: session.run(["joints"], {"keypoints": keypoints[rows], "intrinsics": cameras[rows]})[0]

    def seconds(self, lift: Callable[[slice], Any], rows: slice) -> float:
        """Of processor time for one call."""
        calls = max(1, 256 // rows.stop)
        best = np.inf
        for _ in range(self.repeats):
            begin = time.process_time()
            for _ in range(calls):
                lift(rows)
            best = min(best, (time.process_time() - begin) / calls)
        return float(best)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
