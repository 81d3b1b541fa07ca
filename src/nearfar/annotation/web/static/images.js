// Pictures, fetched and decoded before they are needed, so that the next question appears at once.

const TOGETHER = 3;

/** Decoded pictures by address. They are fetched (not linked), so that the same way works with cookies and with tokens. */
export class Images {
  #kept = new Map(); // address -> {promise, url}
  #queue = [];
  #running = 0;

  constructor(api, wait = (attempt) => Math.min(15000, 400 * 2 ** attempt)) {
    this.api = api;
    this.wait = wait;
  }

  /** The decoded <img> of an address. Tries until it succeeds; rejects only where the server refuses it. */
  get(address) {
    return this.#entry(address, true).promise;
  }

  /** The decoded <img>, where it is there already; else null. */
  ready(address) {
    return this.#kept.get(address)?.image ?? null;
  }

  /** Fetch these, in this order, and forget all others. */
  prepare(addresses) {
    const wanted = new Set(addresses);
    for (const [address, entry] of this.#kept) {
      if (wanted.has(address)) continue;
      this.#kept.delete(address);
      entry.dropped = true;
      if (entry.url) URL.revokeObjectURL(entry.url);
    }
    for (const address of wanted) this.#entry(address, false);
  }

  #entry(address, urgent) {
    let entry = this.#kept.get(address);
    if (!entry) {
      entry = { dropped: false, url: null, image: null };
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      entry.promise.catch(() => {}); // who asks for it hears of it
      this.#kept.set(address, entry);
      this.#queue[urgent ? "unshift" : "push"]({ address, entry });
      this.#work();
    } else if (urgent) {
      this.#queue.sort((first, second) => (second.entry === entry) - (first.entry === entry));
    }
    return entry;
  }

  async #work() {
    if (this.#running >= TOGETHER) return;
    const job = this.#queue.shift();
    if (!job) return;
    this.#running += 1;
    if (!job.entry.dropped) await this.#fetch(job.address, job.entry);
    this.#running -= 1;
    this.#work();
  }

  async #fetch(address, entry) {
    for (let attempt = 0; !entry.dropped; attempt += 1) {
      try {
        const url = URL.createObjectURL(await this.api.blob(address));
        const image = new Image();
        image.alt = "";
        image.draggable = false;
        image.src = url;
        entry.url = url;
        await image.decode();
        entry.image = image;
        entry.resolve(image);
        return;
      } catch (failure) {
        if (["refused", "forbidden", "signed_out"].includes(failure.kind)) {
          this.#kept.delete(address);
          entry.reject(failure);
          return;
        }
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, Math.max(this.wait(attempt), (failure.retryAfter || 0) * 1000));
          addEventListener("online", () => { clearTimeout(timer); resolve(); }, { once: true });
        });
      }
    }
  }
}
