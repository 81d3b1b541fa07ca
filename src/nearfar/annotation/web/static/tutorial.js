// The tutorial: marks in the examples' pictures, and the time that reading takes at least (the server checks it too).

import { Images } from "./images.js";
import { draw } from "./marks.js";
import { texts } from "./texts.js";
import { fit } from "./zoom.js";

/** @param {{config: object, api: import("./api.js").Api, signal: AbortSignal}} page */
export function start({ config, api, signal }) {
  const images = new Images(api);
  for (const picture of document.querySelectorAll(".picture[data-image]")) show(picture, images, signal).catch(() => {});
  countDown(config, texts(config.texts), signal);
}

// A picture that the server has lost leaves its place empty: the words say what it showed.
async function show(picture, images, signal) {
  const { image: address, width, height, ax, ay, bx, by } = picture.dataset;
  picture.prepend(await images.get(address));
  const svg = picture.querySelector("svg");
  const redraw = () => {
    const frame = { width: picture.clientWidth, height: picture.clientHeight };
    const fitted = fit(Number(width), Number(height), frame);
    const place = (x, y) => ({
      x: x * fitted.scale + (frame.width - fitted.width) / 2,
      y: y * fitted.scale + (frame.height - fitted.height) / 2,
    });
    draw(svg, place(ax, ay), place(bx, by), frame);
  };
  const observer = new ResizeObserver(redraw);
  observer.observe(picture);
  signal.addEventListener("abort", () => observer.disconnect());
}

function countDown(config, t, signal) {
  const button = document.getElementById("go");
  const told = document.getElementById("wait");
  if (!button || !told) return;
  const end = performance.now() + config.wait_seconds * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    button.setAttribute("aria-disabled", String(left > 0));
    told.textContent = left > 0 ? t("wait_seconds", { seconds: left }) : "";
    if (left > 0 && !signal.aborted) setTimeout(tick, 250);
  };
  button.addEventListener("click", (event) => {
    if (button.getAttribute("aria-disabled") === "true") event.preventDefault();
  }, { signal });
  tick();
}
