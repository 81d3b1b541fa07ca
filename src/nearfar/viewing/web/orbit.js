/** The eye that looks at the 3D scene. */

const FIELD_OF_VIEW = (32 * Math.PI) / 180;
const NEAR = 150;
const VIEWS = { front: [0, 0], side: [-Math.PI / 2, 0], top: [0, Math.PI / 2], home: [0, 0.21] };

/** Moves on a sphere around a target; distances in mm, angles in radians (0, 0 is the real camera's direction). */
export class Orbit {
  constructor(size) {
    this.target = [0, 0, 0];
    this.size = size;
    this.set("home");
  }

  set(view) {
    [this.azimuth, this.elevation] = VIEWS[view];
    this.zoom = 1;
    this.shift = [0, 0, 0];
  }

  turn(dx, dy) {
    this.azimuth -= dx;
    this.elevation = Math.min(Math.PI / 2, Math.max(-0.4, this.elevation + dy));
  }

  magnify(factor) {
    this.zoom = Math.min(12, Math.max(0.2, this.zoom * factor));
  }

  /** Move what is seen by pixels of the canvas. */
  pan(dx, dy) {
    const mm = this.distance / this.focal;
    for (let axis = 0; axis < 3; axis++) this.shift[axis] += (this.up[axis] * dy - this.right[axis] * dx) * mm;
  }

  /** Look at [x, y, z]; what was panned stays panned. */
  aim(x, y, z) {
    this.target = [x + this.shift[0], y + this.shift[1], z + this.shift[2]];
  }

  /** Prepare to project onto w x h pixels that begin at `left`. */
  frame(w, h, left = 0) {
    const [sa, ca, se, ce] = [Math.sin(this.azimuth), Math.cos(this.azimuth), Math.sin(this.elevation), Math.cos(this.elevation)];
    this.right = [ca, 0, -sa];
    this.up = [-sa * se, ce, -ca * se];
    this.back = [sa * ce, se, ca * ce];
    this.focal = h / 2 / Math.tan(FIELD_OF_VIEW / 2);
    this.distance = (this.size * this.focal) / (Math.min(h, w * 1.15) * 0.86) / this.zoom;
    this.middle = [left + w / 2, h / 2];
  }

  /** Puts [x, y, depth, pixels per mm] of a point into `out` at `at`, NaN where it is behind the eye or missing. */
  project(x, y, z, out, at = 0) {
    const [dx, dy, dz] = [x - this.target[0], y - this.target[1], z - this.target[2]];
    const { right, up, back } = this;
    const depth = this.distance - (dx * back[0] + dy * back[1] + dz * back[2]);
    const scale = depth >= NEAR ? this.focal / depth : NaN;
    out[at] = this.middle[0] + (dx * right[0] + dy * right[1] + dz * right[2]) * scale;
    out[at + 1] = this.middle[1] - (dx * up[0] + dy * up[1] + dz * up[2]) * scale;
    out[at + 2] = depth;
    out[at + 3] = scale;
    return out;
  }
}
