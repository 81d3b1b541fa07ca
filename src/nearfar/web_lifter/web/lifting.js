/** Keypoints to 3D, with onnxruntime-web and the lifter's ONNX file: as `Lifter.lift_poses` does, frame by frame. */
import { InputError } from "./errors.js";

const CHUNK = 1024;

export class Lifter {
  static async load(site) {
    if (typeof WebAssembly !== "object") throw new InputError("This browser has no WebAssembly, or has it switched off; lifting needs it.");
    const lifter = new Lifter();
    lifter.site = site;
    const ort = await import("./vendor/onnxruntime/ort.js");
    const place = (name) => new URL(`vendor/onnxruntime/${name}`, document.baseURI).href;
    ort.env.wasm.wasmPaths = { mjs: place("ort-wasm.js"), wasm: place("ort-wasm.wasm") };
    ort.env.wasm.numThreads = 1; // more would need headers that not every server sends
    ort.env.logLevel = "error";
    lifter.ort = ort;
    lifter.session = await ort.InferenceSession.create(new URL("model.onnx", document.baseURI).href, { executionProviders: ["wasm"] });
    return lifter;
  }

  /**
   * Lift a clip (keypoints.js): the same frames and people, on the lifter's skeleton, each with `joints` (mm, relative to
   * the root), `root` (mm, in the camera frame) and the `intrinsics` that were used. NaN is missing.
   */
  async lift(clip) {
    const { site } = this;
    const { rows } = site.sources[clip.skeleton];
    const frames = clip.frames.map((frame) => ({ ...frame, people: frame.people.map((person) => remapped(person, rows)) }));
    const people = frames.flatMap((frame) => frame.people.map((person) => ({ person, size: frame.size })));
    const blind = people.some(({ person, size }) => !person.intrinsics && !size) ? apparentCamera(people.map(({ person }) => person), site) : null;
    for (const { person, size } of people) {
      check(person, site);
      person.intrinsics ??= size ? camera(size, site) : blind;
      checkSize(person, site);
    }
    for (let start = 0; start < people.length; start += CHUNK) await this.run(people.slice(start, start + CHUNK).map(({ person }) => person));
    return { frames, assumed: blind ? "apparent size of a person about 4 m away" : `field of view ${site.fieldOfView} degrees along the longer image side, where the file gives no camera` };
  }

  async run(people) {
    const joints = this.site.skeleton.joints.length;
    const tensor = (name, width) => new this.ort.Tensor("float32", Float32Array.from(people.flatMap((person) => [...person[name]])), [people.length, ...width]);
    const output = await this.session.run({ keypoints: tensor("points", [joints, 2]), intrinsics: tensor("intrinsics", [4]) });
    people.forEach((person, i) => {
      person.joints = output.joints.data.slice(3 * joints * i, 3 * joints * (i + 1));
      person.root = output.root.data.slice(3 * i, 3 * i + 3);
    });
  }
}

/** A person on the lifter's skeleton; a derived joint is missing where any of its parts is, and as sure as the least sure. */
function remapped({ id, points, scores, intrinsics }, rows) {
  const sum = (row, axis) => row.reduce((total, [joint, weight]) => total + weight * points[2 * joint + axis], 0);
  return {
    id,
    intrinsics,
    points: Float64Array.from(rows.flatMap((row) => [sum(row, 0), sum(row, 1)])),
    scores: Float64Array.from(rows, (row) => Math.min(...row.map(([joint]) => scores[joint]))),
  };
}

function check({ points, intrinsics }, site) {
  const largest = points.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0);
  if (largest > site.largestPixel) throw new InputError(`Coordinates beyond ${site.largestPixel} are not pixels of an image.`);
  const fine = (values) => Array.isArray(values) && values.length === 4 && values.every(Number.isFinite) && values[0] > 0 && values[1] > 0;
  if (intrinsics && !fine(intrinsics)) throw new InputError("Intrinsics: expected fx, fy, cx, cy in pixels, focal lengths positive.");
  if (!intrinsics && largest > 0 && largest <= 2) throw new InputError("The coordinates look normalised; expected pixels (multiply by the image size first).");
}

/** Refuse keypoints that their camera cannot have seen. */
function checkSize({ points, intrinsics }, site) {
  let largest = 0;
  for (let i = 0; i < points.length; i += 2) {
    const away = Math.hypot((points[i] - points[2 * site.root]) / intrinsics[0], (points[i + 1] - points[2 * site.root + 1]) / intrinsics[1]);
    if (away > largest) largest = away;
  }
  if (largest > 0 && largest < site.smallestRay) throw new InputError("Keypoints and camera do not belong together: are the keypoints normalised?");
}

/** A camera nobody calibrated, of an image of this size. */
function camera([width, height], { fieldOfView }) {
  if (!(width > 0 && height > 0)) throw new InputError(`Image size: expected positive width and height in pixels, got ${width} x ${height}.`);
  const focal = Math.max(width, height) / (2 * Math.tan((fieldOfView * Math.PI) / 360));
  return [focal, focal, width / 2, height / 2];
}

/** A camera where not even the image size is known: one to which people have the usual apparent size. */
function apparentCamera(people, { root, rayRms }) {
  const sizes = [];
  const roots = [[], []];
  for (const { points } of people) {
    const at = [points[2 * root], points[2 * root + 1]];
    let [sum, count] = [0, 0];
    for (let i = 0; i < points.length; i += 2) {
      const square = (points[i] - at[0]) ** 2 + (points[i + 1] - at[1]) ** 2;
      if (square >= 0) [sum, count] = [sum + square, count + 1];
    }
    if (count < 2) continue;
    sizes.push(Math.sqrt(sum / count));
    at.forEach((value, axis) => roots[axis].push(value));
  }
  if (!sizes.length) return [1, 1, 0, 0];
  const focal = Math.max(median(sizes), Number.MIN_VALUE) / rayRms;
  return [focal, focal, median(roots[0]), median(roots[1])];
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
