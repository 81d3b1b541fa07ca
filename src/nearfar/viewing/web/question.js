/** Our question: which of two joints is nearer to the camera, by how much, and how sure is that? */

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const hint = (text) => [{ text, kind: "hint" }];

/** What the poses say about the two joints that are picked, as pieces of text {text, kind}. */
export function answer(clip, frame, [a, b]) {
  if (!a && !b) return hint("Click two joints, or choose them here.");
  if (!a || !b) return hint(`Now a second joint, to compare with the ${clip.spoken(a ?? b)}.`);
  if (a.person === b.person && a.joint === b.joint) return hint("Choose two different joints.");
  if (a.person !== b.person && !clip.placed) return hint("How far people stand from each other is unknown in these poses.");
  const first = clip.compare(0, frame, a, b);
  if (!first) return hint("One of them is missing in this frame.");
  const alone = a.person === b.person;
  const called = (mark) => (alone ? clip.joints[mark.joint] : clip.spoken(mark));
  const whose = alone && clip.people.length > 1 ? [{ text: `${capital(clip.personName(a.person))}:` }] : [];
  const parts = [...whose];
  if (first.mm === 0) parts.push({ text: "Both are equally far.", kind: "strong" });
  else {
    const words = `${called(first.nearer)} is nearer`;
    parts.push({ text: whose.length ? words : capital(words), kind: "strong" });
    parts.push({ text: `to the camera than ${called(first.farther)}, by ${first.mm} mm.` });
  }
  parts.push(...certainty(clip, first, alone));
  const others = clip.sets.slice(1).map(({ name }, i) => {
    const theirs = clip.compare(i + 1, frame, a, b);
    return theirs && `${name}: ${theirs.mm ? `${called(theirs.nearer)} by ${theirs.mm} mm${percent(theirs)}` : "equally far"}`;
  });
  if (others.some(Boolean)) parts.push({ text: `(${others.filter(Boolean).join("; ")})`, kind: "others" });
  return parts;
}

const share = ({ certainty: right }) => (right >= 0.995 ? "over 99" : String(Math.round(100 * right)));
const percent = (order) => (order.certainty ? `, ${share(order)} %` : "");

/** How often such an answer is right, or why that is not known. */
function certainty(clip, order, alone) {
  const note = clip.certaintyNote;
  if (order.certainty) return [{ text: `Right in ${share(order)} % of such cases.`, kind: "certainty", title: note }];
  if (!alone && clip.sets[0].certainty.length) return [{ text: "Between people no certainty is known.", kind: "others", title: note }];
  return [{ text: "No certainty is known for these poses.", kind: "others", title: note }];
}
