// What the question page shows: puts texts and pictures into the page, decides nothing.

import { draw } from "./marks.js";
import { counted } from "./texts.js";
import { Zoom } from "./zoom.js";

const STATUS_DELAY = 400; // answers that are saved faster than this make the status flicker for nothing

const TROUBLES = { offline: "offline_long", busy: "too_fast", signed_out: "signed_out" };

/** The elements of the page, by id. */
export const element = (id) => document.getElementById(id);

/** The question page. */
export class View {
  #question = null;
  #statusTimer = null;
  #trouble = null; // as it was told last

  constructor(t) {
    this.t = t;
    this.marksShown = true;
    this.image = null;
    this.zoom = new Zoom(element("picture"), () => this.#place());
    this.choices = [...element("choices").querySelectorAll("[data-choice]")];
  }

  /** Words for those who listen instead of look. */
  say(words) {
    element("live").textContent = "";
    element("live").textContent = words;
  }

  /** How far the task has come. */
  progress(round) {
    const { kind } = round.task;
    const numbers = { number: round.number, total: round.total };
    element("progress").textContent = this.t(kind === "work" ? "progress" : `progress_${kind}`, numbers);
    element("progress-bar").max = round.total;
    element("progress-bar").value = round.done;
  }

  /** Show a question; its picture follows by `picture`. */
  question(round) {
    const { t } = this;
    const question = round.current;
    this.#question = question;
    this.progress(round);
    element("ask").textContent = question.ask;
    for (const button of this.choices) {
      const joint = button.querySelector("[data-joint]");
      if (joint) joint.textContent = question[button.dataset.choice].words;
      button.removeAttribute("data-pressed");
    }
    const [first, second] = ["a", "b"].map((choice) => this.choices.find((button) => button.dataset.choice === choice));
    if (round.task.a_left !== (first.compareDocumentPosition(second) === Node.DOCUMENT_POSITION_FOLLOWING)) {
      element("choices").prepend(...(round.task.a_left ? [first, second] : [second, first]));
    }
    element("before").hidden = !question.before;
    if (question.before) element("before").textContent = t("before", { answer: t(`answer_${question.before}`) });
    element("needed").hidden = round.task.kind !== "test";
    if (round.task.kind === "test") element("needed").textContent = t("test_needed", { needed: round.task.needed });
    element("undo").classList.toggle("none", round.task.kind === "practice");
    element("undo").disabled = !round.canUndo;
    element("feedback").hidden = true;
    element("answers").hidden = false;
    element("notice").hidden = true;
    element("work").hidden = false;
    this.say(`${t("question_of", { number: round.number, total: round.total })} ${question.ask}`);
  }

  /** Show the picture of the present question, or (null) that it is still on its way. */
  picture(image) {
    const { width, height } = this.#question;
    element("picture-wait").hidden = image !== null;
    element("picture-wait").textContent = this.t("loading_image");
    element("marks").toggleAttribute("hidden", image === null);
    if (image === null) {
      element("holder").replaceChildren();
      this.image = null;
      return;
    }
    const another = image !== this.image;
    if (another) element("holder").replaceChildren(image);
    this.image = image;
    if (another || !this.#bothSeen()) this.zoom.reset({ width, height });
    else this.#place();
    element("work").dataset.question = this.#question.id;
  }

  // Zoomed in on the joints of the question before, the new ones may be out of sight.
  #bothSeen() {
    const { width, height } = this.zoom.frame;
    return ["a", "b"].every((letter) => {
      const { x, y } = this.zoom.shown(this.#question[letter]);
      return x > 0 && y > 0 && x < width && y < height;
    });
  }

  /** Show that there is no picture, and will be none. */
  noPicture() {
    element("picture-wait").textContent = this.t("image_gone");
    element("work").dataset.question = this.#question.id;
    this.say(this.t("image_gone"));
  }

  /** Show that answers are not taken yet: a bar that fills in this time. Null: they are. */
  lock(milliseconds) {
    const locked = milliseconds !== null;
    element("choices").toggleAttribute("data-locked", locked);
    for (const button of this.choices) button.setAttribute("aria-disabled", String(locked));
    const bar = element("lock");
    for (const animation of bar.getAnimations()) animation.cancel();
    if (locked && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      bar.animate([{ transform: "scaleX(0)" }, { transform: "scaleX(1)" }], milliseconds);
    }
  }

  pressed(choice) {
    for (const button of this.choices) button.toggleAttribute("data-pressed", button.dataset.choice === choice);
  }

  /** Practice: whether the answer was right, and why. Null while the server is asked. */
  feedback(told) {
    const { t } = this;
    const box = element("feedback");
    box.hidden = false;
    box.classList.toggle("good", told?.correct === true);
    box.classList.toggle("bad", told?.correct === false);
    element("feedback-go").hidden = told === null;
    if (told === null) {
      element("feedback-title").textContent = t("checking");
      element("feedback-text").textContent = "";
      return;
    }
    element("answers").hidden = true;
    const answer = told.correct ? "" : `${t("wrong_answer", { answer: t(`answer_${told.right}`) })} `;
    element("feedback-title").textContent = t(told.correct ? "right" : "wrong");
    element("feedback-text").textContent = answer + (told.explanation ?? "");
    this.say(`${element("feedback-title").textContent}. ${element("feedback-text").textContent}`);
    element("feedback-go").focus({ preventScroll: true });
  }

  /** Show words instead of a question. `go` and `more` are {label, act} of buttons. */
  notice({ title, text = "", good = false, go = null, more = null }) {
    element("work").hidden = true;
    element("notice").hidden = false;
    element("notice-good").hidden = !good;
    element("notice-title").textContent = title;
    element("notice-text").textContent = text;
    element("notice-actions").hidden = !go;
    for (const [id, action] of [["notice-go", go], ["notice-more", more]]) {
      element(id).hidden = !action;
      element(id).textContent = action?.label ?? "";
      element(id).onclick = action?.act ?? null;
    }
    this.say(`${title} ${text}`);
    (go ? element("notice-go") : element("notice-title")).focus({ preventScroll: true });
  }

  /** Whether answers have arrived at the server. */
  status(outbox) {
    const trouble = navigator.onLine ? (outbox.trouble?.kind ?? null) : "offline";
    const count = outbox.size;
    clearTimeout(this.#statusTimer);
    const show = () => {
      element("status").dataset.state = trouble ? "offline" : count ? "waiting" : "saved";
      element("status-text").textContent = this.#statusWords(trouble === "offline", count);
    };
    if (count && !trouble) this.#statusTimer = setTimeout(show, STATUS_DELAY);
    else show();
    const words = this.t(trouble ? (TROUBLES[trouble] ?? "server_trouble") : "saved");
    if (trouble !== this.#trouble) this.say(words);
    this.#trouble = trouble;
    element("status").title = outbox.kept ? words : this.t("not_kept");
  }

  #statusWords(offline, count) {
    if (!count) return this.t(offline ? "offline" : "saved");
    return counted(this.t, offline ? "offline_waiting" : "waiting", count);
  }

  toggleMarks() {
    this.marksShown = !this.marksShown;
    element("marks-toggle").setAttribute("aria-pressed", String(this.marksShown));
    this.#place();
    this.say(this.t(this.marksShown ? "marks_on" : "marks_off"));
  }

  #place() {
    const { image, zoom } = this;
    if (!image) return;
    const { view, fitted } = zoom;
    image.style.width = `${fitted.width}px`;
    image.style.height = `${fitted.height}px`;
    image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    const svg = element("marks");
    if (!this.marksShown) svg.replaceChildren();
    else draw(svg, zoom.shown(this.#question.a), zoom.shown(this.#question.b), zoom.frame);
  }
}
