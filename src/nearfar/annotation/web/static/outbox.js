// Answers on their way: kept in the browser until the server has confirmed them, sent in the background, tried again.

const BATCH = 100;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30000;

/** A random UUID; crypto.randomUUID exists only on secure origins. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Events that the server has not confirmed yet.
 *
 * Each event is an item of its own in the storage, so that two windows never write over each other's answers.
 * Fires "change" (what waits, or how sending goes), "receipts" (detail: what the server said of each event).
 */
export class Outbox extends EventTarget {
  #events = new Map();
  #sending = false;
  #failures = 0;
  #batch = BATCH;
  #wake = null;
  #stopped = false;

  /**
   * @param {object} options
   * @param {Storage|null} options.storage where events survive a reload; null where the browser keeps nothing
   * @param {string} options.prefix of the names of the items: of one project and one person
   * @param {(events: object[]) => Promise<object[]>} options.send resolves to the receipts
   * @param {(ms: number) => number} [options.jitter] spreads the tries of many browsers
   */
  constructor({ storage, prefix, send, jitter = (ms) => ms * (0.75 + 0.5 * Math.random()) }) {
    super();
    this.storage = storage;
    this.prefix = prefix;
    this.send = send;
    this.jitter = jitter;
    this.trouble = null; // the last failure, while nothing gets through
    this.kept = storage !== null;
    for (const event of this.#stored()) this.#events.set(event.key, event);
  }

  /** Events that wait, oldest first. */
  get waiting() {
    return [...this.#events.values()];
  }

  get size() {
    return this.#events.size;
  }

  /** Keep an event, and send it as soon as possible. */
  push(event) {
    this.#events.set(event.key, event);
    try {
      this.storage?.setItem(this.prefix + event.key, JSON.stringify(event));
    } catch {
      this.kept = false; // full, or forbidden: it is still sent while the page is open
    }
    this.#changed();
    this.flush();
  }

  /** Try now, whatever the waiting time was (the connection came back). */
  flush() {
    this.#wake?.();
    if (!this.#sending && this.size && !this.#stopped) this.#pump();
  }

  /** Send nothing any more (another window took over); what waits stays in the storage. */
  stop() {
    this.#stopped = true;
    this.#wake?.();
  }

  async #pump() {
    this.#sending = true;
    while (this.size && !this.#stopped) {
      const batch = this.waiting.slice(0, this.#batch);
      try {
        this.#settle(batch, await this.send(batch));
        this.#failures = 0;
        this.#batch = BATCH;
        this.trouble = null;
        this.#changed();
      } catch (failure) {
        if (failure.kind === "refused") this.#narrow(batch, failure);
        else await this.#pause(failure);
      }
    }
    this.#sending = false;
  }

  #settle(batch, receipts) {
    const confirmed = new Set(receipts.map((receipt) => receipt.key));
    for (const event of batch) if (confirmed.has(event.key)) this.#forget(event);
    if (receipts.length) this.dispatchEvent(new CustomEvent("receipts", { detail: receipts }));
    if (!batch.some((event) => confirmed.has(event.key))) throw Object.assign(new Error("no receipts"), { kind: "server" });
  }

  // A request that the server does not understand must not hold up the others: find the event that is to blame.
  #narrow(batch, failure) {
    if (batch.length > 1) {
      this.#batch = Math.ceil(batch.length / 2);
      return;
    }
    this.#forget(batch[0]);
    const receipt = { key: batch[0].key, status: "refused", reason: `status ${failure.status}` };
    this.dispatchEvent(new CustomEvent("receipts", { detail: [receipt] }));
    this.#changed();
  }

  async #pause(failure) {
    this.trouble = failure;
    this.#changed();
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures);
    this.#failures += 1;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(this.jitter(wait), (failure.retryAfter || 0) * 1000));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  #forget(event) {
    this.#events.delete(event.key);
    try {
      this.storage?.removeItem(this.prefix + event.key);
    } catch {
      this.kept = false;
    }
  }

  #stored() {
    const found = [];
    try {
      for (let i = 0; i < (this.storage?.length ?? 0); i += 1) {
        const name = this.storage.key(i);
        if (name.startsWith(this.prefix)) found.push(JSON.parse(this.storage.getItem(name)));
      }
    } catch {
      this.kept = false;
    }
    return found.sort((first, second) => first.answered_at - second.answered_at || first.revision - second.revision);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** The browser's storage, or null where it is switched off (private frames). */
export function browserStorage() {
  try {
    const name = "nearfar:probe";
    localStorage.setItem(name, "1");
    localStorage.removeItem(name);
    return localStorage;
  } catch {
    return null;
  }
}
