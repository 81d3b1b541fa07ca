import { Clip } from "./data.js";
import { fillFacts, fillFollow, fillJoints, fillLegend } from "./controls.js";
import { MARKUP } from "./markup.js";
import { watchKeys } from "./keys.js";
import { coloursOf } from "./paint.js";
import { Player } from "./player.js";
import { watchGestures, watchJoints } from "./pointer.js";
import { answer } from "./question.js";
import { Scene } from "./scene.js";
import { Source } from "./source.js";
import { drawLanes, greatestDifference, lanesHeight } from "./timeline.js";

/** Milliseconds between changes of text while it plays: faster cannot be read, and text costs layout. */
const TEXT_EVERY = 120;

/**
 * Fill an element with a viewer of a clip; one viewer a page.
 *
 * @param root an element with a height; what was in it goes.
 * @param data the object of `viewer_data` (Python) or `clipData` (make.js).
 * @param media a Blob or File: the video or the image that the poses were found in, with the frames at `mediaTime` (or
 *   `time`) seconds of it. The data's `size` is that of its frames.
 * @param keyboard what listens to keys: the element; `window` where the page is the viewer's alone.
 * @returns {Promise<Viewer>} whose `player` seeks and plays, and whose `close()` ends it and empties the element.
 */
export async function showClip(root, data, { title = "", media = null, keyboard = root } = {}) {
  return new Viewer(root, await Clip.read(data), { title, media, keyboard });
}

/** Puts the panes, the time bar and the question together. */
export class Viewer {
  constructor(root, clip, { title, media, keyboard }) {
    root.classList.add("nearfar-viewer");
    root.innerHTML = MARKUP;
    this.root = root;
    this.clip = clip;
    this.several = clip.people.length > 1;
    this.compares = clip.sets.length > 1;
    this.look = {
      colours: null, overlay: true, colouring: this.several ? "people" : "sides", layout: "over",
      hiddenSets: new Set(), hiddenPeople: new Set(), hover: null, picked: [null, null],
    };
    this.$("title").textContent = title;
    this.$("title").hidden = !title;
    this.scene = clip.sets.length ? new Scene(this.$("scene"), clip) : null;
    this.source = clip.size && (clip.keypoints || media) ? new Source(this.$("source"), clip) : null;
    this.video = media?.type.startsWith("video/") ? this.$("video") : null;
    this.player = new Player(clip, this.video, { show: () => this.redraw(), state: (playing) => this.showPlaying(playing) });
    this.picture = null;
    this.queued = false;
    this.written = 0;
    this.answered = "";
    this.closing = new AbortController();
    this.resizing = new ResizeObserver(() => this.fitCanvases());
    this.showWhatThereIs(media);
    this.listen(keyboard);
    if (media) this.load(media);
    this.setColouring(this.look.colouring);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.setTheme(dark.matches ? "dark" : "light"), { signal: this.closing.signal });
    this.setTheme(dark.matches ? "dark" : "light");
  }

  /** A part of the viewer by its id. */
  $(id) {
    return this.root.querySelector(`#${id}`);
  }

  close() {
    this.player.pause();
    this.closing.abort();
    this.resizing.disconnect();
    if (this.url) URL.revokeObjectURL(this.url);
    this.root.replaceChildren();
    this.root.classList.remove("nearfar-viewer");
    for (const name of ["frame", "theme"]) delete this.root.dataset[name];
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  /** Draw everything at the next opportunity; once, however often it is asked for. */
  redraw() {
    if (this.queued || !this.look.colours) return;
    this.queued = true;
    requestAnimationFrame((now) => {
      this.queued = false;
      if (this.closing.signal.aborted) return;
      const { clip, player, look, video } = this;
      const { frame } = player;
      this.scene?.draw(frame, look);
      if (!video?.seeking) this.source?.draw(frame, this.picture, look);
      this.root.dataset.frame = frame;
      if (player.playing && now - this.written < TEXT_EVERY) return;
      this.written = now;
      this.showTime(frame);
      this.showAnswer(frame);
      this.showEmptiness(frame);
    });
  }

  /** Dark or light; the colours themselves are in the style sheet. */
  setTheme(theme) {
    this.root.dataset.theme = theme;
    this.look.colours = coloursOf(this.root);
    this.fitCanvases();
  }

  fitCanvases() {
    const main = this.$("main");
    if (this.source && this.scene) {
      const [width, height] = this.clip.size;
      const share = ((this.root.clientWidth * height) / width / Math.max(1, main.clientHeight)) * 100;
      main.style.setProperty("--source-share", width > 1.2 * height ? "1.3fr" : "1fr");
      main.style.setProperty("--source-height", `${Math.round(Math.min(44, Math.max(22, share)))}%`);
    }
    for (const canvas of ["scene", "source", "lanes"].map((id) => this.$(id))) {
      const ratio = Math.min(3, window.devicePixelRatio || 1);
      canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    }
    this.drawTimeline();
    this.redraw();
  }

  drawTimeline() {
    drawLanes(this.$("lanes"), this.clip, this.look);
  }

  setColouring(colouring) {
    this.look.colouring = colouring;
    for (const item of this.root.querySelectorAll(".legend .side")) item.hidden = colouring === "people";
    this.redraw();
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  showTime(frame) {
    const { clip, player } = this;
    this.$("slider").value = frame;
    const seconds = clip.time[frame] - clip.time[0];
    const minutes = Math.floor(seconds / 60);
    const clock = minutes ? `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}` : `${seconds.toFixed(2)} s`;
    const text = `${clock} · frame ${clip.frameIndex[frame]}/${clip.frameIndex[clip.frames - 1]}`;
    this.$("clock").textContent = text;
    if (!player.playing) this.$("slider").setAttribute("aria-valuetext", text);
    if (this.compares) this.$("difference").title = this.$("difference").textContent = this.differenceAt(frame);
  }

  /** Why the 3D view is empty, where it is. */
  showEmptiness(frame) {
    const { clip } = this;
    const some = (seen) => clip.people.some((_, person) => seen(person));
    const at = [0, 0, 0];
    this.$("nobody").hidden = !this.scene || some((person) => clip.place(frame, person, at));
    this.$("nobody").textContent = some((person) => clip.isPresent(frame, person)) ? "No 3D joints in this frame" : "Nobody in this frame";
  }

  /** "23 mm from truth", for every comparison. */
  differenceAt(frame) {
    const told = this.clip.sets.slice(1).map(({ name }, i) => {
      const mm = this.clip.differences(i + 1)[frame];
      return mm === mm ? `${mm.toFixed(0)} mm from ${name}` : `${name} missing`;
    });
    return told.join(", ");
  }

  showPlaying(playing) {
    this.$("play").classList.toggle("playing", playing);
    this.$("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    this.$("answer").setAttribute("aria-live", playing ? "off" : "polite"); // nobody wants ten answers a second read out
    this.redraw();
  }

  step(by) {
    this.player.pause();
    this.player.seek(this.player.frame + by);
  }

  /** Go on or back by seconds. */
  leap(seconds) {
    const { clip, player } = this;
    player.seek(clip.frameAt(clip.time[player.frame] - clip.time[0] + seconds));
  }

  changeSpeed(by) {
    const select = this.$("speed");
    select.selectedIndex = Math.min(select.options.length - 1, Math.max(0, select.selectedIndex + by));
    this.player.setSpeed(Number(select.value));
  }

  // --- the question --------------------------------------------------------------------------------------------------

  setPicked(picked) {
    this.look.picked = picked;
    ["joint-a", "joint-b"].forEach((id, i) => (this.$(id).value = picked[i] ? `${picked[i].person}:${picked[i].joint}` : ""));
    this.$("clear").hidden = !picked.some(Boolean);
    this.redraw();
  }

  choose({ person, joint }) {
    const [a, b] = this.look.picked;
    if (!a || b) this.setPicked([{ person, joint }, null]);
    else if (a.person === person && a.joint === joint) this.setPicked([null, null]);
    else this.setPicked([a, { person, joint }]);
  }

  showAnswer(frame) {
    const parts = answer(this.clip, frame, this.look.picked);
    const text = parts.map((part) => part.text).join(" ");
    if (text === this.answered) return;
    this.answered = text;
    this.$("answer").replaceChildren(...parts.flatMap((part) => [this.answerPart(part), " "]));
  }

  /** A piece of the answer; how sure it is opens what that means. */
  answerPart({ text, kind, title }) {
    const part = document.createElement({ strong: "strong", certainty: "button" }[kind] ?? "span");
    if (kind && kind !== "strong") part.className = kind;
    if (title) part.title = title;
    if (kind === "certainty") part.addEventListener("click", () => this.$("help").showModal());
    part.textContent = text;
    return part;
  }

  // --- pointer and view ----------------------------------------------------------------------------------------------

  showTip(canvas, spot) {
    const { clip, look } = this;
    const tip = this.$("tip");
    canvas.classList.toggle("over-joint", Boolean(spot));
    tip.hidden = !spot;
    if (spot) {
      canvas.parentElement.append(tip);
      tip.textContent = clip.spoken(spot) + (this.compares ? this.apart(spot) : "");
      const half = tip.offsetWidth / 2 + 6;
      tip.style.left = `${Math.min(canvas.clientWidth - half, Math.max(half, spot.x))}px`;
      tip.style.top = `${Math.max(44, spot.y)}px`;
    }
    if (spot?.person !== look.hover?.person || spot?.joint !== look.hover?.joint) {
      look.hover = spot;
      this.redraw();
    }
  }

  /** How far the comparison has a joint from where the first poses have it. */
  apart({ set, person, joint }) {
    const mm = this.clip.distance(set || 1, this.player.frame, person, joint);
    return mm === mm ? ` · ${mm.toFixed(0)} mm apart` : "";
  }

  watchPane(view, gestures) {
    const { canvas } = view;
    const after = (change) => (...values) => {
      change(...values);
      this.redraw();
    };
    watchGestures(canvas, Object.fromEntries(Object.entries(gestures).map(([name, change]) => [name, after(change)])));
    watchJoints(canvas, (x, y, reach) => view.pick(x, y, reach, this.look.hiddenPeople), {
      hover: (spot) => this.showTip(canvas, spot),
      choose: (spot) => this.choose(spot),
    });
  }

  markView(view = null) {
    for (const button of this.root.querySelectorAll("[data-view]"))
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }

  setView(view) {
    this.scene?.orbit.set(view);
    this.markView(view === "home" ? null : view);
    this.source?.reset();
    this.redraw();
  }

  /** Change the 3D view; it is none of the named ones any more. */
  orbit(method, ...values) {
    this.scene?.orbit[method](...values);
    this.markView();
    this.redraw();
  }

  // --- setting up ----------------------------------------------------------------------------------------------------

  showWhatThereIs(media) {
    const { clip, scene, source } = this;
    this.$("source-pane").hidden = !source;
    this.$("scene-pane").hidden = !scene;
    this.$("main").classList.toggle("no-source", !source);
    this.$("main").classList.toggle("no-scene", !scene);
    this.$("main").classList.toggle("crowded", this.compares || clip.people.length > 3); // no room for it on a phone
    this.$("nothing").hidden = Boolean(scene || source);
    this.$("time").hidden = clip.frames < 2;
    this.$("lanes").style.height = `${lanesHeight(clip)}px`;
    this.$("difference").hidden = this.$("layout").hidden = !this.compares;
    this.$("lanes").title = this.compares ? `Difference, up to ${greatestDifference(clip).toFixed(0)} mm` : "";
    this.$("question").hidden = !(scene && clip.camera);
    this.$("overlay-switch").hidden = !(media && clip.keypoints);
    this.$("colouring").hidden = !this.several;
    this.$("colouring").value = this.look.colouring;
    this.$("no-media").hidden = Boolean(media);
    fillFacts(this);
    fillLegend(this);
    fillFollow(this);
    fillJoints(this);
  }

  load(media) {
    const failed = () => {
      this.$("media-error").hidden = false;
      this.player.video = null;
      this.redraw();
    };
    const loaded = (picture) => {
      this.picture = picture;
      if (this.video) this.player.seek(this.player.frame);
      this.redraw();
    };
    this.url = URL.createObjectURL(media);
    const picture = this.video ?? new Image();
    picture.addEventListener(this.video ? "loadeddata" : "load", () => loaded(picture));
    picture.addEventListener("error", failed);
    picture.src = this.url;
  }

  listen(keyboard) {
    const { player, look, scene, source } = this;
    const on = (id, event, act) => this.$(id).addEventListener(event, (happened) => act(happened.target));
    this.$("slider").max = this.clip.frames - 1;
    on("slider", "input", ({ value }) => player.seek(Number(value)));
    on("play", "click", () => player.toggle());
    on("back", "click", () => this.step(-1));
    on("forward", "click", () => this.step(1));
    on("speed", "change", ({ value }) => player.setSpeed(Number(value)));
    on("overlay", "change", ({ checked }) => ((look.overlay = checked), this.redraw()));
    on("follow", "change", ({ value }) => ((scene.follow = value), this.redraw()));
    on("layout", "change", ({ value }) => ((look.layout = value), this.redraw()));
    on("colouring", "change", ({ value }) => this.setColouring(value));
    on("clear", "click", () => this.setPicked([null, null]));
    on("help-open", "click", () => this.$("help").showModal());
    on("theme", "click", () => this.setTheme(this.root.dataset.theme === "dark" ? "light" : "dark"));
    for (const button of this.root.querySelectorAll("[data-view]"))
      button.addEventListener("click", () => this.setView(button.dataset.view));
    watchKeys(this, keyboard, this.closing.signal);
    this.resizing.observe(this.$("main"));
    if (scene)
      this.watchPane(scene, {
        drag: (dx, dy) => this.orbit("turn", dx / 160, dy / 160),
        pan: (dx, dy) => this.orbit("pan", dx, dy),
        magnify: (factor) => this.orbit("magnify", factor),
        reset: () => this.setView("home"),
      });
    if (source)
      this.watchPane(source, {
        drag: (dx, dy) => source.pan(dx, dy),
        pan: (dx, dy) => source.pan(dx, dy),
        magnify: (factor, x, y) => source.magnify(factor, x, y),
        reset: () => source.reset(),
      });
  }
}
