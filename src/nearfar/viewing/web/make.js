/** Clips that a page makes itself, such as one that lifts in the browser. */

/**
 * The data of `showClip` from plain arrays, flat and row-major; NaN is a missing number.
 *
 * @param template what `viewer_template` of nearfar.viewing gives: the skeleton, and how sure its weights are.
 * @param joints (F, P, J, 3) mm along the camera's axes (x right, y down, z forward), from the root where `roots` are
 *   given or where people stand is unknown.
 * @param roots (F, P, 3) mm, the roots before the camera; null: people are drawn side by side.
 * @param keypoints (F, P, J, 2) pixels; scores (F, P, J) 0..1; size [width, height] of the frames in pixels.
 * @param time (F) seconds; frameIndex (F); people (P) numbers; by default one frame of one person.
 */
export function clipData(template, { joints, roots = null, keypoints = null, scores = null, size = null, time = [0], frameIndex, people = [0], name = "prediction", notes = [] }) {
  const [frames, count, across] = [time.length, people.length, template.skeleton.joints.length];
  const shape = (...axes) => [frames, count, across, ...axes];
  const entry = (values, dimensions) => values && { shape: dimensions, values };
  return {
    ...template,
    people,
    time: entry(time, [frames]),
    frameIndex: entry(frameIndex ?? time.map((_, i) => i), [frames]),
    sets: joints ? [{ name, certainty: template.certainty, position: entry(inScene(joints, roots, count, across), shape(3)) }] : [],
    keypoints: entry(keypoints, shape(2)),
    scores: entry(scores, shape()),
    size,
    camera: true,
    placed: Boolean(roots),
    notes,
  };
}

/** mm between people whose place is not known, as in clip.py. */
const SIDE_BY_SIDE = 1000;

function inScene(joints, roots, count, across) {
  return Float32Array.from(joints, (value, i) => {
    const row = Math.floor(i / (3 * across));
    const aside = i % 3 === 0 ? ((row % count) - (count - 1) / 2) * SIDE_BY_SIDE : 0;
    const along = value + (roots ? roots[3 * row + (i % 3)] : aside);
    return i % 3 === 0 ? along : -along;
  });
}
