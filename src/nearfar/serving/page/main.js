// The page: sign in, send a file, watch its job, turn the result around.

import { call, forget, Refused, send, signedIn, signIn, signOut } from "./api.js";

const at = (id) => document.getElementById(id);
const show = (id, shown) => { at(id).hidden = !shown; };
const WORDS = {
  queued: "waits", running: "runs", done: "done", failed: "failed", cancelled: "cancelled",
};

let limits = {};
let current = null; // the job that is sent or watched: { controller, id }
let shownJob = null;
let listings = 0;

async function start() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) {
    history.replaceState(null, "", location.pathname); // the code goes from the address at once
    await signIn(code).catch((error) => { at("entry-problem").textContent = `The link cannot be used: ${error.message}.`; });
  }
  await enter();
}

async function enter() {
  if (signedIn()) {
    try {
      ({ limits } = await (await call("GET", "/v1/limits")).json());
    } catch (error) {
      if (error.status === 401) forget();
      at("entry-problem").textContent = error.status === 401 ? "Your session has ended." : error.message;
    }
  }
  const inside = signedIn();
  show("entry", !inside);
  show("desk", inside);
  show("leave", inside);
  at("limits").textContent = inside
    ? `Photos up to ${limits.image_mb} MB, videos up to ${limits.video_seconds} s and ${limits.video_mb} MB. Results are deleted after ${limits.keep_hours} h.`
    : "";
  if (inside) {
    at("people").max = limits.people;
    await listEarlier().catch(fail);
  } else {
    at("secret").focus();
  }
}

function kindOf(file) {
  if (file.type.startsWith("video/") || file.type === "image/gif") return "videos";
  if (file.type.startsWith("image/")) return "images";
  if (file.type === "application/json" || file.name.endsWith(".json")) return "keypoints";
  return /\.(mp4|mov|m4v|mkv|webm|avi|mpe?g|ts|flv|wmv|ogv)$/i.test(file.name) ? "videos" : "images";
}

async function lift(file) {
  if (!file) return;
  current?.controller.abort();
  const mine = { controller: new AbortController(), id: null };
  const { signal } = mine.controller;
  current = mine;
  say("");
  show("result", false);
  stage(null);
  show("work", true);
  tell(`Sending ${file.name}`, 0);
  const kind = kindOf(file);
  const query = new URLSearchParams({ name: file.name.slice(0, 100) });
  if (kind !== "videos") query.set("wait", "0");
  if (kind !== "keypoints") query.set("people", at("people").value || "1");
  try {
    const onProgress = (share) => tell(share < 1 ? `Sending ${file.name}` : `${file.name} was sent`, share < 1 ? share : null);
    let job = await send(`/v1/${kind}?${query}`, file, { onProgress, signal });
    mine.id = job.id;
    await listEarlier();
    while (job.state === "queued" || job.state === "running") {
      tellJob(job);
      const film = job.kind === "video"; // its progress is looked at; other kinds are soon done, and waited for
      if (film) await new Promise((resolve) => setTimeout(resolve, 500));
      job = await (await call("GET", `/v1/jobs/${job.id}${film ? "" : "?wait=2"}`, { signal })).json();
    }
    await listEarlier();
    await showResult(job, { signal, ready: () => leave(mine) });
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    leave(mine);
    at("file").value = "";
    await listEarlier().catch(fail);
  }
}

function leave(mine) {
  if (current !== mine) return;
  current = null;
  show("work", false);
}

function tellJob(job) {
  if (job.state === "queued") {
    tell(job.jobs_before ? `${job.jobs_before} jobs are before yours` : "Yours is the next job", null);
  } else {
    const stage = job.stage ? job.stage[0].toUpperCase() + job.stage.slice(1) : "Begun";
    tell(stage, job.kind === "video" ? job.progress : null);
  }
}

function tell(text, share) {
  if (at("status").textContent !== text) at("status").textContent = text; // said aloud once
  if (share === null) at("progress").removeAttribute("value");
  else at("progress").value = share;
}

function say(text) {
  at("problem").textContent = text;
}

function fail(error) {
  if (error.status === 401) {
    forget();
    enter();
    return;
  }
  const known = error instanceof Refused;
  say(known ? error.message : "Something went wrong in this page. Reload it and try again.");
  if (!known) throw error;
}

// `ready` is called in the same turn in which the result is shown: nothing moves under the mouse after it.
async function showResult(job, { signal, ready = () => {} } = {}) {
  if (job.state === "failed") {
    say(job.error.detail);
    return;
  }
  if (job.state !== "done") return;
  const { people, lifted, files } = job.result;
  const page = "view.html" in files ? await (await call("GET", `/v1/jobs/${job.id}/view.html`, { signal })).text() : null;
  shownJob = job;
  at("result-name").textContent = `${job.name}: ${people} ${people === 1 ? "person" : "people"}, ${lifted} ${lifted === 1 ? "pose" : "poses"}`;
  for (const button of document.querySelectorAll("[data-file]")) button.hidden = !(button.dataset.file in files);
  ready();
  show("result", true);
  stage(page);
  at("result-name").focus();
}

// The viewer's page holds what a stranger sent: it runs in a sandbox, without our origin. Each gets a frame of its own,
// made where it is seen: Chromium gives no size to a sandboxed frame that changes its page while it is hidden.
function stage(page) {
  if (page === null) {
    at("stage").replaceChildren();
    return;
  }
  const frame = document.createElement("iframe");
  frame.id = "viewer";
  frame.title = "3D viewer of the result";
  frame.setAttribute("sandbox", "allow-scripts");
  frame.srcdoc = page;
  at("stage").replaceChildren(frame);
}

async function save(name) {
  const blob = await (await call("GET", `/v1/jobs/${shownJob.id}/${name}`)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${shownJob.name.replace(/\.[^.]*$/, "")}.${name}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function listEarlier() {
  if (!signedIn()) return;
  const mine = ++listings;
  const { jobs } = await (await call("GET", "/v1/jobs?limit=8")).json();
  if (mine !== listings) return; // a later list is asked for, or there already
  const rows = jobs.map(rowOf);
  for (const row of [...at("jobs").children]) if (!rows.includes(row)) row.remove();
  rows.forEach((row, i) => { if (at("jobs").children[i] !== row) at("jobs").insertBefore(row, at("jobs").children[i] ?? null); });
  show("earlier", rows.length > 0);
}

// A job keeps its row, and its buttons, as long as it is listed: a click ends on the button that it began on.
function rowOf(job) {
  const row = at(`job-${job.id}`) ?? newRow(job);
  row.querySelector("small").textContent = ` ${WORDS[job.state]}`;
  if ((job.state === "done" || job.state === "failed") && row.childElementCount < 3) {
    row.lastChild.before(button("Show", `Show ${job.name}`, async () => { say(""); await showResult(job); }));
  }
  return row;
}

function newRow(job) {
  const row = document.createElement("li");
  row.id = `job-${job.id}`;
  const said = document.createElement("span");
  said.append(job.name, document.createElement("small"));
  row.append(said, button("Delete", `Delete ${job.name}`, () => remove(job)));
  return row;
}

async function remove({ id }) {
  if (current?.id === id) current.controller.abort();
  await call("DELETE", `/v1/jobs/${id}`);
  if (shownJob?.id === id) {
    show("result", false);
    stage(null);
  }
  const row = at(`job-${id}`);
  const beside = row?.nextElementSibling ?? row?.previousElementSibling;
  await listEarlier();
  if (document.activeElement === document.body) (beside?.lastElementChild ?? at("file")).focus();
}

function button(text, label, work) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", () => work().catch(fail));
  return made;
}

at("entry").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("entry-problem").textContent = "";
  try {
    await signIn(at("secret").value.trim());
    at("secret").value = "";
    await enter();
  } catch (error) {
    at("entry-problem").textContent = error.message;
  }
});
at("leave").addEventListener("click", async () => {
  current?.controller.abort();
  await signOut();
  location.reload();
});
at("drop").addEventListener("submit", (event) => event.preventDefault());
at("file").addEventListener("change", () => lift(at("file").files[0]));
at("cancel").addEventListener("click", async () => {
  const stopped = current;
  stopped?.controller.abort();
  if (stopped?.id) await call("POST", `/v1/jobs/${stopped.id}/cancel`).catch(fail);
  await listEarlier().catch(fail);
});
for (const one of document.querySelectorAll("[data-file]")) one.addEventListener("click", () => save(one.dataset.file).catch(fail));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && !at("desk").hidden) lift(event.dataTransfer.files[0]);
  });
}
start();
