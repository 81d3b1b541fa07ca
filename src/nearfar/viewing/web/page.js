import { bytes } from "./data.js";
import { showClip } from "./viewer.js";

/** A page that is nothing but a viewer: its clip and media are in the page. */

const [data, media] = ["data", "media"].map((id) => document.getElementById(id));
const type = media.dataset.mime;
await showClip(document.getElementById("viewer"), JSON.parse(data.textContent), {
  title: document.title,
  media: type ? new Blob([bytes(media.textContent)], { type }) : null,
  keyboard: window,
});
