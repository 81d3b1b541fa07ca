// Requests to the service. The session's token is kept by this tab alone, and is never part of an address.

const KEPT = "nearfar-session";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let token = sessionStorage.getItem(KEPT);

export function signedIn() {
  return token !== null;
}

export async function signIn(secret) {
  const answer = await call("POST", "/v1/sessions", { body: JSON.stringify({ secret }), type: "application/json" });
  ({ token } = await answer.json());
  sessionStorage.setItem(KEPT, token);
}

export function forget() {
  token = null;
  sessionStorage.removeItem(KEPT);
}

export async function signOut() {
  await call("DELETE", "/v1/sessions").catch(() => {});
  forget();
}

export async function call(method, path, { body, type, signal } = {}) {
  const headers = {};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (type) headers["Content-Type"] = type;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The service does not answer.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, told.detail ?? `The service answers ${answer.status}.`);
  }
  return answer;
}

// Sends a file, telling how much of it has gone (fetch cannot), and gives back the job.
export function send(path, file, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / Math.max(event.total, 1));
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else reject(new Refused(request.status, request.response?.detail ?? `The service answers ${request.status}.`));
    };
    request.onerror = () => reject(new Refused(0, "The service does not answer, or the file is larger than it takes."));
    request.onabort = () => reject(new DOMException("aborted", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
