// Copies the completion code.

import { texts } from "./texts.js";

/** @param {{config: object, signal: AbortSignal}} page */
export function start({ config, signal }) {
  const button = document.getElementById("copy");
  if (!button) return;
  const t = texts(config.texts);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("code").textContent.trim());
    document.getElementById("copied").textContent = t("copied");
  }, { signal });
}
