/** Asks for the newest frame, again and again, and draws it with its people in 2D and in 3D. */
import { Clip } from "./data.js";
import { clipData } from "./make.js";
import { coloursOf } from "./paint.js";
import { watchGestures } from "./pointer.js";
import { Scene } from "./scene.js";
import { Source } from "./source.js";

/** Frames that are kept, for the way that people went and for a ground that stays. */
const KEPT = 120;
/** Frames that rate and delay are taken over. */
const MEASURED = 20;
const PATIENCE = 1500;
const KEYS = { 0: "home", 1: "front", 2: "side", 3: "top" };
const TURNS = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.08], ArrowDown: [0, -0.08] };
const NOBODY = "Nobody in this frame";

const $ = (id) => document.getElementById(id);
const root = $("live");
const look = {
  colours: null, overlay: true, colouring: "sides", layout: "over",
  hiddenSets: new Set(), hiddenPeople: new Set(), hover: null, picked: [null, null],
};
let [template, colours, scene, source, picture, queued] = [null, null, null, null, null, false];
let frames = [];

function say(text, kind = "") {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").className = kind;
}

function redraw() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    scene?.draw(scene.clip.frames - 1, look);
    source?.draw(source.clip.frames - 1, picture, look);
  });
}

/** The kept frames as one clip, in which everybody has a place. */
async function clipOf(kept) {
  const people = [...new Set(kept.flatMap((frame) => frame.people))].sort((a, b) => a - b);
  const joints = template.skeleton.joints.length;
  const gather = (name, across) => {
    const all = new Float32Array(kept.length * people.length * across).fill(NaN);
    kept.forEach((frame, f) => frame.people.forEach((person, row) => {
      const at = (f * people.length + people.indexOf(person)) * across;
      for (let i = 0; i < across; i++) all[at + i] = frame[name][row * across + i] ?? NaN;
    }));
    return all;
  };
  return Clip.read(clipData(template, {
    joints: gather("joints", 3 * joints), roots: gather("roots", 3), keypoints: gather("keypoints", 2 * joints), scores: gather("scores", joints),
    size: kept.at(-1).size, time: kept.map((frame) => frame.time), frameIndex: kept.map((frame) => frame.frame), people,
  }));
}

async function show(frame) {
  frame.came = performance.now();
  const { size } = frames.at(-1) ?? frame;
  frames = size[0] === frame.size[0] && size[1] === frame.size[1] ? [...frames, frame].slice(-KEPT) : [frame];
  const bytes = Uint8Array.from(atob(frame.picture), (sign) => sign.charCodeAt(0));
  const [clip, bitmap] = await Promise.all([clipOf(frames), createImageBitmap(new Blob([bytes], { type: "image/jpeg" }))]);
  delete frame.picture;
  picture?.close();
  picture = bitmap;
  const [before, { zoom, middle } = {}] = [scene, source ?? {}];
  scene = new Scene($("scene"), clip);
  scene.follow = "all";
  if (before) scene.orbit = before.orbit;
  source = new Source($("source"), clip);
  if (zoom > 1) Object.assign(source, { zoom, middle });
  look.colouring = clip.people.length > 1 ? "people" : "sides";
  if (clip.people.length) colourPeople();
  $("nobody").textContent = NOBODY;
  $("nobody").hidden = frame.people.length > 0;
  for (const item of document.querySelectorAll(".legend li")) item.hidden = look.colouring === "people";
  root.dataset.frame = frame.frame;
  tell(frame);
  redraw();
}

function tell(frame) {
  const recent = frames.slice(-MEASURED);
  const rate = recent.length > 1 ? (1000 * (recent.length - 1)) / (frame.came - recent[0].came) : 0;
  const delay = recent.reduce((sum, { delay: seconds }) => sum + seconds, 0) / recent.length;
  say("live", "live");
  const parts = [`${rate.toFixed(1)} frames/s`, `lifted ${(1000 * delay).toFixed(0)} ms after they came`, `${frame.dropped} late frames dropped`, `frame ${frame.frame}`];
  $("numbers").textContent = parts.join(" · ");
}

function fitCanvases() {
  const main = $("main");
  if (source) {
    const [width, height] = source.clip.size;
    main.style.setProperty("--source-height", `${Math.round(Math.min(44, Math.max(22, (root.clientWidth * height * 100) / width / Math.max(1, main.clientHeight))))}%`);
  }
  for (const canvas of [$("scene"), $("source")]) {
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  }
  redraw();
}

function setTheme(theme) {
  root.dataset.theme = theme;
  colours = coloursOf(root);
  colourPeople();
  redraw();
}

/** People keep the colours of their numbers, whoever comes and goes. */
function colourPeople() {
  const own = (all) => scene?.clip.people.map((number) => all[number % all.length]) ?? all;
  look.colours = { ...colours, people: own(colours.people), overlay: { ...colours.overlay, people: own(colours.overlay.people) } };
}

function listen() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const change = (act) => (...values) => {
    act(...values);
    redraw();
  };
  const view = change((name) => {
    scene?.orbit.set(name);
    for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === name && name !== "home"));
  });
  setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  $("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
  $("overlay").addEventListener("change", change(({ target }) => (look.overlay = target.checked)));
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => view(button.dataset.view));
  watchGestures($("scene"), {
    drag: change((dx, dy) => scene?.orbit.turn(dx * 0.008, dy * 0.008)), pan: change((dx, dy) => scene?.orbit.pan(dx, dy)),
    magnify: change((factor) => scene?.orbit.magnify(factor)), reset: () => view("home"),
  });
  watchGestures($("source"), {
    drag: change((dx, dy) => source?.pan(dx, dy)), pan: change((dx, dy) => source?.pan(dx, dy)),
    magnify: change((factor, x, y) => source?.magnify(factor, x, y)), reset: change(() => source?.reset()),
  });
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) view(KEYS[event.key]);
    else if (event.key === "+" || event.key === "-") change(() => scene?.orbit.magnify(event.key === "+" ? 1.15 : 1 / 1.15))();
    else if (event.shiftKey && TURNS[event.key]) change(() => scene?.orbit.turn(...TURNS[event.key]))();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(fitCanvases).observe($("main"));
}

/** The secret that lets us in: for the code of the link, or the one that we had before the page was loaded again. */
async function enter() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  history.replaceState(null, "", location.pathname);
  if (code) {
    const answer = await fetch("/enter", { method: "POST", body: code });
    if (answer.ok) sessionStorage.setItem("token", (await answer.json()).token);
    else if (!sessionStorage.getItem("token")) throw new Error((await answer.json()).detail);
  }
  return sessionStorage.getItem("token");
}

async function run() {
  const token = await enter();
  const ask = (path) => fetch(path, { headers: { Authorization: `Bearer ${token}` } });
  const said = token && (await ask("/skeleton"));
  if (!said?.ok) throw new Error("Open the link that nearfar live printed.");
  const { title, template: known } = await said.json();
  template = known;
  $("title").textContent = title;
  document.title = `${title}: nearfar live`;
  say("waiting for frames");
  for (let number = 0; ; ) {
    try {
      const answer = await ask(`/newest?after=${number}`);
      if (answer.status === 410) return say("The stream has ended.");
      if (answer.status === 401) throw new Error("not signed in");
      if (answer.status === 200) {
        number = Number(answer.headers.get("X-Number"));
        const frame = await answer.json();
        if (frame.trouble) say(`No frames come (${frame.trouble}); trying again`, "trouble");
        else await show(frame);
        if (frames.length === 1) fitCanvases();
      } else if (!answer.ok) await new Promise((done) => setTimeout(done, PATIENCE));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      say("nearfar live does not answer; has it ended?", "trouble"); // what fetch throws without a connection
      await new Promise((done) => setTimeout(done, PATIENCE));
    }
  }
}

listen();
run().catch((error) => say(error.message, "trouble"));
