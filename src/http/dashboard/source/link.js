/** The live stream: connects by itself, again and again, and says how it stands. */

import { get, token, url } from "./api.js";

const SOONEST = 250;
const LATEST = 5000;
/** A sample comes every second; a stream that is silent for this long is dead. */
const SILENCE = 6000;

/**
 * @param {(message: object) => void} onMessage
 * @param {(state: "live" | "connecting" | "lost", reason: string | null) => void} onState
 */
export function connect(onMessage, onState) {
  let socket = null;
  let wait = SOONEST;
  let timer = 0;
  let watch = 0;

  function open() {
    clearTimeout(timer);
    if (socket) return;
    let isGreeted = false;
    const address = new URL(url("live"), location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const current = new WebSocket(address, protocols());
    socket = current;
    heard(false);
    current.onmessage = ({ data }) => {
      if (socket !== current) return;
      heard(true);
      const message = read(data);
      if (!message) return;
      if (!isGreeted) {
        isGreeted = true;
        wait = SOONEST;
        onState("live", null);
      }
      onMessage(message);
    };
    current.onclose = ({ code }) => {
      if (socket === current) again(code, isGreeted);
    };
  }

  function heard(isLive) {
    clearTimeout(watch);
    watch = setTimeout(() => {
      const silent = socket;
      again(0, isLive);
      silent?.close();
    }, SILENCE);
  }

  function again(code, wasLive) {
    socket = null;
    clearTimeout(watch);
    const isRestart = code === 1012;
    onState(isRestart || wasLive ? "connecting" : "lost", isRestart ? "restart" : null);
    // Jitter, so that many pages do not come back in the same instant.
    const delay = wait * (0.75 + Math.random() / 2);
    wait = Math.min(wait * 2, LATEST);
    timer = setTimeout(wasLive ? open : probe, delay);
  }

  /** A browser does not say why a WebSocket was refused. A fetch does: it asks for the token on 401. */
  async function probe() {
    try {
      await get("memory-stats");
    } catch {
      // Unreachable: the next try says so.
    }
    open();
  }

  // Back on the network or on the screen: do not sit out a long wait.
  const hurry = () => {
    if (socket || document.hidden) return;
    wait = SOONEST;
    open();
  };
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
  onState("connecting", null);
  open();
}

function protocols() {
  const given = token();
  return given ? ["plimsoll", `bearer.${base64url(given)}`] : ["plimsoll"];
}

function base64url(text) {
  const binary = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function read(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
