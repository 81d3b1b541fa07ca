/** Mouse and fingers on a canvas: drag, pan, zoom, hover and tap. */

const STILL = 6;
const REACH = { mouse: 14, touch: 26 };

/** Drag with one finger or button, pan and pinch with two fingers, pan with the right button or Ctrl, zoom by wheel. */
export function watchGestures(canvas, { drag, pan, magnify, reset }) {
  const fingers = new Map();
  const middle = () => [0, 1].map((i) => [...fingers.values()].reduce((sum, p) => sum + p[i], 0) / fingers.size);
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0;
  };
  const inside = (x, y) => {
    const box = canvas.getBoundingClientRect();
    return [x - box.left, y - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const [before, apart] = [middle(), spread()];
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const [x, y] = middle();
    const panning = fingers.size > 1 || event.buttons === 2 || event.ctrlKey || event.metaKey;
    (panning ? pan : drag)(x - before[0], y - before[1]);
    if (apart) magnify(spread() / apart, ...inside(x, y));
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    magnify(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...inside(event.clientX, event.clientY));
  }, { passive: false });
  canvas.addEventListener("dblclick", reset);
}

/** Calls `hover(spot)` with the joint under the mouse, or that a finger tapped, and `choose(spot)` on a click. */
export function watchJoints(canvas, pickAt, { hover, choose }) {
  let down = null;
  let fingers = 0;
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    return pickAt(event.clientX - box.left, event.clientY - box.top, REACH[event.pointerType] ?? REACH.mouse);
  };
  canvas.addEventListener("pointerdown", (event) => {
    fingers++;
    down = fingers === 1 && event.button === 0 ? [event.clientX, event.clientY] : null;
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (event) => {
      fingers = Math.max(0, fingers - 1);
      const still = down && name === "pointerup" && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < STILL;
      const spot = under(event);
      if (still && spot) choose(spot);
      hover(still || event.pointerType !== "touch" ? spot : null);
      down = null;
    });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons) hover(under(event));
  });
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") hover(null); // the name of a tapped joint stays until the next tap
  });
}
