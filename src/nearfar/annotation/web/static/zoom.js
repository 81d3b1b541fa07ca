// Zooming and moving a picture in its frame. A view is {scale, x, y}: a place p of the fitted picture is shown at
// p * scale + (x, y), all in pixels of the screen; scale 1 shows the whole picture.

export const MOST = 12;
const STEP = 1.5;

/** How a picture of width x height fits into the frame: {scale, width, height}, as large as possible. */
export function fit(width, height, frame) {
  const scale = Math.min(frame.width / width, frame.height / height);
  return { scale, width: width * scale, height: height * scale };
}

/** The view nearest to `view` that leaves no more empty space than it must. */
export function clamped(view, fitted, frame) {
  const scale = Math.min(MOST, Math.max(1, view.scale));
  const along = (offset, size, room) =>
    size * scale <= room ? (room - size * scale) / 2 : Math.min(0, Math.max(room - size * scale, offset));
  return { scale, x: along(view.x, fitted.width, frame.width), y: along(view.y, fitted.height, frame.height) };
}

/** Zoom by a factor around a point of the frame, which stays where it is. */
export function zoomedAt(view, factor, point, fitted, frame) {
  const scale = Math.min(MOST, Math.max(1, view.scale * factor));
  const ratio = scale / view.scale;
  const moved = { scale, x: point.x - (point.x - view.x) * ratio, y: point.y - (point.y - view.y) * ratio };
  return clamped(moved, fitted, frame);
}

/** Where a place of the picture (its own pixels) is shown in the frame. */
export function shownAt(place, view, fitted) {
  return { x: place.x * fitted.scale * view.scale + view.x, y: place.y * fitted.scale * view.scale + view.y };
}

/** Zooms a picture by wheel, fingers, double click and calls; tells `changed` whenever it looks different. */
export class Zoom {
  #pointers = new Map();
  #tapped = 0;
  #moved = false;

  constructor(element, changed) {
    this.element = element;
    this.changed = changed;
    this.view = { scale: 1, x: 0, y: 0 };
    this.size = { width: 1, height: 1 };
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) element.addEventListener(type, (event) => this.#up(event));
    new ResizeObserver(() => this.#set(this.view)).observe(element);
  }

  get frame() {
    return { width: this.element.clientWidth, height: this.element.clientHeight };
  }

  get fitted() {
    return fit(this.size.width, this.size.height, this.frame);
  }

  /** Show a picture of this size, whole. */
  reset(size = this.size) {
    this.size = size;
    this.#set({ scale: 1, x: 0, y: 0 });
  }

  in() {
    this.#by(STEP);
  }

  out() {
    this.#by(1 / STEP);
  }

  /** Move the picture, by fractions of the frame. */
  pan(right, down) {
    const { width, height } = this.frame;
    this.#set({ ...this.view, x: this.view.x - right * width, y: this.view.y - down * height });
  }

  /** Where a place of the picture is in the frame. */
  shown(place) {
    return shownAt(place, this.view, this.fitted);
  }

  #by(factor, point = { x: this.frame.width / 2, y: this.frame.height / 2 }) {
    this.#set(zoomedAt(this.view, factor, point, this.fitted, this.frame));
  }

  #set(view) {
    this.view = clamped(view, this.fitted, this.frame);
    this.element.classList.toggle("zoomed", this.view.scale > 1.001);
    this.changed();
  }

  #point(event) {
    const box = this.element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    this.#by(Math.exp(-Math.max(-120, Math.min(120, pixels)) * (event.ctrlKey ? 0.01 : 0.003)), this.#point(event));
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest("button")) return;
    this.element.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#point(event));
    this.#moved = this.#pointers.size > 1;
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#point(event);
    if (this.#pointers.size === 1) {
      if (Math.hypot(now.x - before.x, now.y - before.y) < 3 && !this.#moved) return;
      this.#set({ ...this.view, x: this.view.x + now.x - before.x, y: this.view.y + now.y - before.y });
    } else {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
      const middle = { x: (before.x + other.x) / 2, y: (before.y + other.y) / 2 };
      const shift = { x: (now.x - before.x) / 2, y: (now.y - before.y) / 2 };
      const apart = Math.hypot(before.x - other.x, before.y - other.y) || 1;
      this.#by(Math.hypot(now.x - other.x, now.y - other.y) / apart, middle);
      this.#set({ ...this.view, x: this.view.x + shift.x, y: this.view.y + shift.y });
    }
    this.#moved = true;
    this.#pointers.set(event.pointerId, now);
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId) || this.#moved || event.type === "pointercancel") return;
    const twice = event.timeStamp - this.#tapped < 350;
    this.#tapped = twice ? 0 : event.timeStamp;
    if (!twice) return;
    if (this.view.scale > 1.001) this.reset();
    else this.#by(2.5, this.#point(event));
  }
}
