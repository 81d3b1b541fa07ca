import { groundOf } from "./ground.js";

/**
 * Decoding of the data in the page. A clip has F frames, P people, J joints; arrays are flat, row-major, with NaN for
 * what is missing. Scene axes: x right, y up, z towards the camera, mm; the camera, where known, is at the origin.
 */

const MISSING = -(2 ** 31);

export function bytes(base64) {
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

/**
 * Numbers that were packed by `packed` of page_data.py: whole steps, their changes from frame to frame, deflated. Or
 * {shape, values} as they are, with NaN or null for what is missing.
 */
async function unpacked({ shape, step, data, values }, Kind = Float32Array) {
  if (values) return Kind.from(values, (value) => value ?? NaN);
  const stream = new Blob([bytes(data)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = shape.reduce((a, b) => a * b, 1);
  const frames = shape[0];
  const row = size / frames;
  const out = new Kind(size);
  for (let column = 0; column < row; column++) {
    let code = 0;
    for (let frame = 0; frame < frames; frame++) {
      const at = column * frames + frame;
      const change = planes[at] | (planes[at + size] << 8) | (planes[at + 2 * size] << 16) | (planes[at + 3 * size] << 24);
      code = (code + change) | 0;
      out[frame * row + column] = code === MISSING ? NaN : code * step;
    }
  }
  return out;
}

/** A page's poses, ready to draw. */
export class Clip {
  static async read(data) {
    const { name, joints, sides, limbs, root } = data.skeleton;
    const clip = Object.assign(new Clip(), data, { skeleton: name, joints, jointSides: sides, limbs, root });
    const optional = (entry, Kind) => entry && unpacked(entry, Kind);
    clip.time = await unpacked(data.time, Float64Array);
    clip.mediaTime = await optional(data.mediaTime, Float64Array);
    clip.frameIndex = await unpacked(data.frameIndex, Int32Array);
    clip.keypoints = await optional(data.keypoints);
    clip.scores = await optional(data.scores);
    clip.sets = await Promise.all(data.sets.map(async (set) => ({ ...set, position: await unpacked(set.position) })));
    clip.frames = clip.time.length;
    clip.notes ??= [];
    clip.present = clip.whereSeen();
    clip.ground = groundOf(clip);
    return clip;
  }

  /** Number of a joint in the frames x people x joints of the clip. */
  index(frame, person, joint) {
    return (frame * this.people.length + person) * this.joints.length + joint;
  }

  /** (F, P) 1 where anything of a person is seen. */
  whereSeen() {
    const seen = new Uint8Array(this.frames * this.people.length);
    const joints = this.joints.length;
    for (const [values, axes] of [[this.keypoints, 2], [this.sets[0]?.position, 3]]) {
      if (!values) continue;
      for (let i = 0; i < values.length; i += axes) if (values[i] === values[i]) seen[Math.floor(i / (axes * joints))] = 1;
    }
    return seen;
  }

  isPresent(frame, person) {
    return this.present[frame * this.people.length + person] === 1;
  }

  /** Puts the place of a person of the first set, [x, y, z], into `out`: the root, or else the middle of the joints. */
  place(frame, person, out) {
    const p = this.sets[0].position;
    const root = 3 * this.index(frame, person, this.root);
    if (p[root] === p[root]) {
      for (let axis = 0; axis < 3; axis++) out[axis] = p[root + axis];
      return true;
    }
    let count = 0;
    out.fill(0);
    for (let joint = 0, at = 3 * this.index(frame, person, 0); joint < this.joints.length; joint++, at += 3) {
      if (p[at] !== p[at]) continue;
      count++;
      for (let axis = 0; axis < 3; axis++) out[axis] += p[at + axis];
    }
    for (let axis = 0; axis < 3; axis++) out[axis] /= count;
    return count > 0;
  }

  /** How a person is called: by the number in the file. */
  personName(person) {
    return `person ${this.people[person]}`;
  }

  /** "left wrist", with the person's number where there are several. */
  spoken({ person, joint }) {
    return this.people.length > 1 ? `${this.joints[joint]} of ${this.personName(person)}` : this.joints[joint];
  }

  /**
   * Which of two joints is nearer to the camera, by the poses of one set: {nearer, farther, mm, certainty}; null where
   * either is missing. Depth is along the camera's axis. The certainty is null where it is not known.
   */
  compare(set, frame, a, b) {
    const { position, certainty } = this.sets[set];
    const depth = ({ person, joint }) => position[3 * this.index(frame, person, joint) + 2];
    const ahead = depth(a) - depth(b);
    if (!Number.isFinite(ahead)) return null;
    const order = ahead >= 0 ? { nearer: a, farther: b } : { nearer: b, farther: a };
    const [low, high] = [a.joint, b.joint].sort((i, j) => i - j);
    const model = a.person === b.person && certainty.find(([i, j]) => i === low && j === high);
    return { ...order, mm: Math.round(Math.abs(ahead)), certainty: model ? rightShare(model, Math.abs(ahead)) : null };
  }

  /** How far a joint is from that of the first set, mm; NaN where either is missing. */
  distance(set, frame, person, joint) {
    const [p, q, at] = [this.sets[0].position, this.sets[set].position, 3 * this.index(frame, person, joint)];
    return Math.hypot(p[at] - q[at], p[at + 1] - q[at + 1], p[at + 2] - q[at + 2]);
  }

  /** (F) mean distance of the joints of a set from those of the first, mm; NaN where they have none in common. */
  differences(set) {
    const entry = this.sets[set];
    entry.differences ??= Float32Array.from({ length: this.frames }, (_, frame) => {
      let [sum, count] = [0, 0];
      for (let person = 0; person < this.people.length; person++)
        for (let joint = 0; joint < this.joints.length; joint++) {
          const mm = this.distance(set, frame, person, joint);
          if (mm === mm) [sum, count] = [sum + mm, count + 1];
        }
      return count ? sum / count : NaN;
    });
    return entry.differences;
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

/** How often an order is right at a depth difference in mm: logistic (Bradley and Terry), with lapses right half the time. */
function rightShare([, , scale, lapse], mm) {
  return 1 - lapse / 2 - (1 - lapse) / (1 + Math.exp(mm / scale));
}
