// The question page: gets tasks, takes answers, and never waits for the network between two questions.

import { Images } from "./images.js";
import { Outbox, browserStorage } from "./outbox.js";
import { Round } from "./round.js";
import { onlyWindow } from "./tabs.js";
import { texts } from "./texts.js";
import { View, element } from "./view.js";

const PICTURES_AHEAD = 12;
const KEYS = { a: "a", b: "b", s: "same", u: "unsure", ArrowDown: "same", ArrowUp: "unsure" };
const FINAL = ["signed_out", "forbidden"]; // trying again by itself would not help

/** @param {{config: object, api: import("./api.js").Api, navigate: (path: string) => void, signal: AbortSignal}} page */
export function start(page) {
  new Asking(page).begin();
}

class Asking {
  #round = null;
  #lockMs = 0;
  #opensAt = Infinity; // when the question shown can be answered
  #lockTimer = null;
  #awaited = null; // practice: key of the answer whose feedback is on its way
  #loading = false;
  #gone = new Set(); // questions whose pictures were refused
  #blind = false; // there is no picture
  #leaving = false; // waits for the last answers to be sent
  #stopped = false;

  constructor({ config, api, navigate, signal }) {
    this.config = config;
    this.t = texts(config.texts);
    this.api = api;
    this.navigate = navigate;
    this.signal = signal;
    this.view = new View(this.t);
    this.images = new Images(api);
    this.storage = browserStorage();
    this.outbox = new Outbox({ storage: this.storage, prefix: `nearfar:${config.outbox}:`, send: (events) => this.#send(events) });
    this.letters = this.storage?.getItem("nearfar:letters") !== "off";
    this.#listen();
  }

  async begin() {
    this.view.status(this.outbox);
    const { owned, takeOver } = await onlyWindow(`nearfar:${this.config.outbox}`, () => this.#lost());
    if (owned) {
      this.#work();
      return;
    }
    const act = async () => {
      await takeOver();
      location.reload(); // with everything that the other window has kept
    };
    this.view.notice({ title: this.t("other_tab"), text: this.t("other_tab_help"), go: { label: this.t("take_over"), act } });
  }

  #work() {
    this.outbox.flush();
    this.#load();
  }

  #lost() {
    this.#stopped = true;
    this.#round = null;
    this.outbox.stop();
    this.view.notice({ title: this.t("taken"), text: this.t("taken_help"), go: { label: this.t("take_over"), act: () => location.reload() } });
  }

  async #send(events) {
    const { receipts } = await this.api.post("/api/answers", { events }, { keepalive: true });
    return receipts;
  }

  // Get the present task, or the next one, and go on where it stands.
  async #load() {
    if (this.#loading || this.#stopped) return;
    this.#loading = true;
    this.#leaving = false;
    this.#round = null;
    this.view.notice({ title: this.t("loading") });
    for (let attempt = 0; !this.#stopped && !this.signal.aborted; attempt += 1) {
      const before = this.outbox.waiting; // the server may or may not know these when it answers
      try {
        const reply = await this.api.post("/api/task", { again: this.config.again });
        this.#loading = false;
        this.#begin(reply, before);
        return;
      } catch (failure) {
        if (FINAL.includes(failure.kind)) {
          this.#loading = false;
          this.#signedOut();
          return;
        }
        this.view.notice({ title: this.t("offline_start") });
        await this.#online(Math.min(15000, 500 * 2 ** attempt), failure.retryAfter);
      }
    }
    this.#loading = false;
  }

  #begin(reply, before) {
    if (this.#stopped) return;
    if (reply.task === null) {
      this.#leave(reply.next);
      return;
    }
    this.#lockMs = reply.lock_ms;
    this.#round = new Round(reply.task, [...before, ...this.outbox.waiting]);
    if (this.#round.finished) this.#finish();
    else this.#show();
  }

  // Nothing to ask: but first everything has to be with the server, which may say something else then.
  #leave(path) {
    if (!this.outbox.size) {
      this.navigate(path);
      return;
    }
    this.view.notice({ title: this.t("task_done_sending") });
    this.#leaving = true;
    this.outbox.flush();
  }

  #online(wait, retryAfter) {
    return new Promise((resolve) => {
      setTimeout(resolve, Math.max(wait, retryAfter * 1000));
      addEventListener("online", resolve, { once: true });
    });
  }

  async #show() {
    const round = this.#round;
    const question = round.current;
    this.#opensAt = Infinity;
    this.#blind = false;
    this.view.question(round);
    this.view.lock(this.#lockMs);
    const wanted = [...new Set(round.ahead.map((ahead) => ahead.image))].slice(0, PICTURES_AHEAD);
    this.images.prepare([question.image, ...wanted]);
    let image = this.images.ready(question.image);
    if (!image) {
      this.view.picture(null);
      try {
        image = await this.images.get(question.image);
      } catch (failure) {
        if (this.#round === round && round.current === question) this.#imageRefused(question, failure);
        return;
      }
      if (this.#round !== round || round.current !== question) return; // meanwhile another one is shown
    }
    this.view.picture(image);
    this.#lockFor(this.#lockMs);
  }

  // The server asks no more about a picture that is gone; where it still does, there is one honest answer.
  #imageRefused(question, failure) {
    if (FINAL.includes(failure.kind)) {
      this.#signedOut();
      return;
    }
    if (!this.#gone.has(question.id)) {
      this.#gone.add(question.id);
      this.#load();
      return;
    }
    this.#blind = true;
    this.view.noPicture();
    this.#lockFor(this.#lockMs);
  }

  #lockFor(milliseconds) {
    this.#opensAt = performance.now() + milliseconds;
    clearTimeout(this.#lockTimer);
    this.view.lock(milliseconds);
    this.#lockTimer = setTimeout(() => this.view.lock(null), milliseconds);
  }

  #choose(choice) {
    const round = this.#round;
    if (!round?.current || this.#awaited || element("work").hidden || round.current.choice) return;
    const late = performance.now() - this.#opensAt;
    if (late < 0) {
      this.view.say(this.t("locked"));
      return;
    }
    if (this.#blind && choice !== "unsure") {
      this.view.say(this.t("image_gone"));
      return;
    }
    const event = round.answer(choice, late);
    if (round.task.kind === "practice") {
      this.#awaited = event.key;
      this.view.pressed(choice);
      this.view.feedback(null);
    }
    this.outbox.push(event);
    if (this.#awaited) return;
    if (round.finished) this.#finish();
    else this.#show();
  }

  #undo() {
    const event = this.#round?.undo();
    if (!event) {
      this.view.say(this.t("nothing_to_undo"));
      return;
    }
    this.outbox.push(event);
    this.#show();
    this.view.say(this.t("undone"));
  }

  // All questions are answered; whether the server has all answers shows while we wait.
  #finish() {
    const { task } = this.#round;
    const sending = this.outbox.size > 0;
    if (task.kind === "practice") {
      this.#load();
      return;
    }
    this.view.progress(this.#round);
    const test = task.kind === "test";
    const act = () => (test ? this.navigate("/result") : this.#load());
    this.view.notice({
      title: this.t(test ? "test_done" : "task_done"),
      text: sending ? this.t(test ? "test_done_sending" : "task_done_sending") : test ? "" : this.t("task_done_count", { count: this.#round.total }),
      good: true,
      go: sending ? null : { label: this.t(test ? "see_result" : "next_task"), act },
      more: sending || test ? null : { label: this.t("task_undo"), act: () => this.#undo() },
    });
  }

  #changed() {
    this.view.status(this.outbox);
    if (FINAL.includes(this.outbox.trouble?.kind)) this.#signedOut();
    else if (this.outbox.size || this.#loading) return;
    else if (this.#leaving) this.#load();
    else if (this.#round?.finished) this.#finish();
  }

  #received(receipts) {
    const refused = receipts.filter((receipt) => receipt.status === "refused");
    const told = receipts.find((receipt) => receipt.key === this.#awaited);
    if (refused.length) {
      this.#awaited = null;
      this.#load();
      this.view.say(this.t(refused.some((receipt) => receipt.reason === "conflict") ? "conflict" : "refused"));
    } else if (told) {
      this.view.feedback(told.feedback);
    }
  }

  #goOn() {
    if (!this.#awaited || element("feedback-go").hidden) return;
    this.#awaited = null;
    this.#round.next();
    if (this.#round.finished) this.#finish();
    else this.#show();
  }

  #signedOut() {
    this.#round = null;
    this.view.notice({ title: this.t("signed_out_title"), text: this.t("signed_out"), go: { label: this.t("reload"), act: () => this.navigate("/ask") } });
  }

  #listen() {
    const { signal, view } = this;
    const on = (target, type, act) => target.addEventListener(type, act, { signal });
    on(this.outbox, "change", () => this.#changed());
    on(this.outbox, "receipts", (event) => this.#received(event.detail));
    on(window, "online", () => this.outbox.flush());
    for (const type of ["online", "offline"]) on(window, type, () => view.status(this.outbox));
    on(document, "visibilitychange", () => document.hidden || this.outbox.flush());
    on(window, "beforeunload", (event) => this.outbox.size && event.preventDefault());
    on(document, "keydown", (event) => this.#key(event));
    for (const button of view.choices) on(button, "click", () => this.#choose(button.dataset.choice));
    on(element("undo"), "click", () => this.#undo());
    on(element("feedback-go"), "click", () => this.#goOn());
    on(element("marks-toggle"), "click", () => view.toggleMarks());
    on(element("zoom-in"), "click", () => view.zoom.in());
    on(element("zoom-out"), "click", () => view.zoom.out());
    on(element("zoom-fit"), "click", () => view.zoom.reset());
    on(element("help-open"), "click", () => element("help").showModal());
    on(element("comment-open"), "click", () => this.#openComment());
    on(element("comment-form"), "submit", (event) => this.#comment(event));
    element("letter-keys").checked = this.letters;
    on(element("letter-keys"), "change", (event) => this.#setLetters(event.target.checked));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]")) return;
    const act = this.#actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #actOf(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.key.length === 1 && !this.letters) return null; // a speech input or a screen reader needs them
    if (key === "?") return () => element("help").showModal();
    if (key === "z" || key === "Backspace") return () => this.#undo();
    if (key === "Enter" || key === " ") {
      const waits = !element("notice").hidden ? element("notice-go") : element("feedback-go");
      const elsewhere = document.activeElement?.matches("button, a") && document.activeElement !== waits;
      return waits.offsetParent && !elsewhere ? () => waits.click() : null;
    }
    if (element("work").hidden) return null;
    const { zoom } = this.view;
    if (event.shiftKey && key.startsWith("Arrow")) {
      const [right, down] = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, -0.2], ArrowDown: [0, 0.2] }[key];
      return () => zoom.pan(right, down);
    }
    if (key === "t") return () => this.view.toggleMarks();
    if (key === "+" || key === "=") return () => zoom.in();
    if (key === "-" || key === "_") return () => zoom.out();
    if (key === "0") return () => zoom.reset();
    const aLeft = this.#round?.task.a_left;
    const choice = key === "ArrowLeft" ? (aLeft ? "a" : "b") : key === "ArrowRight" ? (aLeft ? "b" : "a") : KEYS[key];
    return choice ? () => this.#choose(choice) : null;
  }

  #setLetters(on) {
    this.letters = on;
    this.storage?.setItem("nearfar:letters", on ? "on" : "off");
  }

  #openComment() {
    element("comment-told").textContent = "";
    element("comment").showModal();
    element("comment-text").focus();
  }

  async #comment(event) {
    const text = element("comment-text").value.trim();
    if (event.submitter?.value !== "send" || !text) return; // the dialog closes by itself
    event.preventDefault();
    element("comment-send").disabled = true;
    try {
      await this.api.post("/api/comments", { question: this.#round?.current?.id ?? null, text });
      element("comment-text").value = "";
      element("comment").close();
      this.view.say(this.t("comment_sent"));
    } catch {
      element("comment-told").textContent = this.t("comment_failed");
    }
    element("comment-send").disabled = false;
  }
}
