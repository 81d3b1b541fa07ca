// Requests to the server, and what can go wrong with them in words that the rest of the page understands.

/** Why a request failed: "offline", "busy" (too many requests of ours, or of all), "server", "signed_out", "forbidden" or "refused". */
export class Failure extends Error {
  constructor(kind, status = 0, retryAfter = 0) {
    super(kind);
    this.kind = kind;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

function kindOf(status) {
  if (status === 401) return "signed_out";
  if (status === 403) return "forbidden";
  if (status === 408 || status === 429 || status === 503) return "busy";
  return status >= 500 ? "server" : "refused";
}

/** The server, as one person: signed in by a cookie, or by a token where the page may have no cookies (in a frame). */
export class Api {
  constructor({ csrf = "", bearer = "", timeout = 20000 } = {}) {
    this.bearer = bearer;
    this.timeout = timeout;
    this.headers = bearer ? { Authorization: `Bearer ${bearer}` } : { "X-CSRF-Token": csrf };
  }

  /** Send JSON, get JSON. Requests with `keepalive` are finished even where the page is closed meanwhile. */
  async post(path, body, { keepalive = false } = {}) {
    const headers = { ...this.headers, "Content-Type": "application/json", Accept: "application/json" };
    const response = await this.#fetch(path, { method: "POST", headers, body: JSON.stringify(body), keepalive });
    try {
      return await response.json();
    } catch {
      throw new Failure("offline"); // the connection broke in the middle of the answer
    }
  }

  /** Get a picture. */
  async blob(path) {
    const response = await this.#fetch(path, { headers: this.#identity() });
    try {
      return await response.blob();
    } catch {
      throw new Failure("offline");
    }
  }

  /** A page as text, and where it was found after redirections. */
  async page(path, options = {}) {
    const response = await fetch(path, { ...options, headers: { ...this.#identity(), Accept: "text/html" } });
    return { text: await response.text(), url: response.url };
  }

  #identity() {
    return this.bearer ? this.headers : {};
  }

  async #fetch(path, options) {
    let response;
    try {
      response = await fetch(path, { ...options, credentials: "same-origin", signal: AbortSignal.timeout(this.timeout) });
    } catch {
      throw new Failure("offline");
    }
    if (response.ok) return response;
    throw new Failure(kindOf(response.status), response.status, Number(response.headers.get("Retry-After")) || 0);
  }
}
