/**
 * Decoding of the data in the page. A clip has F frames, P people, J joints; arrays are flat, row-major, with NaN for
 * what is missing. Scene axes: x right, y up, z towards the camera, mm; the camera, where known, is at the origin.
 */

const MISSING = -32768;

function bytes(base64) {
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

function quantised({ step, codes }) {
  return Float32Array.from(new Int16Array(bytes(codes).buffer), (code) => (code === MISSING ? NaN : code * step));
}

/** A page's poses, ready to draw. */
export class Clip {
  constructor(data) {
    Object.assign(this, data);
    this.frames = data.time.length;
    this.keypoints = data.keypoints && quantised(data.keypoints);
    this.scores = data.scores && bytes(data.scores);
    this.sets = data.sets.map(({ name, roots, offsets }) => {
      const root = new Float32Array(bytes(roots).buffer);
      const position = quantised(offsets);
      const stride = 3 * this.joints.length;
      for (let i = 0; i < position.length; i++) position[i] += root[3 * Math.floor(i / stride) + (i % 3)];
      return { name, position, root };
    });
  }

  /** [x, y, z] of a joint in a set, or null where it is missing. */
  point(set, frame, person, joint) {
    const at = 3 * ((frame * this.people.length + person) * this.joints.length + joint);
    const p = this.sets[set].position;
    return Number.isFinite(p[at] + p[at + 1] + p[at + 2]) ? [p[at], p[at + 1], p[at + 2]] : null;
  }

  /** [u, v, score 0..1] of a keypoint, or null where it is missing. */
  keypoint(frame, person, joint) {
    if (!this.keypoints) return null;
    const at = (frame * this.people.length + person) * this.joints.length + joint;
    const [u, v] = [this.keypoints[2 * at], this.keypoints[2 * at + 1]];
    return Number.isFinite(u + v) ? [u, v, this.scores ? this.scores[at] / 255 : 1] : null;
  }

  /** Where a person of the first set stands in a frame, or null. */
  root(frame, person) {
    const at = 3 * (frame * this.people.length + person);
    const r = this.sets[0].root;
    return Number.isFinite(r[at] + r[at + 1] + r[at + 2]) ? [r[at], r[at + 1], r[at + 2]] : null;
  }

  /** Whether anything of a person is seen in a frame. */
  present(frame, person) {
    return this.joints.some((_, j) => (this.sets.length && this.point(0, frame, person, j)) || this.keypoint(frame, person, j));
  }

  /** "left wrist", with the person's number where there are several. */
  spoken({ person, joint }) {
    return this.people.length > 1 ? `${this.joints[joint]} of person ${person + 1}` : this.joints[joint];
  }

  /**
   * Which of two joints is nearer to the camera, by the poses of one set: {nearer, farther, mm}; null where either is
   * missing. Depth is along the camera's axis.
   */
  compare(set, frame, a, b) {
    const [pa, pb] = [this.point(set, frame, a.person, a.joint), this.point(set, frame, b.person, b.joint)];
    if (!pa || !pb) return null;
    const mm = Math.round(Math.abs(pa[2] - pb[2]));
    return pa[2] >= pb[2] ? { nearer: a, farther: b, mm } : { nearer: b, farther: a, mm };
  }

  /** The frame shown at a time in seconds from the first: the last one that has begun. */
  frameAt(seconds, stamps = this.time) {
    let [low, high] = [0, stamps.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (stamps[middle] - stamps[0] <= seconds + 0.002) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
