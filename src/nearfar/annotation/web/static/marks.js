// Two joints marked in a picture: a ring with a point in its middle, A round and B a diamond, the letter beside it.
// Nothing hides a joint, and the two marks never lie on each other: close joints get thin rings, then lines only.

const RING = 12;
const SMALLEST_RING = 5;
const LINE = 9; // what two outlines need between them
const SHARE = { a: 1, b: 1.18 }; // a diamond looks smaller than a circle
const PLATE = { a: 14, b: 18 }; // from the middle of a letter's plate to its edge (circle) or corner (diamond)
const DIRECTIONS = 24;
const NAMESPACE = "http://www.w3.org/2000/svg";

const distance = (first, second) => Math.hypot(first.x - second.x, first.y - second.y);

/** Radius of both rings; 0 where the joints are so close that rings would lie on each other. */
export function ringRadius(a, b) {
  const radius = Math.min(RING, (distance(a, b) - LINE) / 2);
  return radius < SMALLEST_RING ? 0 : radius;
}

const inside = (point, size, margin = 0) =>
  point.x >= margin && point.y >= margin && point.x <= size.width - margin && point.y <= size.height - margin;

/**
 * Where the letters go.
 *
 * @param {{x: number, y: number}} a joint A in the frame
 * @param {{x: number, y: number}} b joint B
 * @param {{width: number, height: number}} size of the frame
 * @returns {{radius: number, a: object, b: object}} radius of the rings and, for each joint in the frame, the middle of
 *   its letter (`x`, `y`) and whether a line leads there (`leader`). Of a joint outside of the frame, the letter stands
 *   at the edge where it would come in (`outside`).
 */
export function layout(a, b, size) {
  const radius = ringRadius(a, b);
  const places = (joint, other, letter) =>
    inside(joint, size) ? around(joint, other, letter, radius, size) : [atEdge(joint, PLATE[letter], size)];
  let best = null;
  for (const first of places(a, b, "a")) {
    for (const second of places(b, a, "b")) {
      const cost = first.cost + second.cost + overlap(first, second);
      if (!best || cost < best.cost) best = { cost, a: first, b: second };
    }
  }
  return { radius, a: best.a, b: best.b };
}

function atEdge(joint, reach, size) {
  const between = (value, room) => Math.max(reach, Math.min(room - reach, value));
  return { x: between(joint.x, size.width), y: between(joint.y, size.height), leader: false, outside: true, cost: 0 };
}

function overlap(first, second) {
  const room = PLATE.a + PLATE.b + 4;
  return distance(first, second) < room ? 1000 + room - distance(first, second) : 0;
}

// Candidates for the letter of `joint`: best is straight away from the other joint, beside the ring, in the frame.
function around(joint, other, letter, radius, size) {
  const near = distance(joint, other);
  const away = near < 1 ? (letter === "a" ? Math.PI : 0) : Math.atan2(joint.y - other.y, joint.x - other.x);
  const places = [];
  const beside = radius * SHARE[letter] + PLATE[letter] + 7;
  for (const reach of [beside, beside + 19, beside + 44]) {
    for (let i = 0; i < DIRECTIONS; i += 1) {
      const turn = (2 * Math.PI * i) / DIRECTIONS;
      const x = joint.x + reach * Math.cos(away + turn);
      const y = joint.y + reach * Math.sin(away + turn);
      const leader = reach > beside || radius === 0;
      let cost = 3 * (1 - Math.cos(turn)) + (leader ? 2 : 0) + (reach > beside + 20 ? 20 : 0);
      if (radius === 0 && reach === beside) cost += 20; // close joints: leave room to see them
      if (!inside({ x, y }, size, PLATE[letter] + 2)) cost += 500;
      if (distance({ x, y }, other) < radius + PLATE[letter] + 7) cost += 1000;
      places.push({ x, y, leader, outside: false, cost });
    }
  }
  return places;
}

function add(parent, name, attributes, text) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

const shape = (letter, { x, y }, radius) =>
  letter === "a"
    ? ["circle", { cx: x, cy: y, r: radius }]
    : ["path", { d: `M${x} ${y - radius}L${x + radius} ${y}L${x} ${y + radius}L${x - radius} ${y}Z` }];

/** Draw both marks into an SVG element of the frame's size. */
export function draw(svg, a, b, size, names = { a: "A", b: "B" }) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  const placed = layout(a, b, size);
  for (const [letter, joint] of [["a", a], ["b", b]]) {
    const plate = placed[letter];
    const group = add(svg, "g", { class: `of-${letter}${plate.outside ? " outside" : ""}` });
    const ring = placed.radius * SHARE[letter];
    if (plate.leader) lines(group, joint, plate, ring);
    if (ring && !plate.outside) for (const style of ["halo", "rim", "line"]) add(group, ...classed(shape(letter, joint, ring), style));
    if (!plate.outside) add(group, "circle", { class: "dot", cx: joint.x, cy: joint.y, r: 2.6 });
    add(group, ...classed(shape(letter, plate, PLATE[letter]), "plate"));
    add(group, "text", { x: plate.x, y: plate.y }, names[letter]);
  }
}

const classed = ([name, attributes], style) => [name, { ...attributes, class: style }];

function lines(group, joint, plate, radius) {
  const length = distance(joint, plate);
  const start = radius ? radius + 2 : 4;
  const from = { x: joint.x + ((plate.x - joint.x) * start) / length, y: joint.y + ((plate.y - joint.y) * start) / length };
  for (const style of ["halo", "rim", "line"]) add(group, "path", { class: style, d: `M${from.x} ${from.y}L${plate.x} ${plate.y}` });
}
