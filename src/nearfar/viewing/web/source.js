/** The frame that the poses were found in, with the 2D skeletons over it. */
import { badge, ring } from "./scene.js";

/** Draws one frame of the clip, contained in its canvas. */
export class Source {
  constructor(canvas, clip) {
    this.canvas = canvas;
    this.clip = clip;
    this.spots = [];
  }

  /** Draw `picture` (a video or image element, or null) and the keypoints of a frame. */
  draw(frame, picture, { colours, overlay, hover, picked }) {
    const { canvas, clip } = this;
    const context = canvas.getContext("2d");
    const ratio = canvas.width / canvas.clientWidth;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    const [width, height] = clip.size;
    const scale = Math.min(w / width, h / height);
    const [left, top] = [(w - width * scale) / 2, (h - height * scale) / 2];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, w, h);
    if (picture) context.drawImage(picture, left, top, width * scale, height * scale);
    else {
      context.fillStyle = colours.blank;
      context.fillRect(left, top, width * scale, height * scale);
    }
    this.spots = [];
    if (!overlay && picture) return;
    const line = Math.max(2, Math.hypot(width, height) * scale / 300);
    for (let person = 0; person < clip.people.length; person++) {
      const points = clip.joints.map((_, j) => {
        const k = clip.keypoint(frame, person, j);
        return k && { x: left + k[0] * scale, y: top + k[1] * scale, alpha: 0.2 + 0.8 * k[2] };
      });
      this.drawPerson(context, points, person, line, colours);
    }
    for (const [i, mark] of picked.entries()) {
      const spot = mark && this.spots.find((s) => s.person === mark.person && s.joint === mark.joint);
      if (spot) ring(context, spot.x, spot.y, "AB"[i], [colours["mark-a"], colours["mark-b"]][i], "#101418");
    }
    const under = hover && this.spots.find((s) => s.person === hover.person && s.joint === hover.joint);
    if (under) {
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.beginPath();
      context.arc(under.x, under.y, 8, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  drawPerson(context, points, person, line, colours) {
    const { clip } = this;
    const centre = colours.overlayPeople[person % colours.overlayPeople.length];
    const colour = (side) => (side === "centre" ? centre : colours[`overlay-${side}`]);
    context.lineCap = "round";
    for (const [a, b, side] of clip.limbs) {
      if (!points[a] || !points[b]) continue;
      context.globalAlpha = Math.min(points[a].alpha, points[b].alpha);
      for (const [width, style] of [[line * 1.8, "rgb(16 20 24 / 55%)"], [line, colour(side)]]) {
        context.lineWidth = width;
        context.strokeStyle = style;
        context.beginPath();
        context.moveTo(points[a].x, points[a].y);
        context.lineTo(points[b].x, points[b].y);
        context.stroke();
      }
    }
    points.forEach((point, joint) => {
      if (!point) return;
      this.spots.push({ person, joint, x: point.x, y: point.y, depth: 0 });
      context.globalAlpha = point.alpha;
      context.fillStyle = colour(clip.jointSides[joint]);
      context.strokeStyle = "rgb(16 20 24 / 70%)";
      context.lineWidth = 1;
      context.beginPath();
      context.arc(point.x, point.y, line * 0.9, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    });
    context.globalAlpha = 1;
    const seen = points.filter(Boolean);
    if (clip.people.length > 1 && seen.length) {
      const top = seen.reduce((a, b) => (b.y < a.y ? b : a));
      badge(context, top.x, Math.max(14, top.y - 20), String(person + 1), centre, "#101418");
    }
  }
}
