import { Clip, bytes } from "./data.js";
import { Scene } from "./scene.js";
import { Source } from "./source.js";
import { Player } from "./player.js";
import { drawLanes, greatestDifference, lanesHeight } from "./timeline.js";
import { answer } from "./question.js";
import { watchGestures, watchJoints } from "./pointer.js";

/** The page: puts the panes, the time bar and the question together. */

const $ = (id) => document.getElementById(id);
const clip = await Clip.read(JSON.parse($("data").textContent));
const hasScene = clip.sets.length > 0;
const hasSource = Boolean(clip.size && (clip.keypoints || clip.media));
const moves = clip.frames > 1;
const several = clip.people.length > 1;
const compares = clip.sets.length > 1;
const look = {
  colours: null, overlay: true, colouring: "sides", layout: "over",
  hiddenSets: new Set(), hiddenPeople: new Set(), hover: null, picked: [null, null],
};
const scene = hasScene ? new Scene($("scene"), clip) : null;
const source = hasSource ? new Source($("source"), clip) : null;
const preference = matchMedia("(prefers-color-scheme: dark)");

/** Milliseconds between changes of text while it plays: faster cannot be read, and text costs layout. */
const TEXT_EVERY = 120;

let picture = null;
let queued = false;
let written = 0;

const video = clip.media?.kind === "video" ? $("video") : null;
const player = new Player(clip, video, { show: redraw, state: showPlaying });

/** Draw everything at the next opportunity; once, however often it is asked for. */
function redraw() {
  if (queued || !look.colours) return;
  queued = true;
  requestAnimationFrame((now) => {
    queued = false;
    const { frame } = player;
    scene?.draw(frame, look);
    if (!video?.seeking) source?.draw(frame, picture, look);
    document.body.dataset.frame = frame;
    if (player.playing && now - written < TEXT_EVERY) return;
    written = now;
    showTime(frame);
    showAnswer(frame);
    $("nobody").hidden = clip.people.some((_, person) => clip.isPresent(frame, person));
  });
}

/** Dark or light, as asked for or as the system prefers; the colours themselves are in the style sheet. */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  const numbered = (name, count) => Array.from({ length: count }, (_, i) => get(`${name}-${i + 1}`));
  const names = ["page", "line", "ink", "muted", "grid", "shadow", "edge", "left", "right", "blank", "trail", "mark-a", "mark-b"];
  const colours = Object.fromEntries(names.map((name) => [name, get(name)]));
  const overlay = { left: get("overlay-left"), right: get("overlay-right"), people: numbered("overlay-person", 6), shade: "#101418" };
  look.colours = { ...colours, others: numbered("other", 3), people: numbered("person", 6), shade: "#101418", overlay };
  fitCanvases();
}

function fitCanvases() {
  if (hasSource && hasScene) {
    const [width, height] = clip.size;
    const share = ((window.innerWidth * height) / width / Math.max(1, $("main").clientHeight)) * 100;
    $("main").style.setProperty("--source-share", width > 1.2 * height ? "1.3fr" : "1fr");
    $("main").style.setProperty("--source-height", `${Math.round(Math.min(44, Math.max(22, share)))}%`);
  }
  for (const canvas of [$("scene"), $("source"), $("lanes")]) {
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  }
  drawLanes($("lanes"), clip, look);
  redraw();
}

// --- time ------------------------------------------------------------------------------------------------------------

function showTime(frame) {
  $("slider").value = frame;
  const seconds = clip.time[frame] - clip.time[0];
  const minutes = Math.floor(seconds / 60);
  const clock = minutes ? `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}` : `${seconds.toFixed(2)} s`;
  const text = `${clock} · frame ${clip.frameIndex[frame]}/${clip.frameIndex[clip.frames - 1]}`;
  $("clock").textContent = text;
  if (!player.playing) $("slider").setAttribute("aria-valuetext", text);
  if (compares) $("difference").textContent = differenceAt(frame);
}

/** "truth 23 mm away", for every comparison. */
function differenceAt(frame) {
  const told = clip.sets.slice(1).map(({ name }, i) => {
    const mm = clip.differences(i + 1)[frame];
    return `${name} ${mm === mm ? `${mm.toFixed(0)} mm away` : "missing"}`;
  });
  return told.join(", ");
}

function showPlaying(playing) {
  $("play").classList.toggle("playing", playing);
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  $("answer").setAttribute("aria-live", playing ? "off" : "polite"); // nobody wants ten answers a second read out
  redraw();
}

function step(by) {
  player.pause();
  player.seek(player.frame + by);
}

/** Go on or back by seconds. */
function leap(seconds) {
  player.seek(clip.frameAt(clip.time[player.frame] - clip.time[0] + seconds));
}

function changeSpeed(by) {
  const select = $("speed");
  select.selectedIndex = Math.min(select.options.length - 1, Math.max(0, select.selectedIndex + by));
  player.setSpeed(Number(select.value));
}

// --- the question ----------------------------------------------------------------------------------------------------

function setPicked(picked) {
  look.picked = picked;
  [$("joint-a"), $("joint-b")].forEach((select, i) => (select.value = picked[i] ? `${picked[i].person}:${picked[i].joint}` : ""));
  $("clear").hidden = !picked.some(Boolean);
  redraw();
}

function choose({ person, joint }) {
  const [a, b] = look.picked;
  if (!a || b) setPicked([{ person, joint }, null]);
  else if (a.person === person && a.joint === joint) setPicked([null, null]);
  else setPicked([a, { person, joint }]);
}

let answered = "";

function showAnswer(frame) {
  const parts = answer(clip, frame, look.picked);
  const text = parts.map((part) => part.text).join(" ");
  if (text === answered) return;
  answered = text;
  $("answer").replaceChildren(
    ...parts.flatMap(({ text: words, kind, title }) => {
      const part = document.createElement(kind === "strong" ? "strong" : "span");
      if (kind && kind !== "strong") part.className = kind;
      if (title) part.title = title;
      part.textContent = words;
      return [part, " "];
    }),
  );
}

function fillJoints() {
  for (const select of [$("joint-a"), $("joint-b")]) {
    select.append(new Option("choose a joint", ""));
    clip.people.forEach((_, person) => {
      const group = several ? Object.assign(document.createElement("optgroup"), { label: `Person ${clip.people[person]}` }) : select;
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

function showTip(canvas, spot) {
  const tip = $("tip");
  canvas.classList.toggle("over-joint", Boolean(spot));
  tip.hidden = !spot;
  if (spot) {
    canvas.parentElement.append(tip);
    tip.textContent = clip.spoken(spot) + (compares ? apart(spot) : "");
    const half = tip.offsetWidth / 2 + 6;
    tip.style.left = `${Math.min(canvas.clientWidth - half, Math.max(half, spot.x))}px`;
    tip.style.top = `${Math.max(44, spot.y)}px`;
  }
  if (spot?.person !== look.hover?.person || spot?.joint !== look.hover?.joint) {
    look.hover = spot;
    redraw();
  }
}

/** How far the comparison has a joint from where the first poses have it. */
function apart({ set, person, joint }) {
  const mm = clip.distance(set || 1, player.frame, person, joint);
  return mm === mm ? ` · ${mm.toFixed(0)} mm apart` : "";
}

function watchPane(view, gestures) {
  const { canvas } = view;
  const after = (change) => (...values) => {
    change(...values);
    redraw();
  };
  watchGestures(canvas, Object.fromEntries(Object.entries(gestures).map(([name, change]) => [name, after(change)])));
  watchJoints(canvas, (x, y, reach) => view.pick(x, y, reach, look.hiddenPeople), { hover: (spot) => showTip(canvas, spot), choose });
}

function markView(view = null) {
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
}

function setView(view) {
  scene?.orbit.set(view);
  markView(view === "home" ? null : view);
  source?.reset();
  redraw();
}

/** Change the 3D view; it is none of the named ones any more. */
function orbit(method, ...values) {
  scene?.orbit[method](...values);
  markView();
  redraw();
}

const TURNS = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] };
const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  Home: () => step(-clip.frames),
  End: () => step(clip.frames),
  PageUp: () => leap(-1),
  PageDown: () => leap(1),
  "[": () => changeSpeed(-1),
  "]": () => changeSpeed(1),
  1: () => setView("front"),
  2: () => setView("side"),
  3: () => setView("top"),
  0: () => setView("home"),
  a: () => orbit("pan", 24, 0),
  d: () => orbit("pan", -24, 0),
  w: () => orbit("pan", 0, 24),
  s: () => orbit("pan", 0, -24),
  "+": () => orbit("magnify", 1.15),
  "=": () => orbit("magnify", 1.15),
  "-": () => orbit("magnify", 1 / 1.15),
  Escape: () => setPicked([null, null]),
  "?": () => $("help").showModal(),
};

function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || target.tagName === "SELECT") return;
  if (key === " " && target.matches("button, input[type=checkbox]")) return;
  if (event.shiftKey && TURNS[key] && scene) orbit("turn", ...TURNS[key]);
  else if (KEYS[key]) KEYS[key]();
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
  const notes = [facts.join(", "), ...clip.notes, ...(clip.sets[0]?.certainty.length && clip.camera ? [clip.certaintyNote] : [])];
  for (const note of notes) $("notes").append(Object.assign(document.createElement("li"), { textContent: note }));
  $("tilt").hidden = !(hasScene && clip.camera);
  $("tilt").title = clip.notes[0] ?? "";
  $("no-media").hidden = Boolean(clip.media);
}

/** What the view can follow; nothing to choose for one person who stays in place. */
function fillFollow() {
  if (!scene || !(several || scene.travels)) return;
  $("follow").append(new Option(several ? "Follow all" : "Follow", "all"));
  if (several) clip.people.forEach((_, person) => $("follow").append(new Option(`Follow ${clip.personName(person)}`, person)));
  $("follow").append(new Option("Stand still", "none"));
  $("follow").value = scene.follow;
  $("follow").hidden = false;
}

/** One entry of the legend; with `hidden`, a set, a box that shows and hides `number`. */
function legendItem(text, colour, { hidden, number, label: spoken }) {
  const [li, swatch] = [document.createElement("li"), document.createElement("i")];
  swatch.style.setProperty("--swatch", `var(--${colour})`);
  const label = document.createElement(hidden ? "label" : "span");
  label.append(swatch, text);
  li.append(label);
  $("legend").append(li);
  if (!hidden) return li;
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
  if (spoken) box.setAttribute("aria-label", spoken);
  box.addEventListener("change", () => {
    hidden[box.checked ? "delete" : "add"](number);
    drawLanes($("lanes"), clip, look);
    redraw();
  });
  label.prepend(box);
  return li;
}

function fillLegend() {
  for (const side of ["left", "right"]) {
    const li = legendItem(side, side, {});
    li.title = "The person's own left and right";
    li.className = "side";
  }
  if (several)
    clip.people.forEach((id, person) =>
      legendItem(String(id), `person-${(person % 6) + 1}`, { hidden: look.hiddenPeople, number: person, label: `Show ${clip.personName(person)}` }),
    );
  if (compares)
    clip.sets.forEach(({ name }, set) =>
      legendItem(name, set ? `other-${((set - 1) % 3) + 1}` : "person-1", { hidden: look.hiddenSets, number: set }),
    );
}

function setColouring(colouring) {
  look.colouring = colouring;
  for (const item of document.querySelectorAll(".legend .side")) item.hidden = colouring === "people";
  redraw();
}

function loadMedia() {
  if (!clip.media) return;
  const url = clip.media.file ?? URL.createObjectURL(new Blob([bytes($("media").textContent)], { type: clip.media.mime }));
  const failed = () => {
    $("media-error").hidden = false;
    player.video = null;
    redraw();
  };
  if (video) {
    video.addEventListener("loadeddata", () => {
      picture = video;
      player.seek(player.frame);
    });
    video.addEventListener("error", failed);
    video.src = url;
  } else {
    const image = new Image();
    image.addEventListener("load", () => ((picture = image), redraw()));
    image.addEventListener("error", failed);
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
  $("layout").addEventListener("change", (event) => ((look.layout = event.target.value), redraw()));
  $("colouring").addEventListener("change", (event) => setColouring(event.target.value));
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
$("time").hidden = !moves;
$("lanes").style.height = `${lanesHeight(clip)}px`;
$("difference").hidden = $("layout").hidden = !compares;
$("lanes").title = compares ? `Difference, up to ${greatestDifference(clip).toFixed(0)} mm` : "";
$("question").hidden = !(hasScene && clip.camera);
$("overlay-switch").hidden = !(clip.media && clip.keypoints);
$("colouring").hidden = !several;
showFacts();
fillLegend();
fillFollow();
fillJoints();
listen();
if (scene)
  watchPane(scene, {
    drag: (dx, dy) => orbit("turn", dx / 160, dy / 160),
    pan: (dx, dy) => orbit("pan", dx, dy),
    magnify: (factor) => orbit("magnify", factor),
    reset: () => setView("home"),
  });
if (source)
  watchPane(source, {
    drag: (dx, dy) => source.pan(dx, dy),
    pan: (dx, dy) => source.pan(dx, dy),
    magnify: (factor, x, y) => source.magnify(factor, x, y),
    reset: () => source.reset(),
  });
loadMedia();
if (several) $("colouring").value = "people";
setColouring($("colouring").value);
setTheme(preference.matches ? "dark" : "light");
