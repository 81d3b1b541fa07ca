import { Clip } from "./data.js";
import { Scene, pick } from "./scene.js";
import { Source } from "./source.js";
import { Player } from "./player.js";

/** The page: puts the panes, the time bar and the question together. */

const $ = (id) => document.getElementById(id);
const clip = new Clip(JSON.parse($("data").textContent));
const hasScene = clip.sets.length > 0;
const hasSource = Boolean(clip.size && (clip.keypoints || clip.media));
const moves = clip.frames > 1;
const look = { colours: null, overlay: true, hidden: new Set(), hover: null, picked: [null, null] };
const scene = hasScene ? new Scene($("scene"), clip) : null;
const source = hasSource ? new Source($("source"), clip) : null;

const preference = matchMedia("(prefers-color-scheme: dark)");

let picture = null;
let queued = false;

const video = clip.media?.kind === "video" ? $("video") : null;
const player = new Player(clip, video, { show: redraw, state: showPlaying });

/** Draw everything at the next opportunity; once, however often it is asked for. */
function redraw() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    const { frame } = player;
    scene?.draw(frame, look);
    if (!video?.seeking) source?.draw(frame, picture, look);
    showTime(frame);
    showAnswer(frame);
    $("nobody").hidden = clip.people.some((_, p) => clip.present(frame, p));
    document.body.dataset.frame = frame;
  });
}

/** Dark or light, as asked for or as the system prefers; the colours themselves are in the style sheet. */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  const several = (name, count) => Array.from({ length: count }, (_, i) => get(`${name}-${i + 1}`));
  const names = ["page", "ink", "muted", "grid", "shadow", "edge", "left", "right", "blank", "trail", "mark-a", "mark-b"];
  look.colours = Object.fromEntries([...names, "overlay-left", "overlay-right"].map((name) => [name, get(name)]));
  Object.assign(look.colours, { others: several("other", 3), people: several("person", 4), overlayPeople: several("overlay-person", 4) });
  drawPresence();
  redraw();
}

function fitCanvases() {
  if (hasSource && hasScene) {
    const [width, height] = clip.size;
    const share = ((window.innerWidth * height) / width / Math.max(1, $("main").clientHeight)) * 100;
    $("main").style.setProperty("--source-share", width > 1.2 * height ? "1.3fr" : "1fr");
    $("main").style.setProperty("--source-height", `${Math.round(Math.min(44, Math.max(22, share)))}%`);
  }
  for (const canvas of [$("scene"), $("source"), $("presence")]) {
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  }
  drawPresence();
  redraw();
}

/** Under the slider: where somebody is seen. Only drawn where somebody is missing somewhere. */
function drawPresence() {
  const canvas = $("presence");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const seen = clip.time.map((_, f) => clip.people.some((_, p) => clip.present(f, p)));
  if (seen.every(Boolean)) return;
  context.fillStyle = look.colours.muted;
  const width = canvas.width / clip.frames;
  seen.forEach((there, f) => there && context.fillRect(f * width, 0, width + 0.5, canvas.height));
}

// --- time ------------------------------------------------------------------------------------------------------------

function showTime(frame) {
  $("slider").value = frame;
  const seconds = clip.time[frame] - clip.time[0];
  const text = `${seconds.toFixed(2)} s · frame ${clip.frameIndex[frame]}/${clip.frameIndex[clip.frames - 1]}`;
  $("clock").textContent = text;
  $("slider").setAttribute("aria-valuetext", text);
}

function showPlaying(playing) {
  $("play").classList.toggle("playing", playing);
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

function step(by) {
  player.pause();
  player.seek(player.frame + by);
}

// --- the question ----------------------------------------------------------------------------------------------------

function setPicked(picked) {
  look.picked = picked;
  [$("joint-a"), $("joint-b")].forEach((select, i) => (select.value = picked[i] ? `${picked[i].person}:${picked[i].joint}` : ""));
  $("clear").hidden = !picked.some(Boolean);
  redraw();
}

function choose(spot) {
  const mark = { person: spot.person, joint: spot.joint };
  const [a, b] = look.picked;
  if (!a || b) setPicked([mark, null]);
  else if (a.person === mark.person && a.joint === mark.joint) setPicked([null, null]);
  else setPicked([a, mark]);
}

function showAnswer(frame) {
  const text = answer(frame);
  if ($("answer").innerText.trim() !== text.map((part) => part.text).join(" ").trim()) {
    $("answer").replaceChildren(
      ...text.flatMap(({ text: words, kind }) => {
        const part = document.createElement(kind === "strong" ? "strong" : "span");
        if (kind && kind !== "strong") part.className = kind;
        part.textContent = words;
        return [part, " "];
      }),
    );
  }
}

/** What the poses say about the two joints, as pieces of text. */
function answer(frame) {
  const [a, b] = look.picked;
  if (!a && !b) return [{ text: "Click two joints, or choose them here.", kind: "hint" }];
  if (!a || !b) return [{ text: `Now a second joint, to compare with the ${clip.spoken(a ?? b)}.`, kind: "hint" }];
  if (a.person === b.person && a.joint === b.joint) return [{ text: "Choose two different joints.", kind: "hint" }];
  if (a.person !== b.person && !clip.placed) return [{ text: "How far people stand from each other is unknown in these poses.", kind: "hint" }];
  const first = clip.compare(0, frame, a, b);
  if (!first) return [{ text: "One of them is missing in this frame.", kind: "hint" }];
  const alone = a.person === b.person;
  const called = (mark) => (alone ? clip.joints[mark.joint] : clip.spoken(mark));
  const whose = alone && clip.people.length > 1 ? [{ text: `Person ${a.person + 1}:` }] : [];
  const words = `${called(first.nearer)} is nearer`;
  const parts = [...whose, { text: whose.length ? words : capital(words), kind: "strong" }];
  if (first.mm === 0) parts[whose.length] = { text: "Both are equally far.", kind: "strong" };
  else parts.push({ text: `to the camera than ${called(first.farther)}, by ${first.mm} mm.` });
  const others = clip.sets.slice(1).map(({ name }, i) => {
    const theirs = clip.compare(i + 1, frame, a, b);
    return theirs && `${name}: ${theirs.mm ? `${called(theirs.nearer)} by ${theirs.mm} mm` : "equally far"}`;
  });
  if (others.some(Boolean)) parts.push({ text: `(${others.filter(Boolean).join("; ")})`, kind: "others" });
  return parts;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

function fillJoints() {
  for (const select of [$("joint-a"), $("joint-b")]) {
    select.append(new Option("choose a joint", ""));
    clip.people.forEach((_, person) => {
      const group = clip.people.length > 1 ? Object.assign(document.createElement("optgroup"), { label: `Person ${person + 1}` }) : select;
      clip.joints.forEach((name, joint) => group.append(new Option(name, `${person}:${joint}`)));
      if (group !== select) select.append(group);
    });
    select.addEventListener("change", () =>
      setPicked([$("joint-a"), $("joint-b")].map(({ value }) => {
        const [person, joint] = value.split(":").map(Number);
        return value ? { person, joint } : null;
      })),
    );
  }
}

// --- pointer and keyboard --------------------------------------------------------------------------------------------

/** Hovering and clicking joints on a pane; returns its spot under a pointer event, or null. */
function watchJoints(canvas, view, blocked = () => false) {
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    return pick(view.spots, event.clientX - box.left, event.clientY - box.top, event.pointerType === "touch" ? 24 : 14);
  };
  let down = null;
  canvas.addEventListener("pointerdown", (event) => (down = [event.clientX, event.clientY]));
  canvas.addEventListener("pointerup", (event) => {
    const still = down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 5 && !blocked();
    const spot = still && under(event);
    if (spot) choose(spot);
    showTip(canvas, event.pointerType === "touch" ? null : under(event));
    down = null;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons) showTip(canvas, under(event));
  });
  canvas.addEventListener("pointerleave", () => showTip(canvas, null));
}

function showTip(canvas, spot) {
  const tip = $("tip");
  canvas.classList.toggle("over-joint", Boolean(spot));
  tip.hidden = !spot;
  if (spot) {
    canvas.parentElement.append(tip);
    tip.textContent = clip.spoken(spot);
    const half = tip.offsetWidth / 2 + 6;
    tip.style.left = `${Math.min(canvas.clientWidth - half, Math.max(half, spot.x))}px`;
    tip.style.top = `${Math.max(44, spot.y)}px`;
  }
  if (spot?.person !== look.hover?.person || spot?.joint !== look.hover?.joint) {
    look.hover = spot;
    redraw();
  }
}

function watchOrbit() {
  const canvas = $("scene");
  const fingers = new Map();
  let pinched = false;
  const apart = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  };
  watchJoints(canvas, scene, () => pinched);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    pinched = fingers.size > 1;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const span = fingers.size === 2 ? apart() : 0;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (span) scene.orbit.magnify(apart() / span);
    else if (fingers.size === 1) scene.orbit.turn((event.clientX - before[0]) / 160, (event.clientY - before[1]) / 160);
    turned();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    scene.orbit.magnify(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
    turned();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => setView("home"));
}

function turned(view = null) {
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  redraw();
}

function setView(view) {
  scene?.orbit.set(view);
  turned(view === "home" ? null : view);
}

const TURNS = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] };
const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  Home: () => step(-clip.frames),
  End: () => step(clip.frames),
  1: () => setView("front"),
  2: () => setView("side"),
  3: () => setView("top"),
  0: () => setView("home"),
  "+": () => (scene?.orbit.magnify(1.15), turned()),
  "=": () => (scene?.orbit.magnify(1.15), turned()),
  "-": () => (scene?.orbit.magnify(1 / 1.15), turned()),
  Escape: () => setPicked([null, null]),
  "?": () => $("help").showModal(),
};

function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || target.tagName === "SELECT") return;
  if (key === " " && target.matches("button, input[type=checkbox]")) return;
  if (event.shiftKey && TURNS[key] && scene) {
    scene.orbit.turn(...TURNS[key]);
    turned();
  } else if (KEYS[key]) KEYS[key]();
  else return;
  event.preventDefault();
}

// --- setting up ------------------------------------------------------------------------------------------------------

function showFacts() {
  const some = (n, what, whats) => `${n} ${n === 1 ? what : whats}`;
  const facts = [some(clip.people.length, "person", "people")];
  if (moves) facts.push(`${clip.frames} frames`, `${(clip.time[clip.frames - 1] - clip.time[0]).toFixed(1)} s`);
  facts.push(`${clip.joints.length} joints (${clip.skeleton})`);
  $("facts").textContent = facts.join(" · ");
  for (const note of clip.notes) $("notes").append(Object.assign(document.createElement("li"), { textContent: note }));
  $("tilt").hidden = !(hasScene && clip.camera);
  $("tilt").title = clip.notes[0] ?? "";
  $("no-media").hidden = Boolean(clip.media);
}

/** What the view can follow; nothing to choose for one person who stays in place. */
function fillFollow() {
  const several = clip.people.length > 1;
  if (!scene || !(several || scene.travels)) return;
  $("follow").append(new Option(several ? "Follow all" : "Follow", "all"));
  if (several) clip.people.forEach((_, person) => $("follow").append(new Option(`Follow person ${person + 1}`, person)));
  $("follow").append(new Option("Stand still", "none"));
  $("follow").value = scene.follow;
  $("follow").hidden = false;
}

function fillLegend() {
  const item = (text, colour, child = "span") => {
    const [li, swatch] = [document.createElement("li"), document.createElement("i")];
    swatch.style.setProperty("--swatch", `var(--${colour})`);
    const label = document.createElement(child);
    label.append(swatch, text);
    li.append(label);
    $("legend").append(li);
    return label;
  };
  item("left", "left").parentElement.title = item("right", "right").parentElement.title = "The person's own left and right";
  if (clip.sets.length < 2) return;
  clip.sets.forEach(({ name }, i) => {
    const label = item(name, i === 0 ? "person-1" : `other-${((i - 1) % 3) + 1}`, "label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      look.hidden[box.checked ? "delete" : "add"](i);
      redraw();
    });
    label.prepend(box);
  });
}

function loadMedia() {
  if (!clip.media) return;
  const text = atob($("media").textContent);
  const blob = new Blob([Uint8Array.from(text, (c) => c.charCodeAt(0))], { type: clip.media.mime });
  const url = URL.createObjectURL(blob);
  if (video) {
    const ready = () => {
      picture = video;
      redraw();
    };
    video.addEventListener("loadeddata", () => {
      ready();
      player.seek(player.frame);
    });
    video.addEventListener("error", () => {
      $("media-error").hidden = false;
      player.video = null;
    });
    video.src = url;
  } else {
    const image = new Image();
    image.addEventListener("load", () => ((picture = image), redraw()));
    image.src = url;
  }
}

function listen() {
  $("slider").max = clip.frames - 1;
  $("slider").addEventListener("input", (event) => player.seek(Number(event.target.value)));
  $("play").addEventListener("click", () => player.toggle());
  $("back").addEventListener("click", () => step(-1));
  $("forward").addEventListener("click", () => step(1));
  $("speed").addEventListener("change", (event) => player.setSpeed(Number(event.target.value)));
  $("overlay").addEventListener("change", (event) => ((look.overlay = event.target.checked), redraw()));
  $("follow").addEventListener("change", (event) => ((scene.follow = event.target.value), redraw()));
  $("clear").addEventListener("click", () => setPicked([null, null]));
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => setView(button.dataset.view));
  addEventListener("keydown", onKey);
  preference.addEventListener("change", () => setTheme(preference.matches ? "dark" : "light"));
  new ResizeObserver(fitCanvases).observe($("main"));
}

$("source-pane").hidden = !hasSource;
$("scene-pane").hidden = !hasScene;
$("main").classList.toggle("no-source", !hasSource);
$("main").classList.toggle("no-scene", !hasScene);
$("main").classList.toggle("no-media", !clip.media);
$("time").hidden = !moves;
$("question").hidden = !(hasScene && clip.camera);
$("overlay-switch").hidden = !(clip.media && clip.keypoints);
showFacts();
fillLegend();
fillFollow();
fillJoints();
listen();
if (scene) watchOrbit();
if (source) watchJoints($("source"), source);
loadMedia();
setTheme(preference.matches ? "dark" : "light");
fitCanvases();
