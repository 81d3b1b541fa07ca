/** People in 3D on a canvas: a ground grid, shadows, and limbs drawn far to near. */
import { Orbit } from "./orbit.js";
import { badge, begin, circle, mixed, rings } from "./paint.js";

const LIMB_MM = 40;
const PERSON_MM = 2150;
const EYE_LEVEL = 0.4;
const ABOVE_ROOT_MM = 1000;
const GRID_MM = 500;
const SMOOTHING = 12;
const TRAIL = { frames: 300, step: 3 };
const HAZE = 0.45;

/** Draws a clip's people; `colours` come from the style sheet. */
export class Scene {
  constructor(canvas, clip) {
    this.canvas = canvas;
    this.clip = clip;
    this.orbit = new Orbit(PERSON_MM);
    const everyone = clip.people.map((_, person) => person);
    this.paths = everyone.map((person) => walkedPath(clip, [person]));
    this.path = walkedPath(clip, everyone);
    this.middle = middleOf(this.path);
    this.travels = extent(this.path, 0) + extent(this.path, 2) > 1200;
    this.follow = this.travels || everyone.length > 1 ? "all" : "none";
    this.largest = {};
    this.screen = clip.sets.map(() => new Float64Array(4 * everyone.length * clip.joints.length));
    const shapes = everyone.length * (clip.limbs.length + clip.joints.length);
    this.shapes = { most: shapes, order: new Uint32Array(shapes * clip.sets.length), depth: new Float64Array(shapes * clip.sets.length) };
    this.views = [];
  }

  /** Point the orbit at the people in a frame, at one of them, or at the middle of the whole clip. */
  aim(frame) {
    const { clip, follow, orbit } = this;
    const one = this.paths[follow];
    const path = one ?? this.path;
    const [x, , z] = follow === "none" ? this.middle : path.subarray(3 * frame);
    this.ground = this.groundBelow(frame);
    orbit.aim(x, this.ground + PERSON_MM * EYE_LEVEL, z);
    orbit.size = PERSON_MM + (one ? 0 : this.spread());
  }

  /** Height of the ground: of the clip, below the person followed in a frame, or below the lowest of all. */
  groundBelow(frame) {
    const { ground, people } = this.clip;
    if (this.follow === "none" || !ground.below) return ground.level;
    if (this.follow !== "all") return ground.below[frame * people.length + Number(this.follow)];
    let lowest = Infinity;
    for (let p = 0; p < people.length; p++) lowest = Math.min(lowest, ground.below[frame * people.length + p]);
    return lowest;
  }

  /** How much larger than a person the picture must be, mm; the same for the whole clip, so that it does not pulse. */
  spread() {
    const { clip, follow, largest, middle, path } = this;
    if (!(follow in largest)) {
      let [reach, rise] = [0, 0];
      const at = [0, 0, 0];
      for (let f = 0; f < clip.frames; f++) {
        const [x, , z] = follow === "all" ? path.subarray(3 * f) : middle;
        const ground = this.groundBelow(f);
        for (let p = 0; p < clip.people.length; p++)
          if (clip.place(f, p, at)) {
            reach = Math.max(reach, Math.hypot(at[0] - x, at[2] - z));
            rise = Math.max(rise, at[1] - ground);
          }
      }
      const top = rise + ABOVE_ROOT_MM - PERSON_MM * EYE_LEVEL; // above the middle of the picture
      largest[follow] = Math.max(0, 2 * reach - 1000, 2 * top - PERSON_MM);
    }
    return largest[follow];
  }

  /** Draw the sets that are not hidden: in one view, or in one each, side by side. */
  draw(frame, look) {
    const [context, w, h] = begin(this.canvas);
    this.aim(frame);
    const sets = this.clip.sets.map((_, set) => set).filter((set) => !look.hiddenSets.has(set));
    const views = look.layout === "beside" && sets.length > 1 ? sets.map((set) => [set]) : [sets];
    this.views = views.map((shown, i) => ({ sets: shown, left: (i * w) / views.length, width: w / views.length }));
    for (const view of this.views) {
      context.save();
      context.beginPath();
      context.rect(view.left, 0, view.width, h);
      context.clip();
      this.drawView(context, frame, look, view, h);
      context.restore();
    }
  }

  drawView(context, frame, look, { sets, left, width }, h) {
    const { orbit, clip } = this;
    const { colours } = look;
    orbit.frame(width, h, left);
    this.drawGround(context, colours);
    this.drawTrail(context, frame, look);
    this.drawCamera(context, colours);
    for (const set of sets) this.project(set, frame);
    if (!sets.length) return;
    const people = clip.people.map((_, person) => person).filter((person) => !look.hiddenPeople.has(person));
    for (const person of people) this.drawShadow(context, sets[0], frame, person, colours);
    this.drawShapes(context, sets, people, look);
    if (clip.people.length > 1) for (const person of people) this.drawNumber(context, sets[0], person, colours);
    this.drawMarks(context, sets[0], look);
    if (this.views.length > 1) {
      context.font = "600 13px system-ui, sans-serif";
      context.textAlign = "left";
      context.textBaseline = "alphabetic";
      context.lineJoin = "round";
      context.lineWidth = 4;
      context.strokeStyle = colours.page;
      context.fillStyle = colours.ink;
      for (const draw of ["strokeText", "fillText"]) context[draw](clip.sets[sets[0]].name, left + 14, 64, width - 28);
      context.fillStyle = colours.line;
      if (left) context.fillRect(left, 0, 1, h);
    }
  }

  /** Screen places of all joints of a set. */
  project(set, frame) {
    const { position } = this.clip.sets[set];
    const out = this.screen[set];
    const count = out.length / 4;
    for (let i = 0, at = 3 * frame * count; i < count; i++, at += 3)
      this.orbit.project(position[at], position[at + 1], position[at + 2], out, 4 * i);
  }

  /** Limbs and joints of some sets, far ones first, each with a dark edge so that crossings read, paler if farther. */
  drawShapes(context, sets, people, look) {
    const { clip, orbit } = this;
    const { most, order, depth } = this.shapes;
    const joints = clip.joints.length;
    const each = clip.limbs.length + joints;
    let count = 0;
    for (const set of sets) {
      const points = this.screen[set];
      for (const person of people)
        for (let i = 0; i < each; i++) {
          const [a, b] = i < joints ? [i, i] : clip.limbs[i - joints];
          const [p, q] = [4 * (person * joints + a), 4 * (person * joints + b)];
          if (!(points[p + 3] + points[q + 3] > 0)) continue;
          const shape = set * most + person * each + i;
          depth[shape] = (points[p + 2] + points[q + 2]) / 2 - (i < joints ? 12 : 0);
          order[count++] = shape;
        }
    }
    context.lineCap = "round";
    for (const shape of order.subarray(0, count).sort((a, b) => depth[b] - depth[a])) {
      const set = Math.floor(shape / most);
      const person = Math.floor((shape % most) / each);
      const i = (shape % most) % each;
      const main = set === sets[0];
      const [a, b, side] = i < joints ? [i, i, clip.jointSides[i]] : clip.limbs[i - joints];
      const points = this.screen[set];
      const [p, q] = [4 * (person * joints + a), 4 * (person * joints + b)];
      const thick = (LIMB_MM * (points[p + 3] + points[q + 3])) / 2;
      const width = i < joints ? Math.max(main ? 4.5 : 2, thick * (main ? 1.35 : 0.6)) : Math.max(main ? 3 : 1.6, thick * (main ? 1 : 0.45));
      const haze = Math.min(HAZE, Math.max(0, ((depth[shape] - orbit.distance) / 900 + 0.35) * 0.35));
      const colour = main ? ownColour(look, side, person) : otherColour(look, set);
      context.beginPath();
      context.moveTo(points[p], points[p + 1]);
      context.lineTo(points[q], points[q + 1] + (p === q ? 0.01 : 0));
      context.lineWidth = width + 2.5;
      context.strokeStyle = look.colours.edge;
      context.stroke();
      context.lineWidth = width;
      context.strokeStyle = mixed(colour, look.colours.page, haze);
      context.stroke();
    }
  }

  drawShadow(context, set, frame, person, colours) {
    const { clip, orbit, ground } = this;
    const { position } = clip.sets[set];
    const first = 3 * clip.index(frame, person, 0);
    const [from, to] = [[], []];
    let width = 2;
    context.beginPath();
    for (const [a, b] of clip.limbs) {
      orbit.project(position[first + 3 * a], ground, position[first + 3 * a + 2], from);
      orbit.project(position[first + 3 * b], ground, position[first + 3 * b + 2], to);
      if (!(from[3] + to[3] > 0)) continue;
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
    const { orbit, ground } = this;
    const reach = Math.min(40, Math.ceil((orbit.size * 1.25) / GRID_MM / Math.min(1, orbit.zoom ** 0.5)) + 2);
    const [cx, cz] = [0, 2].map((axis) => Math.round(orbit.target[axis] / GRID_MM));
    const across = 2 * reach + 1;
    const corners = new Float64Array(4 * across * across);
    for (let i = 0; i < across; i++)
      for (let k = 0; k < across; k++)
        orbit.project((cx + i - reach) * GRID_MM, ground, (cz + k - reach) * GRID_MM, corners, 4 * (i * across + k));
    const levels = Array.from({ length: 11 }, () => new Path2D());
    const line = (i, k, di, dk, major) => {
      const away = Math.hypot(i + di / 2 - reach, k + dk / 2 - reach) / reach;
      const alpha = Math.round((1 - away) * (major ? 10 : 5));
      const [p, q] = [4 * (i * across + k), 4 * ((i + di) * across + k + dk)];
      if (alpha <= 0 || !(corners[p + 3] + corners[q + 3] > 0)) return;
      levels[alpha].moveTo(corners[p], corners[p + 1]);
      levels[alpha].lineTo(corners[q], corners[q + 1]);
    };
    for (let i = 0; i < across; i++)
      for (let k = 0; k < across; k++) {
        if (k + 1 < across) line(i, k, 0, 1, (cx + i - reach) % 2 === 0);
        if (i + 1 < across) line(i, k, 1, 0, (cz + k - reach) % 2 === 0);
      }
    context.strokeStyle = colours.grid;
    context.lineWidth = 1;
    levels.forEach((path, alpha) => {
      context.globalAlpha = alpha / 10;
      context.stroke(path);
    });
    context.globalAlpha = 1;
  }

  /** Where the people went around this moment, on the ground. */
  drawTrail(context, frame, { colours, hiddenPeople }) {
    const { clip, orbit } = this;
    if (!this.travels || !clip.placed) return;
    const first = Math.max(0, Math.floor((frame - TRAIL.frames) / TRAIL.step) * TRAIL.step);
    const last = Math.min(clip.frames - 1, frame + TRAIL.frames);
    const at = [];
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.globalAlpha = 0.55;
    for (let person = 0; person < clip.people.length; person++) {
      if (hiddenPeople.has(person)) continue;
      const path = this.paths[person];
      context.strokeStyle = clip.people.length > 1 ? colours.people[person % colours.people.length] : colours.trail;
      context.beginPath();
      let pen = false;
      for (let f = first; f <= last; f += TRAIL.step) {
        orbit.project(path[3 * f], this.ground, path[3 * f + 2], at);
        const seen = clip.isPresent(f, person) && at[3] > 0;
        if (seen) pen ? context.lineTo(at[0], at[1]) : context.moveTo(at[0], at[1]);
        pen = seen;
      }
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** An arrow on the ground towards the real camera. */
  drawCamera(context, colours) {
    if (!this.clip.camera) return;
    const { orbit, ground } = this;
    const [x, , z] = orbit.target;
    const scale = orbit.size / PERSON_MM;
    const place = (dx, away) => orbit.project(x + dx * scale, ground, z + away * scale, []);
    const [from, tip, left, right] = [place(0, 420), place(0, 680), place(-70, 580), place(70, 580)];
    if (![from, tip, left, right].every((p) => p[3] > 0)) return;
    context.strokeStyle = context.fillStyle = colours.muted;
    context.lineWidth = 2;
    context.beginPath();
    for (const [a, b] of [[from, tip], [left, tip], [right, tip]]) {
      context.moveTo(a[0], a[1]);
      context.lineTo(b[0], b[1]);
    }
    context.stroke();
    context.font = "500 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const away = Math.hypot(tip[0] - from[0], tip[1] - from[1]) || 1;
    const [ux, uy] = [(tip[0] - from[0]) / away, (tip[1] - from[1]) / away];
    context.fillText("camera", tip[0] + ux * 32, tip[1] + (Math.abs(uy) > 0.3 ? Math.sign(uy) * 13 : 0));
  }

  /** The number of a person above their highest joint. */
  drawNumber(context, set, person, colours) {
    const { people, joints } = this.clip;
    const points = this.screen[set];
    let top = -1;
    for (let i = person * joints.length; i < (person + 1) * joints.length; i++)
      if (points[4 * i + 3] > 0 && (top < 0 || points[4 * i + 1] < points[4 * top + 1])) top = i;
    if (top < 0) return;
    badge(context, points[4 * top], points[4 * top + 1] - 24, String(people[person]), colours.people[person % colours.people.length], colours.page);
  }

  drawMarks(context, set, { colours, hover, picked, hiddenPeople }) {
    const points = this.screen[set];
    const spot = (mark) => {
      const at = mark && !hiddenPeople.has(mark.person) ? 4 * (mark.person * this.clip.joints.length + mark.joint) : -1;
      return at >= 0 && points[at + 3] > 0 ? { x: points[at], y: points[at + 1] } : null;
    };
    const ends = picked.map(spot);
    if (ends[0] && ends[1]) {
      context.setLineDash([5, 5]);
      context.strokeStyle = colours.ink;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(ends[0].x, ends[0].y);
      context.lineTo(ends[1].x, ends[1].y);
      context.stroke();
      context.setLineDash([]);
    }
    rings(context, ends, colours, colours.page);
    const under = spot(hover);
    if (under) circle(context, under.x, under.y, 8, colours.ink);
  }

  /** The joint drawn nearest to a place on the canvas within reach: {set, person, joint, x, y}, or null. */
  pick(x, y, reach, hiddenPeople) {
    const view = this.views.find(({ left, width }) => x >= left && x < left + width);
    if (!view?.sets.length) return null;
    return nearest(this.screen[view.sets[0]], 4, this.clip, { x, y, reach, hiddenPeople, set: view.sets[0] });
  }
}

/** The joint nearest to (x, y) among `points`: x, y, then depth, for every person and joint; or null. */
export function nearest(points, stride, clip, { x, y, reach, hiddenPeople, set }) {
  let best = null;
  for (let i = 0; i < points.length / stride; i++) {
    const person = Math.floor(i / clip.joints.length);
    const [px, py, depth] = points.subarray(stride * i);
    const away = Math.hypot(px - x, py - y);
    if (!(away <= reach) || hiddenPeople.has(person)) continue;
    if (!best || away < best.away - 2 || (away < best.away + 2 && depth < best.depth))
      best = { set, person, joint: i % clip.joints.length, x: px, y: py, depth, away };
  }
  return best;
}

/** Colour of a limb of the first set: of its side, or of its person, the right side darker. */
export function ownColour({ colours, colouring }, side, person) {
  const own = colours.people[person % colours.people.length];
  if (colouring === "people") return side === "right" ? mixed(own, colours.shade, 0.38) : own;
  return side === "centre" ? own : colours[side];
}

export function otherColour({ colours }, set) {
  return colours.others[(set + colours.others.length - 1) % colours.others.length];
}

/** (3F) middle of some people in each frame, held where they are missing, smoothed so that the view glides. */
function walkedPath(clip, people) {
  const held = new Float32Array(3 * clip.frames);
  const [sum, at] = [[0, 0, 0], [0, 0, 0]];
  let first = -1;
  for (let f = 0; f < clip.frames; f++) {
    let count = 0;
    sum.fill(0);
    for (const person of people) {
      if (!clip.place(f, person, at)) continue;
      count++;
      for (let axis = 0; axis < 3; axis++) sum[axis] += at[axis];
    }
    if (count && first < 0) first = f;
    for (let axis = 0; axis < 3; axis++) held[3 * f + axis] = count ? sum[axis] / count : f ? held[3 * f - 3 + axis] : 0;
  }
  for (let i = 0; i < 3 * first; i++) held[i] = held[3 * first + (i % 3)];
  const reach = Math.min(SMOOTHING, Math.floor(clip.frames / 4));
  return held.map((_, i) => {
    let [total, count] = [0, 0];
    for (let k = i - 3 * reach; k <= i + 3 * reach; k += 3)
      if (k >= 0 && k < held.length) [total, count] = [total + held[k], count + 1];
    return total / count;
  });
}

function middleOf(path) {
  return [0, 1, 2].map((axis) => path.reduce((sum, value, i) => sum + (i % 3 === axis ? value : 0), 0) / (path.length / 3));
}

function extent(path, axis) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = axis; i < path.length; i += 3) [low, high] = [Math.min(low, path[i]), Math.max(high, path[i])];
  return high - low;
}
