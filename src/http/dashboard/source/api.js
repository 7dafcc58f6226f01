/** Requests to the admin server: path prefix, token, and problems that explain themselves. */

const base = document.querySelector('meta[name="plimsoll-base"]')?.content ?? "";
const KEY = "plimsoll-token";

let kept = null;
let asking = null;
/** A person would not give it: what runs by itself does not ask again. */
let isDeclined = false;
let askForToken = async () => null;

/** How a person is asked for the token: a function that resolves to it, or to null. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/** What went wrong, with the words and fields of the server's problem where it gave one. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || (status ? `The server answered ${status}.` : "The server cannot be reached."));
    this.status = status;
    this.title = body?.title ?? null;
    this.errors = Array.isArray(body?.errors) ? body.errors : [];
  }
}

export const url = (path) => `${base}/api/system/${path}`;

/** The token that was typed; kept for this tab only. */
export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? kept;
  } catch {
    return kept;
  }
}

function keep(value) {
  kept = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Without storage it lasts until the page is left.
  }
}

/** Asks once, however many requests wait for it. True when there is a new token. */
async function renew(refused) {
  if (token() !== refused) return true;
  if (isDeclined) return false;
  asking ??= askForToken(refused !== null).finally(() => {
    asking = null;
  });
  const given = await asking;
  if (given) keep(given);
  isDeclined = !given;
  return Boolean(given);
}

/** A person wants to be asked again. */
export function askAgain() {
  isDeclined = false;
}

/** In milliseconds. A connection that was cut off somewhere is not told: without an end nothing would be asked any more. */
const GET_PATIENCE = 15_000;
/** The server waits for an action for 30 seconds. */
const POST_PATIENCE = 45_000;

export const get = (path) => call("GET", path);

/** A person's command: worth a question. */
export function post(path, body) {
  askAgain();
  return call("POST", path, body);
}

async function call(method, path, body) {
  for (;;) {
    const sent = token();
    const headers = { Accept: "application/json" };
    if (sent) headers.Authorization = `Bearer ${sent}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(url(path), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        signal: AbortSignal.timeout(method === "GET" ? GET_PATIENCE : POST_PATIENCE),
        credentials: "same-origin",
      });
    } catch {
      throw new Problem(0, null);
    }
    if (response.status === 401 && (await renew(sent))) continue;
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new Problem(response.status, answer);
    return answer;
  }
}
