/** Lifted clips (lifting.js) as nearfar's JSON of poses, and as the viewer's data. */
import { clipData } from "./viewer.js";

const RATE = 30;

/** The text of a file of poses, which nearfar reads. */
export function posesJson({ frames, assumed }, file, site) {
  const timed = frames.every(({ time }) => time !== null);
  const sized = frames.every(({ size }) => size);
  const poses = frames.flatMap((frame) =>
    frame.people.map((person) => ({
      frame_index: frame.index,
      person: person.id,
      ...(timed && { time: frame.time }),
      ...(sized && { image_size: frame.size }),
      intrinsics: [...person.intrinsics],
      root_position: plain(person.root, 3)[0],
      keypoints: plain(person.points, 2),
      scores: [...person.scores],
      joints: plain(person.joints, 3),
    })),
  );
  const unit = { joints: "mm", keypoints: "px", time: "s" };
  const provenance = { file, lifter: site.lifter, intrinsics: assumed };
  return JSON.stringify({ schema: site.poses, skeleton: site.skeleton, frame: "root", unit, provenance, poses });
}

/** Rows of so many numbers, null for each that is missing. */
function plain(values, width) {
  const numbers = Array.from(values, (value) => (Number.isFinite(value) ? value : null));
  return Array.from({ length: numbers.length / width }, (_, i) => numbers.slice(width * i, width * (i + 1)));
}

/** What the viewer shows of a clip. */
export function viewerData({ frames, assumed }, site) {
  const people = [...new Set(frames.flatMap((frame) => frame.people.map(({ id }) => id)))].sort((a, b) => a - b);
  const joints = site.skeleton.joints.length;
  const laidOut = (size, name) => {
    const out = new Float32Array(frames.length * people.length * size).fill(NaN);
    frames.forEach((frame, f) => frame.people.forEach((person) => out.set(person[name], (f * people.length + people.indexOf(person.id)) * size)));
    return out;
  };
  const keypoints = laidOut(2 * joints, "points");
  return clipData(site.viewer, {
    joints: laidOut(3 * joints, "joints"),
    roots: laidOut(3, "root"),
    keypoints,
    scores: laidOut(joints, "scores").map((score) => score || 0),
    size: pictureSize(frames, keypoints),
    time: frames.every(({ time }) => time !== null) ? frames.map(({ time }) => time) : frames.map((_, f) => f / RATE),
    people,
    notes: [
      "Camera tilt unknown: the ground is drawn level with the image, below the lowest point of the clip.",
      `Lifted in this browser by ${site.lifter}, each frame on its own. Camera: ${assumed}.`,
      "Fainter joints have lower detection scores.",
    ],
  });
}

/** Room for all frames, or for all keypoints. */
function pictureSize(frames, points) {
  const sizes = frames.map(({ size }) => size).filter(Boolean);
  if (sizes.length) return [0, 1].map((axis) => sizes.reduce((most, size) => Math.max(most, size[axis]), 1));
  return [0, 1].map((axis) => Math.ceil(points.reduce((most, value, i) => (i % 2 === axis && value > most ? value : most), 1) * 1.05));
}
