/**
 * Finding everybody with a detector that sees only one or two large people in an image, as nearfar's detection/search.py
 * does: on overlapping square tiles, and whoever is found is looked at again on a crop. `rules` are that module's numbers.
 *
 * A person is { points, scores, box }: points flat, x and y in pixels; box [x0, y0, x1, y1].
 */

/** Everybody in an image, largest first. `look(x, y, side)` gives the people on a square; `tell(share)` the progress. */
export async function findPeople(look, [width, height], rules, tell) {
  const squares = [...tiles(width, height, rules)];
  const seen = [];
  for (const [i, square] of squares.entries()) {
    await tell(i / squares.length);
    seen.push(...look(...square));
  }
  const found = [];
  for (const person of distinct(seen, rules)) {
    await tell(1);
    const first = lookAgain(look, person, rules);
    const second = first && lookAgain(look, first, rules);
    if (second && similarity(first, second, rules) >= rules.agreement) found.push(second);
  }
  return distinct(found, rules).sort((a, b) => size(b) - size(a)).slice(0, rules.mostPeople);
}

/** Each person once, most confident first. */
export function distinct(people, rules) {
  const confidence = ({ scores }) => scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const kept = [];
  for (const person of people.toSorted((a, b) => confidence(b) - confidence(a)))
    if (!kept.some((other) => isDuplicate(person, other, rules))) kept.push(person);
  return kept;
}

function* tiles(width, height, { tileSides }) {
  const starts = (length, side) => {
    if (side >= length) return [Math.floor((length - side) / 2)];
    const count = Math.ceil((length - side) / (0.5 * side)) + 1;
    return Array.from({ length: count }, (_, i) => Math.round(((length - side) * i) / (count - 1)));
  };
  for (const share of tileSides) {
    const side = Math.max(Math.round(share * Math.max(width, height)), 1);
    for (const y of starts(height, side)) for (const x of starts(width, side)) yield [x, y, side];
  }
}

function lookAgain(look, person, rules) {
  const [x0, y0, x1, y1] = person.box;
  for (const margin of rules.cropMargins) {
    const side = Math.max(Math.round(margin * Math.max(x1 - x0, y1 - y0)), rules.smallestCrop);
    const people = look(Math.round((x0 + x1 - side) / 2), Math.round((y0 + y1 - side) / 2), side);
    const alike = people.map((other) => similarity(person, other, rules));
    const best = alike.indexOf(Math.max(...alike));
    if (alike[best] >= rules.samePerson) return people[best];
  }
  return null;
}

const size = ({ box }) => Math.sqrt(Math.max((box[2] - box[0]) * (box[3] - box[1]), 1));

/** How alike two poses are, 0 to 1: `nearfar.tracking.pose_similarity`. */
function similarity(first, second, { tolerance }) {
  const scale = tolerance * Math.min(size(first), size(second));
  let sum = 0;
  for (let i = 0; i < first.points.length; i += 2) {
    const squared = (first.points[i] - second.points[i]) ** 2 + (first.points[i + 1] - second.points[i + 1]) ** 2;
    sum += Math.exp(-squared / (2 * scale ** 2));
  }
  return sum / (first.points.length / 2);
}

function isDuplicate(first, second, rules) {
  const overlap = [0, 1].map((axis) => Math.max(0, Math.min(first.box[2 + axis], second.box[2 + axis]) - Math.max(first.box[axis], second.box[axis])));
  const shared = overlap[0] * overlap[1];
  const union = size(first) ** 2 + size(second) ** 2 - shared;
  return shared / union >= rules.samePlace || similarity(first, second, rules) >= rules.duplicate;
}
