/** People in a photo or a frame of a video, found by MediaPipe in the browser. */
import { InputError } from "./errors.js";
import { distinct, findPeople } from "./search.js";

const MOST_POSES = 8;
const LONGEST_SIDE = 2048;
const SHOWN_SIDE = 1280;
const CONFIDENCE = 0.5;
let landmarker = null;

/** A photo as something to draw. */
export async function decoded(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new InputError(`${file.name}: this browser cannot read it as an image`);
  }
}

/**
 * { clip, media }: the people of a picture (an image, or a video at one moment), and the picture as a small JPEG.
 * `tell(share)` is called as the search goes on.
 */
export async function photographed(name, picture, [width, height], site, tell) {
  if (!(width > 0 && height > 0)) throw new InputError(`${name}: a picture without pixels`);
  landmarker ??= await loaded().catch((error) => {
    throw new InputError(`The detector cannot start in this browser (${error.message}). Files of keypoints can still be lifted.`);
  });
  const still = drawn(picture, [0, 0, width, height], width, height); // a video may go on meanwhile
  const look = (x, y, side) => peopleOn(still, x, y, side, site.search);
  const people = await findPeople(look, [width, height], site.search, tell);
  if (!people.length) throw new InputError(`${name}: nobody was found in it`);
  const persons = people.map(({ points, scores }, id) => ({ id, points, scores, intrinsics: null }));
  for (const { points, scores } of persons) scores.forEach((score, joint) => score > 0 || points.fill(NaN, 2 * joint, 2 * joint + 2));
  const frame = { name, index: 0, time: null, size: [width, height], people: persons };
  const scale = Math.min(1, SHOWN_SIDE / Math.max(width, height));
  const small = drawn(still, [0, 0, width, height], width * scale, height * scale);
  const media = await new Promise((done) => small.toBlob(done, "image/jpeg", 0.85));
  return { clip: { skeleton: site.detector, frames: [frame] }, media };
}

async function loaded() {
  const { PoseLandmarker } = await import("./vendor/mediapipe/vision.js");
  const place = (name) => new URL(name, document.baseURI).href;
  const files = { wasmLoaderPath: place("vendor/mediapipe/vision-wasm.js"), wasmBinaryPath: place("vendor/mediapipe/vision-wasm.wasm") };
  return PoseLandmarker.createFromOptions(files, {
    baseOptions: { modelAssetPath: place("pose.task"), delegate: "CPU" },
    runningMode: "IMAGE",
    numPoses: MOST_POSES,
    minPoseDetectionConfidence: CONFIDENCE,
    minPosePresenceConfidence: CONFIDENCE,
  });
}

/** The people on a square of a picture: MediaPipe turns people upright as if an image were square, and slants them else. */
function peopleOn(picture, x, y, side, rules) {
  const pixels = Math.min(side, LONGEST_SIDE);
  const { landmarks } = landmarker.detect(drawn(picture, [x, y, side, side], pixels, pixels));
  const people = landmarks.map((marks) => {
    const [xs, ys] = [marks.map((mark) => x + mark.x * side), marks.map((mark) => y + mark.y * side)];
    return {
      points: Float64Array.from(marks.flatMap((_, joint) => [xs[joint], ys[joint]])),
      scores: Float64Array.from(marks, ({ visibility }) => Math.min(1, Math.max(0, visibility))),
      box: [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)],
    };
  });
  return distinct(people, rules);
}

/** A part [x, y, width, height] of a picture in so many pixels, black where it reaches over the edges. */
function drawn(picture, part, across, down) {
  const canvas = Object.assign(document.createElement("canvas"), { width: Math.max(1, Math.round(across)), height: Math.max(1, Math.round(down)) });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, ...part, 0, 0, canvas.width, canvas.height);
  return canvas;
}
