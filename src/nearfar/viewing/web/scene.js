/** People in 3D on a canvas: an orbiting camera, a ground grid, shadows, and limbs drawn far to near. */

const FIELD_OF_VIEW = (32 * Math.PI) / 180;
const NEAR = 150;
const LIMB_MM = 40;
const PERSON_MM = 2150;
const VIEWS = { front: [0, 0], side: [-Math.PI / 2, 0], top: [0, Math.PI / 2], home: [0, 0.21] };

/** Moves on a sphere around a target; distances in mm, angles in radians (0, 0 is the real camera's direction). */
export class Orbit {
  constructor() {
    this.target = [0, 0, 0];
    this.size = PERSON_MM;
    this.set("home");
  }

  set(view) {
    [this.azimuth, this.elevation] = VIEWS[view];
    this.zoom = 1;
  }

  turn(dx, dy) {
    this.azimuth -= dx;
    this.elevation = Math.min(Math.PI / 2, Math.max(-0.4, this.elevation + dy));
  }

  magnify(factor) {
    this.zoom = Math.min(8, Math.max(0.2, this.zoom * factor));
  }

  /** Prepare to project onto a canvas of w x h pixels. */
  frame(w, h) {
    const [sa, ca, se, ce] = [Math.sin(this.azimuth), Math.cos(this.azimuth), Math.sin(this.elevation), Math.cos(this.elevation)];
    this.right = [ca, 0, -sa];
    this.up = [-sa * se, ce, -ca * se];
    this.back = [sa * ce, se, ca * ce];
    this.focal = h / 2 / Math.tan(FIELD_OF_VIEW / 2);
    this.distance = (this.size * this.focal) / (Math.min(h, w * 1.15) * 0.86) / this.zoom;
    this.middle = [w / 2, h / 2];
  }

  /** [x, y, depth, pixels per mm], or null behind the eye. */
  project([x, y, z]) {
    const d = [x - this.target[0], y - this.target[1], z - this.target[2]];
    const depth = this.distance - dot(d, this.back);
    if (depth < NEAR) return null;
    const scale = this.focal / depth;
    return [this.middle[0] + dot(d, this.right) * scale, this.middle[1] - dot(d, this.up) * scale, depth, scale];
  }
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** Draws a clip's people; `colours` come from the style sheet. */
export class Scene {
  constructor(canvas, clip) {
    this.canvas = canvas;
    this.clip = clip;
    this.orbit = new Orbit();
    const everyone = clip.people.map((_, person) => person);
    this.paths = everyone.map((person) => walkedPath(clip, [person]));
    this.path = walkedPath(clip, everyone);
    this.travels = extent(this.path, 0) + extent(this.path, 2) > 1200;
    this.follow = this.travels || everyone.length > 1 ? "all" : "none";
    this.spots = [];
  }

  /** Point the orbit at the people in a frame, at one of them, or at the middle of the whole clip. */
  aim(frame) {
    const { clip, follow } = this;
    const one = this.paths[follow];
    const centre = follow === "none" ? middleOf(this.path) : (one ?? this.path)[frame];
    if (follow === "none" || !clip.groundAt.length) this.ground = clip.ground;
    else if (one) this.ground = clip.groundAt[follow][frame];
    else this.ground = Math.min(...clip.groundAt.map((heights) => heights[frame]));
    this.orbit.target = [centre[0], this.ground + PERSON_MM * 0.4, centre[2]];
    this.orbit.size = PERSON_MM + (one ? 0 : this.spread());
  }

  /** How much wider than a person the picture must be, mm; the same for the whole clip, so that it does not pulse. */
  spread() {
    this.widest ??= {};
    const { clip, follow, widest } = this;
    if (!(follow in widest)) {
      const centre = middleOf(this.path);
      let reach = 0;
      for (let f = 0; f < clip.frames; f++)
        for (let p = 0; p < clip.people.length; p++) {
          const root = clip.root(f, p);
          const about = follow === "all" ? this.path[f] : centre;
          if (root) reach = Math.max(reach, Math.hypot(root[0] - about[0], root[2] - about[2]));
        }
      widest[follow] = Math.max(0, 1.6 * reach - 300);
    }
    return widest[follow];
  }

  draw(frame, { colours, hidden, hover, picked }) {
    const { canvas, orbit, clip } = this;
    const context = canvas.getContext("2d");
    const ratio = canvas.width / canvas.clientWidth;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, w, h);
    this.aim(frame);
    orbit.frame(w, h);
    this.drawGround(context, colours);
    this.drawCamera(context, colours);
    const shapes = [];
    this.spots = [];
    clip.sets.forEach((_, set) => {
      if (!hidden.has(set)) this.collect(shapes, set, frame, colours, context);
    });
    shapes.sort((a, b) => b.depth - a.depth);
    for (const shape of shapes) paint(context, shape, colours, orbit);
    if (clip.people.length > 1 && !hidden.has(0)) this.drawNumbers(context, frame, colours);
    this.drawMarks(context, frame, colours, hover, picked);
  }

  /** Limbs and joints of one set as shapes to paint, and its shadow. */
  collect(shapes, set, frame, colours, context) {
    const { clip, orbit } = this;
    const main = set === 0;
    const colour = (side, person) =>
      !main ? colours.others[(set - 1) % colours.others.length] : side === "centre" ? colours.people[person % colours.people.length] : colours[side];
    for (let person = 0; person < clip.people.length; person++) {
      const world = clip.joints.map((_, j) => clip.point(set, frame, person, j));
      const points = world.map((p) => p && orbit.project(p));
      if (main) this.drawShadow(context, world, colours);
      for (const [a, b, side] of clip.limbs) {
        if (!points[a] || !points[b]) continue;
        const width = Math.max(main ? 3 : 1.6, LIMB_MM * (main ? 1 : 0.45) * (points[a][3] + points[b][3]) * 0.5);
        shapes.push({ from: points[a], to: points[b], depth: (points[a][2] + points[b][2]) / 2, width, colour: colour(side, person) });
      }
      points.forEach((point, joint) => {
        if (!point) return;
        if (main) this.spots.push({ person, joint, x: point[0], y: point[1], depth: point[2] });
        const width = Math.max(main ? 4.5 : 2, LIMB_MM * (main ? 1.35 : 0.6) * point[3]);
        shapes.push({ from: point, to: point, depth: point[2] - 12, width, colour: colour(clip.jointSides[joint], person) });
      });
    }
  }

  drawShadow(context, world, colours) {
    context.beginPath();
    let width = 2;
    for (const [a, b] of this.clip.limbs) {
      if (!world[a] || !world[b]) continue;
      const from = this.orbit.project([world[a][0], this.ground, world[a][2]]);
      const to = this.orbit.project([world[b][0], this.ground, world[b][2]]);
      if (!from || !to) continue;
      context.moveTo(from[0], from[1]);
      context.lineTo(to[0], to[1]);
      width = LIMB_MM * 1.2 * from[3];
    }
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = width;
    context.strokeStyle = colours.shadow;
    context.stroke();
  }

  /** Half-metre grid around the people, fading outwards. */
  drawGround(context, colours) {
    const { orbit, clip } = this;
    const step = 500;
    const reach = Math.ceil((orbit.size * 1.25) / step / Math.min(1, orbit.zoom ** 0.5)) + 2;
    const [cx, cz] = [Math.round(orbit.target[0] / step), Math.round(orbit.target[2] / step)];
    const buckets = new Map();
    const line = (x0, z0, x1, z1, major) => {
      const far = Math.hypot((x0 + x1) / 2 - orbit.target[0], (z0 + z1) / 2 - orbit.target[2]) / (reach * step);
      const alpha = Math.round((1 - far) * (major ? 10 : 5));
      if (alpha <= 0) return;
      const [from, to] = [orbit.project([x0, this.ground, z0]), orbit.project([x1, this.ground, z1])];
      if (!from || !to) return;
      if (!buckets.has(alpha)) buckets.set(alpha, new Path2D());
      buckets.get(alpha).moveTo(from[0], from[1]);
      buckets.get(alpha).lineTo(to[0], to[1]);
    };
    for (let i = -reach; i <= reach; i++)
      for (let k = -reach; k < reach; k++) {
        line((cx + i) * step, (cz + k) * step, (cx + i) * step, (cz + k + 1) * step, (cx + i) % 2 === 0);
        line((cx + k) * step, (cz + i) * step, (cx + k + 1) * step, (cz + i) * step, (cz + i) % 2 === 0);
      }
    context.strokeStyle = colours.grid;
    context.lineWidth = 1;
    for (const [alpha, path] of buckets) {
      context.globalAlpha = alpha / 10;
      context.stroke(path);
    }
    context.globalAlpha = 1;
    this.drawTrail(context, colours);
  }

  /** Where the people went, on the ground. */
  drawTrail(context, colours) {
    if (!this.travels || !this.clip.placed) return;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.globalAlpha = 0.55;
    for (let person = 0; person < this.clip.people.length; person++) {
      context.strokeStyle = this.clip.people.length > 1 ? colours.people[person % colours.people.length] : colours.trail;
      context.beginPath();
      let pen = false;
      for (let f = 0; f < this.clip.frames; f++) {
        const [x, , z] = this.paths[person][f];
        const at = this.clip.root(f, person) && this.orbit.project([x, this.ground, z]);
        if (at) pen ? context.lineTo(at[0], at[1]) : context.moveTo(at[0], at[1]);
        pen = Boolean(at);
      }
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** An arrow on the ground towards the real camera. */
  drawCamera(context, colours) {
    if (!this.clip.camera) return;
    const { orbit, clip } = this;
    const [x, , z] = orbit.target;
    const scale = orbit.size / PERSON_MM;
    const ends = [420, 680].map((away) => orbit.project([x, this.ground, z + away * scale]));
    const wings = [-70, 70].map((dx) => orbit.project([x + dx * scale, this.ground, z + 580 * scale]));
    if ([...ends, ...wings].some((p) => !p)) return;
    context.strokeStyle = context.fillStyle = colours.muted;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(...ends[0].slice(0, 2));
    context.lineTo(...ends[1].slice(0, 2));
    context.moveTo(...wings[0].slice(0, 2));
    context.lineTo(...ends[1].slice(0, 2));
    context.lineTo(...wings[1].slice(0, 2));
    context.stroke();
    context.font = "500 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const away = Math.hypot(ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]) || 1;
    const [ux, uy] = [(ends[1][0] - ends[0][0]) / away, (ends[1][1] - ends[0][1]) / away];
    context.fillText("camera", ends[1][0] + ux * 32, ends[1][1] + (Math.abs(uy) > 0.3 ? Math.sign(uy) * 13 : 0));
  }

  drawNumbers(context, frame, colours) {
    this.clip.people.forEach((_, person) => {
      const spots = this.spots.filter((spot) => spot.person === person);
      if (!spots.length) return;
      const top = spots.reduce((a, b) => (b.y < a.y ? b : a));
      badge(context, top.x, top.y - 24, String(person + 1), colours.people[person % colours.people.length], colours.page);
    });
  }

  drawMarks(context, frame, colours, hover, picked) {
    const spot = (mark) => mark && this.spots.find((s) => s.person === mark.person && s.joint === mark.joint);
    const [a, b] = [spot(picked[0]), spot(picked[1])];
    if (a && b) {
      context.setLineDash([5, 5]);
      context.strokeStyle = colours.ink;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(a.x, a.y);
      context.lineTo(b.x, b.y);
      context.stroke();
      context.setLineDash([]);
    }
    [a, b].forEach((s, i) => s && ring(context, s.x, s.y, "AB"[i], [colours["mark-a"], colours["mark-b"]][i], colours.page));
    const under = spot(hover);
    if (under) {
      context.strokeStyle = colours.ink;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(under.x, under.y, 9, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

/** The joint drawn nearest to a place on the canvas within reach: {person, joint, x, y}, or null. */
export function pick(spots, x, y, reach) {
  let best = null;
  for (const spot of spots) {
    const away = Math.hypot(spot.x - x, spot.y - y);
    if (away <= reach && (!best || away < best.away - 2 || (away < best.away + 2 && spot.depth < best.depth))) best = { ...spot, away };
  }
  return best;
}

/** A circle around a joint with its letter beside it. */
export function ring(context, x, y, letter, colour, page) {
  context.strokeStyle = page;
  context.lineWidth = 6;
  context.beginPath();
  context.arc(x, y, 10, 0, 2 * Math.PI);
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = 3;
  context.stroke();
  badge(context, x + 20, y - 14, letter, colour, page);
}

/** A letter or number on a disc. */
export function badge(context, x, y, text, colour, page) {
  context.fillStyle = colour;
  context.strokeStyle = page;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, 10, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
  const light = [1, 3, 5].reduce((sum, i, k) => sum + parseInt(colour.slice(i, i + 2), 16) * [0.3, 0.59, 0.11][k], 0) > 110;
  context.fillStyle = light ? "#101418" : "#ffffff";
  context.font = "700 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 0.5);
}

/** One limb or joint with a dark edge so that crossings read, paler the farther it is. */
function paint(context, { from, to, depth, width, colour }, colours, orbit) {
  const line = (w, style) => {
    context.lineWidth = w;
    context.strokeStyle = style;
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1] + (from === to ? 0.01 : 0));
    context.stroke();
  };
  const haze = Math.min(0.45, Math.max(0, ((depth - orbit.distance) / 900 + 0.35) * 0.35));
  context.lineCap = "round";
  line(width + 2.5, colours.edge);
  line(width, `color-mix(in srgb, ${colour}, ${colours.page} ${Math.round(haze * 100)}%)`);
}

/** (F) middle of some people in each frame, held where they are missing, smoothed so that the view glides. */
function walkedPath(clip, people) {
  if (!clip.sets.length) return [];
  const raw = [];
  for (let f = 0; f < clip.frames; f++) {
    const roots = people.map((p) => clip.root(f, p)).filter(Boolean);
    raw.push(roots.length ? middleOf(roots) : null);
  }
  const first = raw.find(Boolean) ?? [0, 0, 0];
  let last = first;
  const held = raw.map((p) => (last = p ?? last));
  const reach = Math.min(12, Math.floor(clip.frames / 4));
  return held.map((_, f) => middleOf(held.slice(Math.max(0, f - reach), f + reach + 1)));
}

function middleOf(points) {
  return [0, 1, 2].map((axis) => points.reduce((sum, p) => sum + p[axis], 0) / Math.max(1, points.length));
}

function extent(points, axis) {
  const values = points.map((p) => p[axis]);
  return values.length ? Math.max(...values) - Math.min(...values) : 0;
}
