/** Under the slider: where each person is seen, and how far a comparison is from the first poses. */

const LANE = 4;
const CURVE = 30;

/** Height in CSS pixels that the clip's lanes need; 0 where there is nothing to tell. */
export function lanesHeight(clip) {
  const lanes = clip.present.every(Boolean) ? 0 : LANE * Math.min(6, clip.people.length) + 2;
  return lanes + (clip.sets.length > 1 ? CURVE : 0);
}

/** Draws once for a size and a look, not for every frame. */
export function drawLanes(canvas, clip, { colours, hiddenSets }) {
  const context = canvas.getContext("2d");
  const ratio = canvas.width / canvas.clientWidth;
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, w, h);
  if (!clip.present.every(Boolean)) drawPresence(context, w, clip, colours);
  if (clip.sets.length > 1) drawDifferences(context, w, h, clip, colours, hiddenSets);
}

function drawPresence(context, w, clip, colours) {
  const several = clip.people.length > 1;
  for (let person = 0; person < Math.min(6, clip.people.length); person++) {
    context.fillStyle = several ? colours.people[person % colours.people.length] : colours.muted;
    let start = 0;
    for (let f = 1; f <= clip.frames; f++) {
      if (f < clip.frames && clip.isPresent(f, person) === clip.isPresent(start, person)) continue;
      if (clip.isPresent(start, person)) context.fillRect((start / clip.frames) * w, person * LANE + 1, ((f - start) / clip.frames) * w, LANE - 1);
      start = f;
    }
  }
}

/** One curve a set: the greatest difference of the frames that fall on a pixel. */
function drawDifferences(context, w, h, clip, colours, hiddenSets) {
  const sets = clip.sets.map((_, set) => set).slice(1).filter((set) => !hiddenSets.has(set));
  const highest = greatestDifference(clip);
  for (const set of sets) {
    const mm = clip.differences(set);
    const path = new Path2D();
    const columns = Math.max(1, Math.floor(w));
    for (let x = 0; x < columns; x++) {
      const [from, to] = [x, x + 1].map((edge) => Math.floor((edge / columns) * clip.frames));
      let most = NaN;
      for (let f = from; f < Math.max(to, from + 1); f++) if (!(mm[f] <= most) && mm[f] === mm[f]) most = mm[f];
      if (most === most) path.rect((x / columns) * w, h - Math.max(1, (most / highest) * (CURVE - 6)), w / columns + 0.2, CURVE);
    }
    context.fillStyle = colours.others[(set - 1) % colours.others.length];
    context.globalAlpha = sets.length > 1 ? 0.5 : 0.75;
    context.fill(path);
  }
  context.globalAlpha = 1;
}

/** The greatest mean difference of any frame and set, mm. */
export function greatestDifference(clip) {
  let most = 1;
  for (let set = 1; set < clip.sets.length; set++) for (const mm of clip.differences(set)) if (mm > most) most = mm;
  return most;
}
