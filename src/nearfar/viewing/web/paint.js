/** Small things that both panes draw. */

const LETTERS = "700 12px system-ui, sans-serif";

/** The colours that the style sheet gives the viewer around `root`, for `look.colours` of what is drawn. */
export function coloursOf(root) {
  const style = getComputedStyle(root);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  const numbered = (name, count) => Array.from({ length: count }, (_, i) => get(`${name}-${i + 1}`));
  const names = ["page", "line", "ink", "muted", "grid", "shadow", "edge", "left", "right", "blank", "trail", "mark-a", "mark-b"];
  const colours = Object.fromEntries(names.map((name) => [name, get(name)]));
  const overlay = { left: get("overlay-left"), right: get("overlay-right"), people: numbered("overlay-person", 6), shade: "#101418" };
  return { ...colours, others: numbered("other", 3), people: numbered("person", 6), shade: "#101418", overlay };
}

/** A cleared context in CSS pixels, with the canvas's width and height in them. */
export function begin(canvas) {
  const context = canvas.getContext("2d");
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = canvas.width / w;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, w, h);
  return [context, w, h];
}

/** A circle around a joint with its letter beside it, on the side `aside` (-1 or 1). */
function ring(context, x, y, letter, aside, colour, page) {
  circle(context, x, y, 8, page, 5);
  circle(context, x, y, 8, colour, 2.5);
  badge(context, x + 18 * aside, y - 13, letter, colour, page);
}

/** The two joints of the question; letters point away from each other, so that they do not cover each other. */
export function rings(context, [a, b], colours, page) {
  const side = a && b && a.x > b.x ? 1 : -1;
  if (a) ring(context, a.x, a.y, "A", a && b ? side : 1, colours["mark-a"], page);
  if (b) ring(context, b.x, b.y, "B", a && b ? -side : 1, colours["mark-b"], page);
}

export function circle(context, x, y, radius, colour, width = 2) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}

/** A letter or number on a pill. */
export function badge(context, x, y, text, colour, page) {
  context.font = LETTERS;
  const half = Math.max(0, context.measureText(text).width / 2 - 5);
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x - half - 10, y - 10, 2 * half + 20, 20, 10);
  context.fill();
  context.strokeStyle = page;
  context.lineWidth = 2;
  context.stroke();
  const [r, g, b] = channels(colour);
  context.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 110 ? "#101418" : "#ffffff";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 0.5);
}

const mixtures = new Map();

/** A colour with a share (in steps of 1/16) of another in it; both as #rrggbb. */
export function mixed(colour, other, share) {
  const step = Math.round(16 * share);
  if (!step) return colour;
  const name = colour + other + step;
  if (!mixtures.has(name)) {
    const [a, b] = [channels(colour), channels(other)];
    const hex = a.map((v, i) => Math.round(v + ((b[i] - v) * step) / 16).toString(16).padStart(2, "0"));
    mixtures.set(name, `#${hex.join("")}`);
  }
  return mixtures.get(name);
}

function channels(colour) {
  return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
}
