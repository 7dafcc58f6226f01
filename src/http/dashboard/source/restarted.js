/** Notices that another image answers than before, and says so. */

import { byId, h } from "./dom.js";
import { cause } from "./done.js";
import { duration, time } from "./format.js";
import { restartBetween, takeNewImage } from "./happenings.js";
import { takeBreak } from "./record.js";

let image = null;

/**
 * @param {{ started_unix_seconds: number }} now
 * @returns {{ before: object, now: object } | null} both, when it is another image
 */
export function greet(now) {
  const before = image;
  image = now;
  if (!before || before.started_unix_seconds === now.started_unix_seconds) return null;
  takeBreak(now.started_unix_seconds);
  show(before, now, null);
  return { before, now };
}

/**
 * Once the server has told what it remembers: with the cause, and a mark for it. A restart is remembered from
 * before its drain, in which the old image goes on to be seen.
 */
export function explain({ before, now }) {
  takeNewImage(before.started_unix_seconds, now.started_unix_seconds);
  show(before, now, restartBetween(before.started_unix_seconds, now.started_unix_seconds + 2));
}

function show(before, now, restart) {
  // There may have been others since this page last saw one.
  const ran = restart?.uptime_seconds ?? now.started_unix_seconds - before.started_unix_seconds;
  const why = restart && !restart.isOnlySeen ? `cause: ${cause(restart)}` : "the cause is not known yet";
  const process = before.process_id === now.process_id ? "The process id is the same." : `The process id was ${before.process_id} and is ${now.process_id}.`;
  const banner = byId("restarted");
  banner.hidden = false;
  banner.replaceChildren(
    h("p", {}, `The program was restarted at ${time(now.started_unix_seconds)}, after ${duration(ran)}; ${why}. ${process} The chart keeps what this page has seen before.`),
    h("button", { type: "button", class: "quiet", onclick: () => { banner.hidden = true; } }, "Dismiss"),
  );
}
