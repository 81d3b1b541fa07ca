/** The page: files come in, are lifted here, and are shown by the viewer in a frame. */
import { InputError } from "./errors.js";
import { readKeypoints } from "./keypoints.js";
import { Lifter } from "./lifting.js";
import { decoded, photographed } from "./photos.js";
import { posesJson, viewerData } from "./results.js";
import { showClip } from "./viewer.js";

const MOST_BYTES = { text: 64e6, picture: 64e6, video: 4e9 };
const $ = (id) => document.getElementById(id);
let shown = null; // what is on view: { name, json, viewer }
let lifting = null; // the promise of the lifter, made once
let busy = false;
const about = fetch("site.json").then((answer) => answer.json());

function say(text) {
  $("status").textContent = text;
}

function fail(error) {
  const known = error instanceof InputError;
  if (!known) console.error(error);
  $("error").textContent = known ? error.message : `That failed: ${error.message ?? error}. A reload may help.`;
  $("error").hidden = false;
  say("");
}

/** Do one thing at a time, and say what went wrong. */
async function guarded(work) {
  if (busy) return;
  busy = true;
  $("error").hidden = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    fail(error);
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
}

function bounded(file, kind) {
  if (!file.size) throw new InputError(`${file.name}: the file is empty`);
  if (file.size > MOST_BYTES[kind]) throw new InputError(`${file.name}: ${Math.round(file.size / 1e6)} MB, more than the ${MOST_BYTES[kind] / 1e6} MB that this page reads`);
  return file;
}

async function take(files) {
  const site = await about;
  if (!files.length) return;
  const [first] = files;
  closeVideo();
  if (files.every((file) => file.type.startsWith("image/") || file.type.startsWith("video/"))) {
    if (!site.detector) throw new InputError(`${first.name}: this page was built for files of keypoints only`);
    if (files.length > 1) throw new InputError(`${files.length} pictures: one at a time, please`);
    if (first.type.startsWith("video/")) return openVideo(bounded(first, "video"));
    say("Reading the picture …");
    const picture = await decoded(bounded(first, "picture"));
    return liftPicture(first.name, picture, [picture.width, picture.height]);
  }
  say("Reading the keypoints …");
  const texts = await Promise.all(files.map(async (file) => ({ name: file.name, text: await bounded(file, "text").text() })));
  return lift(first.name, readKeypoints(texts, site), null);
}

async function liftPicture(name, picture, size) {
  say("Looking for people; the first time the detector is loaded (23 MB) …");
  await painted();
  const { clip, media } = await photographed(name, picture, size, await about, (share) => {
    say(`Looking for people: ${Math.round(100 * share)} % …`);
    return painted();
  });
  return lift(name, clip, media);
}

async function lift(name, clip, media) {
  const site = await about;
  say("Lifting; the first time the lifter is loaded (23 MB) …");
  await painted();
  lifting ??= Lifter.load(site);
  const lifter = await lifting.catch((error) => {
    lifting = null;
    throw error;
  });
  const result = await lifter.lift(clip);
  if (!result.frames.some((frame) => frame.people.some((person) => person.joints.some(Number.isFinite)))) {
    throw new InputError(`${name}: nobody in it has enough keypoints to be lifted: ${site.minJoints}, ${site.skeleton.root.replace("_", " ")} among them`);
  }
  clear();
  document.body.classList.add("shown");
  const viewer = await showClip($("view"), viewerData(result, site), { title: name, media, keyboard: window });
  shown = { name, json: posesJson(result, name, site), viewer };
  const people = result.frames.reduce((sum, frame) => sum + frame.people.length, 0);
  const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
  say(result.frames.length > 1 ? `${count(people, "pose", "poses")} in ${result.frames.length} frames` : count(people, "person", "people"));
}

function clear() {
  shown?.viewer.close();
  shown = null;
  document.body.classList.remove("shown");
}

/** Let the browser draw what was said before work blocks it. */
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

function openVideo(file) {
  $("film").src = URL.createObjectURL(file);
  $("film").dataset.name = file.name;
  $("moment").hidden = false;
  document.body.classList.add("filmed");
  clear();
  say("Choose a moment of the video.");
}

function closeVideo() {
  if ($("film").src) URL.revokeObjectURL($("film").src);
  $("film").removeAttribute("src");
  document.body.classList.remove("filmed");
  $("moment").hidden = true;
}

async function liftMoment() {
  const video = $("film");
  if (video.readyState < 2) throw new InputError(`${video.dataset.name}: this browser cannot play it, or has not read it yet`);
  video.pause();
  await liftPicture(`${video.dataset.name}, ${video.currentTime.toFixed(2)} s`, video, [video.videoWidth, video.videoHeight]);
}

function save() {
  const file = new Blob([shown.json], { type: "application/json" });
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: `${shown.name.replace(/\.\w+$/, "")}.poses.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const files = [...event.dataTransfer.files];
  guarded(() => take(files));
});
$("file").addEventListener("change", () => {
  const files = [...$("file").files];
  $("file").value = ""; // so that the same file can be chosen again
  guarded(() => take(files));
});
$("example").addEventListener("click", () =>
  guarded(async () => {
    const text = await (await fetch("example.json")).text();
    return lift("example.json", readKeypoints([{ name: "example.json", text }], await about), null);
  }),
);
$("lift-moment").addEventListener("click", () => guarded(liftMoment));
$("another").addEventListener("click", clear);
$("save").addEventListener("click", save);
$("film").addEventListener("error", () => {
  if ($("film").src) guarded(async () => {
    throw new InputError(`${$("film").dataset.name}: this browser cannot play it`);
  });
});
about.then(
  (site) => {
    $("lifter").textContent = `Lifter: ${site.lifter}. ${site.licence}${site.acknowledgement ? ` ${site.acknowledgement}` : ""}`;
    $("example").hidden = !site.example;
    document.body.dataset.ready = "true";
  },
  (error) => fail(new InputError(`The page's files cannot be read (${error.message}); serve its folder with a web server.`)),
);
