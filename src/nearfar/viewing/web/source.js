/** The frame that the poses were found in, with the 2D skeletons over it. */
import { badge, begin, circle, rings } from "./paint.js";
import { nearest, ownColour } from "./scene.js";

/** Draws one frame of the clip, contained in its canvas, or enlarged. */
export class Source {
  constructor(canvas, clip) {
    this.canvas = canvas;
    this.clip = clip;
    this.screen = new Float64Array(4 * clip.people.length * clip.joints.length);
    this.reset();
  }

  reset() {
    this.zoom = 1;
    this.middle = [this.clip.size[0] / 2, this.clip.size[1] / 2];
  }

  /** Pixels of the canvas for one of the image, and where the image's corner lies. */
  place(w, h) {
    const [width, height] = this.clip.size;
    const scale = Math.min(w / width, h / height) * this.zoom;
    return [scale, w / 2 - this.middle[0] * scale, h / 2 - this.middle[1] * scale];
  }

  /** Enlarge about a place of the canvas, which stays where it is. */
  magnify(factor, x, y) {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const [before, left, top] = this.place(w, h);
    const [u, v] = [(x - left) / before, (y - top) / before];
    this.zoom = Math.min(12, Math.max(1, this.zoom * factor));
    const [scale] = this.place(w, h);
    this.middle = [u + (w / 2 - x) / scale, v + (h / 2 - y) / scale];
    this.keepInside();
  }

  pan(dx, dy) {
    const [scale] = this.place(this.canvas.clientWidth, this.canvas.clientHeight);
    this.middle = [this.middle[0] - dx / scale, this.middle[1] - dy / scale];
    this.keepInside();
  }

  keepInside() {
    const slack = (size) => (size / 2) * (1 - 1 / this.zoom);
    this.middle = this.middle.map((v, i) => {
      const size = this.clip.size[i];
      return Math.min(size / 2 + slack(size), Math.max(size / 2 - slack(size), v));
    });
  }

  /** Draw `picture` (a video or image element, or null) and the keypoints of a frame. */
  draw(frame, picture, look) {
    const { clip } = this;
    const [context, w, h] = begin(this.canvas);
    const [width, height] = clip.size;
    const [scale, left, top] = this.place(w, h);
    if (picture) context.drawImage(picture, left, top, width * scale, height * scale);
    else {
      context.fillStyle = look.colours.blank;
      context.fillRect(left, top, width * scale, height * scale);
    }
    this.screen.fill(NaN);
    if (!clip.keypoints || (!look.overlay && picture)) return;
    const first = clip.index(frame, 0, 0);
    for (let i = 0; i < this.screen.length / 4; i++) {
      this.screen[4 * i] = left + clip.keypoints[2 * (first + i)] * scale;
      this.screen[4 * i + 1] = top + clip.keypoints[2 * (first + i) + 1] * scale;
      this.screen[4 * i + 2] = 0;
      this.screen[4 * i + 3] = clip.scores ? 0.2 + 0.8 * clip.scores[first + i] : 1;
    }
    const line = Math.min(6, Math.max(2, (Math.hypot(width, height) * scale) / 300));
    const over = { ...look, colours: look.colours.overlay };
    for (let person = 0; person < clip.people.length; person++)
      if (!look.hiddenPeople.has(person)) this.drawPerson(context, person, line, over);
    this.drawMarks(context, look);
  }

  drawPerson(context, person, line, look) {
    const { clip, screen } = this;
    const at = (joint) => 4 * (person * clip.joints.length + joint);
    context.lineCap = "round";
    for (const [a, b, side] of clip.limbs) {
      const [p, q] = [at(a), at(b)];
      if (Number.isNaN(screen[p] + screen[q])) continue;
      context.globalAlpha = Math.min(screen[p + 3], screen[q + 3]);
      context.beginPath();
      context.moveTo(screen[p], screen[p + 1]);
      context.lineTo(screen[q], screen[q + 1]);
      context.lineWidth = line * 1.8;
      context.strokeStyle = "rgb(16 20 24 / 55%)";
      context.stroke();
      context.lineWidth = line;
      context.strokeStyle = ownColour(look, side, person);
      context.stroke();
    }
    let top = -1;
    for (let joint = 0; joint < clip.joints.length; joint++) {
      const p = at(joint);
      if (Number.isNaN(screen[p])) continue;
      if (top < 0 || screen[p + 1] < screen[top + 1]) top = p;
      context.globalAlpha = screen[p + 3];
      context.fillStyle = ownColour(look, clip.jointSides[joint], person);
      context.beginPath();
      context.arc(screen[p], screen[p + 1], line * 0.9, 0, 2 * Math.PI);
      context.fill();
      context.lineWidth = 1;
      context.strokeStyle = "rgb(16 20 24 / 70%)";
      context.stroke();
    }
    context.globalAlpha = 1;
    const own = look.colours.people[person % look.colours.people.length];
    if (clip.people.length > 1 && top >= 0)
      badge(context, screen[top], Math.max(14, screen[top + 1] - 20), String(clip.people[person]), own, "#101418");
  }

  drawMarks(context, { colours, hover, picked, hiddenPeople }) {
    const spot = (mark) => {
      const at = mark && !hiddenPeople.has(mark.person) ? 4 * (mark.person * this.clip.joints.length + mark.joint) : -1;
      return at >= 0 && !Number.isNaN(this.screen[at]) ? { x: this.screen[at], y: this.screen[at + 1] } : null;
    };
    rings(context, picked.map(spot), colours, "#101418");
    const under = spot(hover);
    if (under) circle(context, under.x, under.y, 8, "#fff");
  }

  pick(x, y, reach, hiddenPeople) {
    return nearest(this.screen, 4, this.clip, { x, y, reach, hiddenPeople, set: 0 });
  }
}
