/** Where to draw the ground: poses before a camera do not say. */

/** Seconds before and after a frame whose lowest joint the ground of that frame lies below: the flight of a jump. */
const GROUND_SECONDS = 0.35;

/**
 * Heights of the ground in mm: {level} for the whole clip, just below its lowest joint, and {below} (F, P), below each
 * person in each frame. The latter lies below the person's lowest joint of the moments around the frame, so that people
 * who walk before a tilted camera keep their feet on it. Null where there is nothing to stand on it.
 */
export function groundOf({ frames, people, joints, time, sets }) {
  const position = sets[0]?.position;
  if (!position) return { level: 0, below: null };
  const [count, across] = [people.length, joints.length];
  const lowest = new Float32Array(frames * count).fill(Infinity);
  for (let i = 0, at = 1; i < position.length / 3; i++, at += 3) {
    const row = Math.floor(i / across);
    if (position[at] < lowest[row]) lowest[row] = position[at];
  }
  const ofFrames = Array.from({ length: frames }, (_, f) => Math.min(...lowest.subarray(f * count, (f + 1) * count)));
  const seen = ofFrames.filter(Number.isFinite).sort((a, b) => a - b);
  if (!seen.length) return { level: 0, below: null };
  const level = seen[Math.floor(0.01 * (seen.length - 1))];
  const below = aroundEach(lowest, time, count, Math.min).map((height) => (Number.isFinite(height) ? height : level));
  const sums = aroundEach(below, time, count, (a, b) => a + b);
  const numbers = aroundEach(below.map(() => 1), time, count, (a, b) => a + b);
  return { level, below: sums.map((sum, i) => sum / numbers[i]) };
}

/** (F, P) for each frame, what `join` makes of the values of the moments around it. */
function aroundEach(values, time, count, join) {
  const out = new Float32Array(values.length);
  let [first, end] = [0, 0];
  for (let f = 0; f < time.length; f++) {
    while (time[first] < time[f] - GROUND_SECONDS) first++;
    while (end < time.length && time[end] < time[f] + GROUND_SECONDS) end++;
    for (let person = 0; person < count; person++) {
      let joined = values[first * count + person];
      for (let k = first + 1; k < end; k++) joined = join(joined, values[k * count + person]);
      out[f * count + person] = joined;
    }
  }
  return out;
}
