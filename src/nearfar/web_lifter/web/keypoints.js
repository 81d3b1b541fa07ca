/**
 * Files of keypoints as a clip: { skeleton, frames }. A frame is { name, index, time, size, people }; size is [width,
 * height] in pixels or null. A person is { id, points, scores, intrinsics }: points flat, x and y in pixels, NaN where
 * missing; intrinsics [fx, fy, cx, cy] or null.
 */
import { InputError } from "./errors.js";

const KNOWN = "COCO keypoints (annotations or results), OpenPose's *_keypoints.json, and nearfar's JSON of poses";
const MOST_POSES = 20000;
const MOST_PLACES = 200000;

/** The clip of files [{ name, text }]: one file, or several of OpenPose's, a frame each. */
export function readKeypoints(files, site) {
  const read = files.map(({ name, text }) => ({ name, data: parsed(name, text) }));
  const clip = read.length > 1 || Array.isArray(read[0].data?.people) ? openPose(read, site) : one(read[0], site);
  const poses = clip.frames.reduce((sum, frame) => sum + frame.people.length, 0);
  if (!poses) throw new InputError(`${read[0].name}: nobody in it`);
  if (poses > MOST_POSES) throw new InputError(`${read[0].name}: ${poses} poses, more than the ${MOST_POSES} that this page lifts`);
  const people = new Set(clip.frames.flatMap((frame) => frame.people.map(({ id }) => id))).size;
  if (people * clip.frames.length > MOST_PLACES) throw new InputError(`${read[0].name}: ${people} different people in ${clip.frames.length} frames are too many for this page`);
  return clip;
}

/** Puts a person into a frame, numbered as said or else in order; nobody twice. */
function enter(frame, id, where, rest) {
  const person = { id: Number.isInteger(id) ? id : frame.people.length, ...rest };
  if (frame.people.some((other) => other.id === person.id)) throw new InputError(`${where}: person ${person.id} is twice in one frame`);
  frame.people.push(person);
}

function parsed(name, text) {
  if (!text.trim()) throw new InputError(`${name}: the file is empty`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(`${name}: not JSON, or cut off (${error.message})`);
  }
}

function one({ name, data }, site) {
  if (typeof data?.schema === "string" && data.schema.startsWith("nearfar-poses")) return ownPoses(name, data, site);
  if (Array.isArray(data?.annotations)) return cocoAnnotations(name, data, site);
  if (Array.isArray(data) && data.length && data[0]?.image_id !== undefined && data[0].keypoints) return cocoResults(name, data, site);
  if (data && typeof data === "object" && !Object.keys(data).length) throw new InputError(`${name}: nobody in it`);
  const first = Array.isArray(data) ? data[0] : data;
  const found = first && typeof first === "object" ? `keys ${Object.keys(first).slice(0, 6).join(", ")}` : `a ${typeof first}`;
  throw new InputError(`${name}: JSON of a kind not known here (${found}); known are ${KNOWN}`);
}

/** Triples x, y, third of a person as rows [x, y, third]. */
function triples(values, where) {
  if (!Array.isArray(values) || !values.length || values.length % 3) throw new InputError(`${where}: expected x, y and a score for each joint`);
  const numbers = values.map((value) => (value === null ? NaN : value));
  const wrong = numbers.findIndex((value) => typeof value !== "number" || Math.abs(value) === Infinity);
  if (wrong >= 0) throw new InputError(`${where}: number ${wrong} is ${JSON.stringify(values[wrong])}, expected a finite number`);
  return Array.from({ length: numbers.length / 3 }, (_, joint) => numbers.slice(3 * joint, 3 * joint + 3));
}

/** The skeleton of so many joints in a format; a format of more joints may begin with those of the skeleton. */
function skeletonOf(count, byCount, site, where) {
  const name = byCount[count];
  if (name in site.sources) return name;
  const known = Object.entries(byCount).map(([joints, skeleton]) => `${joints} (${skeleton})`);
  throw new InputError(`${where}: ${count} joints; known are ${known.join(", ")}`);
}

function seen(rows, joints, intrinsics = null) {
  const points = new Float64Array(2 * joints).fill(NaN);
  const scores = new Float64Array(joints);
  rows.slice(0, joints).forEach(([x, y, score], joint) => {
    if (!(score > 0) || Number.isNaN(x + y)) return;
    points.set([x, y], 2 * joint);
    scores[joint] = Math.min(1, score);
  });
  return { points, scores, intrinsics };
}

/** People of images, as frames in the order of the images; everybody on the skeleton of the first. */
function framed(name, entries, images, byCount, site) {
  if (!entries.length) throw new InputError(`${name}: nobody in it`);
  const skeleton = skeletonOf(entries[0].rows.length, byCount, site, entries[0].where);
  const joints = site.sources[skeleton].joints.length;
  const frames = new Map();
  for (const { image, rows, id, where } of entries) {
    if (rows.length !== entries[0].rows.length) throw new InputError(`${where}: ${rows.length} joints, but the first has ${entries[0].rows.length}`);
    if (!frames.has(image)) frames.set(image, { name: String(image), time: null, size: null, ...images.get(image), people: [] });
    enter(frames.get(image), id, where, seen(rows, joints));
  }
  return { skeleton, frames: [...frames.values()].map((frame, index) => ({ ...frame, index })) };
}

function cocoAnnotations(name, data, site) {
  const images = new Map();
  for (const image of Array.isArray(data.images) ? data.images : []) {
    const size = image?.width > 0 && image.height > 0 ? [image.width, image.height] : null;
    images.set(image?.id, { name: String(image?.file_name ?? image?.id), size });
  }
  const entries = data.annotations.flatMap((entry, i) => {
    const where = `${name}: annotation ${i}`;
    if (entry?.iscrowd || !entry?.keypoints) return [];
    const rows = triples(entry.keypoints, where);
    return rows.some((row) => row[2] > 0) ? [{ image: entry.image_id, rows: rows.map(([x, y, v]) => [x, y, v > 0 ? 1 : 0]), id: entry.track_id, where }] : [];
  });
  return framed(name, entries, images, site.coco, site);
}

/** Third numbers are scores, or visibility where all of them are 0, 1 or 2. */
function cocoResults(name, data, site) {
  const entries = data.map((entry, i) => ({ image: entry?.image_id, rows: triples(entry?.keypoints, `${name}: result ${i}`), where: `${name}: result ${i}` }));
  return framed(name, entries, new Map(), site.coco, site);
}

function openPose(read, site) {
  const sorted = read.toSorted((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const entries = sorted.flatMap(({ name, data }) => {
    if (!Array.isArray(data?.people)) throw new InputError(`${name}: not a file of OpenPose's; several files at once must be its *_keypoints.json, a frame each`);
    return data.people.map((entry, i) => {
      const id = [entry?.person_id].flat()[0];
      const rows = triples(entry?.pose_keypoints_2d ?? entry?.pose_keypoints, `${name}: person ${i}`);
      return { image: name, rows, id: id >= 0 ? id : undefined, where: `${name}: person ${i}` };
    });
  });
  return framed(sorted[0].name, entries, new Map(), site.openpose, site);
}

function ownPoses(name, data, site) {
  if (data.schema !== site.poses) throw new InputError(`${name}: schema ${data.schema}, expected ${site.poses}`);
  const names = JSON.stringify(data.skeleton?.joints);
  const skeleton = Object.keys(site.sources).find((known) => JSON.stringify(site.sources[known].joints) === names);
  if (!skeleton) throw new InputError(`${name}: skeleton ${data.skeleton?.name}: this page lifts ${Object.keys(site.sources).join(", ")}`);
  if (!Array.isArray(data.poses)) throw new InputError(`${name}: it has no list of poses`);
  const joints = site.sources[skeleton].joints.length;
  const frames = new Map();
  data.poses.forEach((pose, i) => {
    const where = `${name}: pose ${i}`;
    if (!Array.isArray(pose?.keypoints) || pose.keypoints.length !== joints) throw new InputError(`${where}: expected keypoints of ${joints} joints`);
    const rows = triples(pose.keypoints.flatMap((point, joint) => [point?.[0] ?? null, point?.[1] ?? null, pose.scores ? pose.scores[joint] : 1]), where);
    const key = JSON.stringify([pose.sequence, pose.frame_index ?? pose.time ?? i]);
    if (!frames.has(key)) frames.set(key, { name: pose.sequence ?? name, index: frames.size, time: Number.isFinite(pose.time) ? pose.time : null, size: pose.image_size ?? null, people: [] });
    enter(frames.get(key), pose.person, where, seen(rows, joints, pose.intrinsics ?? null));
  });
  return { skeleton, frames: [...frames.values()] };
}
