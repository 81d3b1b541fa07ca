// Starts the script of whichever page this is.

import { Api } from "./api.js";
import { start as done } from "./done.js";
import { start as external } from "./external.js";
import { start as question } from "./question.js";
import { start as tutorial } from "./tutorial.js";

const PAGES = { done, external, question, tutorial };

const RETRY_MS = 3000;

const bearer = document.querySelector('meta[name="nearfar-session"]')?.content ?? "";
let leaving = new AbortController();

function run(source) {
  leaving.abort();
  leaving = new AbortController();
  const config = JSON.parse(source.querySelector("#config")?.textContent ?? "{}");
  const api = new Api({ csrf: document.body.dataset.csrf, bearer });
  PAGES[document.body.dataset.page]?.({ config, api, navigate, signal: leaving.signal });
}

/** Go to another page: as usual, or in place where the page is in a frame and must show its token with every request. */
export async function navigate(path, options = {}) {
  if (!bearer) {
    location.assign(path);
    return;
  }
  let text;
  try {
    ({ text } = await new Api({ bearer }).page(path, options));
  } catch {
    setTimeout(() => navigate(path, options), RETRY_MS); // no connection
    return;
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  const present = new Set([...document.querySelectorAll('link[rel="stylesheet"]')].map((link) => link.href));
  for (const link of page.querySelectorAll('link[rel="stylesheet"]')) {
    if (!present.has(link.href)) document.head.append(document.importNode(link, true));
  }
  document.title = page.title;
  document.documentElement.lang = page.documentElement.lang;
  document.body.replaceWith(document.adoptNode(page.body));
  run(page);
  document.querySelector("main")?.focus();
}

function stayInFrame() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="/"]');
    if (!link || event.defaultPrevented) return;
    event.preventDefault();
    navigate(link.getAttribute("href"));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || new URL(form.action).origin !== location.origin || form.method !== "post") return;
    event.preventDefault();
    navigate(form.getAttribute("action"), { method: "POST", body: new URLSearchParams(new FormData(form)) });
  });
}

if (bearer) stayInFrame();
run(document);
