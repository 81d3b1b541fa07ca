/** The keyboard: everything that the mouse does. */

const TURNS = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] };
const KEYS = {
  " ": (viewer) => viewer.player.toggle(),
  ArrowLeft: (viewer) => viewer.step(-1),
  ArrowRight: (viewer) => viewer.step(1),
  Home: (viewer) => viewer.step(-viewer.clip.frames),
  End: (viewer) => viewer.step(viewer.clip.frames),
  PageUp: (viewer) => viewer.leap(-1),
  PageDown: (viewer) => viewer.leap(1),
  "[": (viewer) => viewer.changeSpeed(-1),
  "]": (viewer) => viewer.changeSpeed(1),
  1: (viewer) => viewer.setView("front"),
  2: (viewer) => viewer.setView("side"),
  3: (viewer) => viewer.setView("top"),
  0: (viewer) => viewer.setView("home"),
  a: (viewer) => viewer.orbit("pan", 24, 0),
  d: (viewer) => viewer.orbit("pan", -24, 0),
  w: (viewer) => viewer.orbit("pan", 0, 24),
  s: (viewer) => viewer.orbit("pan", 0, -24),
  "+": (viewer) => viewer.orbit("magnify", 1.15),
  "=": (viewer) => viewer.orbit("magnify", 1.15),
  "-": (viewer) => viewer.orbit("magnify", 1 / 1.15),
  Escape: (viewer) => viewer.setPicked([null, null]),
  "?": (viewer) => viewer.$("help").showModal(),
};

/** Obey the keys that reach `keyboard`, an element or the window, until the signal. */
export function watchKeys(viewer, keyboard, signal) {
  const obey = (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || viewer.$("help").open || target.tagName === "SELECT") return;
    if (key === " " && target.matches?.("button, input[type=checkbox]")) return;
    if (event.shiftKey && TURNS[key] && viewer.scene) viewer.orbit("turn", ...TURNS[key]);
    else if (KEYS[key]) KEYS[key](viewer);
    else return;
    event.preventDefault();
  };
  keyboard.addEventListener("keydown", obey, { signal });
}
