/** What a viewer offers depends on its clip: facts, legend and lists. */

export function fillFacts(viewer) {
  const { clip, scene } = viewer;
  const some = (n, what, whats) => `${n} ${n === 1 ? what : whats}`;
  const facts = [some(clip.people.length, "person", "people")];
  if (clip.frames > 1) facts.push(`${clip.frames} frames`, `${(clip.time[clip.frames - 1] - clip.time[0]).toFixed(1)} s`);
  facts.push(`${clip.joints.length} joints (${clip.skeleton})`);
  viewer.$("facts").textContent = facts.join(" · ");
  const certain = clip.camera && clip.sets[0]?.certainty.length ? [clip.certaintyNote] : [];
  for (const note of [facts.join(", "), ...clip.notes, ...certain])
    viewer.$("notes").append(Object.assign(document.createElement("li"), { textContent: note }));
  viewer.$("tilt").hidden = !(scene && clip.camera);
  viewer.$("tilt").title = clip.notes[0] ?? "";
}

/** What the view can follow; nothing to choose for one person who stays in place. */
export function fillFollow(viewer) {
  const { clip, scene, several } = viewer;
  if (!scene || !(several || scene.travels)) return;
  const select = viewer.$("follow");
  select.append(new Option(several ? "Follow all" : "Follow", "all"));
  if (several) clip.people.forEach((_, person) => select.append(new Option(`Follow ${clip.personName(person)}`, person)));
  select.append(new Option("Stand still", "none"));
  select.value = scene.follow;
  select.hidden = false;
}

export function fillLegend(viewer) {
  const { clip, look } = viewer;
  for (const side of ["left", "right"]) {
    const li = legendItem(viewer, side, side);
    li.title = "The person's own left and right";
    li.className = "side";
  }
  if (viewer.several)
    clip.people.forEach((id, person) =>
      legendItem(viewer, String(id), `person-${(person % 6) + 1}`, {
        hidden: look.hiddenPeople, number: person, spoken: `Show ${clip.personName(person)}`,
      }),
    );
  if (viewer.compares)
    clip.sets.forEach(({ name }, set) =>
      legendItem(viewer, name, set ? `other-${((set - 1) % 3) + 1}` : "person-1", { hidden: look.hiddenSets, number: set }),
    );
}

/** One entry of the legend; with `hidden`, a set, a box that shows and hides `number`. */
function legendItem(viewer, text, colour, { hidden = null, number = 0, spoken = "" } = {}) {
  const [li, swatch] = [document.createElement("li"), document.createElement("i")];
  swatch.style.setProperty("--swatch", `var(--${colour})`);
  const label = document.createElement(hidden ? "label" : "span");
  label.append(swatch, Object.assign(document.createElement("b"), { textContent: text, title: text }));
  li.append(label);
  viewer.$("legend").append(li);
  if (!hidden) return li;
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
  if (spoken) box.setAttribute("aria-label", spoken);
  box.addEventListener("change", () => {
    hidden[box.checked ? "delete" : "add"](number);
    viewer.drawTimeline();
    viewer.redraw();
  });
  label.prepend(box);
  return li;
}

export function fillJoints(viewer) {
  const { clip, several } = viewer;
  const selects = ["joint-a", "joint-b"].map((id) => viewer.$(id));
  for (const select of selects) {
    select.append(new Option("choose a joint", ""));
    clip.people.forEach((_, person) => {
      const group = several ? Object.assign(document.createElement("optgroup"), { label: `Person ${clip.people[person]}` }) : select;
      clip.joints.forEach((name, joint) => group.append(new Option(name, `${person}:${joint}`)));
      if (group !== select) select.append(group);
    });
    select.addEventListener("change", () =>
      viewer.setPicked(selects.map(({ value }) => {
        const [person, joint] = value.split(":").map(Number);
        return value ? { person, joint } : null;
      })),
    );
  }
}
