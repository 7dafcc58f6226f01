/** Am I safe: the level, how much room there is, and for how long. */

import { byId, setText } from "./dom.js";
import { about, bytes, count, duration, isNumber, isSure, many, percent, sentence, time, UNKNOWN } from "./format.js";
import * as hull from "./hull.js";
import { LEVELS, LEVEL_WORDS, named, SIGNALS, SOURCES } from "./names.js";

let lastLevel = null;
let lastAllocations = null;
let lastRate = "";

/** The ratio by which levels are judged. */
export function decidingRatio(utilization) {
  if (!utilization) return null;
  const larger = Math.max(utilization.heap ?? 0, utilization.resident ?? 0);
  const base = utilization.deciding === "drill" ? larger : utilization[utilization.deciding];
  return isNumber(base) ? base + (utilization.growth ?? 0) : null;
}

export function show(sample, levels) {
  const { heap, process, limit, utilization, leak } = sample;
  const level = LEVELS.includes(sample.level) ? sample.level : null;
  const ratio = decidingRatio(utilization);
  const isDrill = utilization?.deciding === "drill";
  const held = Math.max(heap?.live_bytes ?? 0, process?.anonymous_bytes ?? 0);
  const room = limit ? limit.bytes - held : null;

  document.documentElement.dataset.level = level ?? "unknown";
  setText("level", level ?? UNKNOWN);
  setText("level-words", [isDrill ? `A drill pretends ${percent(ratio)}.` : "", levelWords(level, leak)].filter(Boolean).join(" "));
  byId("level-words").dataset.leak = leak?.verdict !== "leak" ? "no" : isSure(leak.confidence) ? "sure" : "perhaps";
  setText("headroom", headroom(room, limit));
  setText("time-to-limit", timeToLimit(leak, room));

  setText("live-bytes", bytes(heap?.live_bytes));
  setText("live-share", share(heap?.live_bytes, limit));
  setText("resident-bytes", bytes(process?.anonymous_bytes));
  setText("resident-share", share(process?.anonymous_bytes, limit));
  setText("limit-bytes", limit ? bytes(limit.bytes) : "no limit found");
  setText("limit-source", limit ? named(SOURCES, limit.source) : "");
  setText("peak-bytes", bytes(heap?.peak_bytes));
  setText("live-blocks", heap ? `${count(heap.live_blocks)} by ${many(heap.threads, "thread")}` : UNKNOWN);
  setText("allocation-rate", rate(sample));
  setText("given-back", bytes(sample.given_back_bytes));
  setText("uptime", duration(sample.uptime_seconds));
  showAge(sample);

  hull.draw(byId("hull"), {
    deciding: ratio,
    // What is really held, even when a drill says otherwise.
    heap: limit ? (heap?.live_bytes ?? 0) / limit.bytes : 0,
    resident: limit ? (process?.anonymous_bytes ?? 0) / limit.bytes : 0,
    level,
    levels,
    label: label(sample, ratio, room, levels),
  });
  const title = level && level !== "normal" ? `${level}, ${percent(ratio)} – Plimsoll` : "Plimsoll";
  if (document.title !== title) document.title = title;
  announce(level, ratio, sample);
}

/** A level looks at what is, a leak at what will be: "nothing has to be done" is said when neither objects. */
function levelWords(level, leak) {
  const words = LEVEL_WORDS[level] ?? "";
  if (leak?.verdict !== "leak") return words;
  const is = isSure(leak.confidence) ? "there is a leak" : "there may be a leak";
  const until = isNumber(leak.seconds_to_limit) ? `at this rate the limit is reached in about ${about(leak.seconds_to_limit)}` : "at this rate it does not reach the limit";
  if (level === "normal") return `The level is normal, but ${is}: ${until}.`;
  return `${words} ${sentence(is)}: ${until}.`.trimStart();
}

function headroom(room, limit) {
  if (!isNumber(room)) return limit === null ? "no limit found" : UNKNOWN;
  if (room < 0) return `none: ${bytes(-room)} over the limit`;
  return `${bytes(room)}, ${percent(room / limit.bytes)}`;
}

function timeToLimit(leak, room) {
  if (isNumber(room) && room <= 0) return "reached";
  if (!leak) return UNKNOWN;
  if (!isNumber(leak.seconds_to_limit)) return leak.verdict === "insufficient" ? "too early to say" : "never at this rate";
  return duration(leak.seconds_to_limit);
}

const share = (part, limit) => (isNumber(part) && limit?.bytes ? `${percent(part / limit.bytes)} of the limit` : "");

/** Nothing until there are two samples of one image. */
function rate(sample) {
  const now = { at: sample.at_unix_seconds, allocations: sample.heap?.allocations };
  if (!isNumber(now.allocations)) return UNKNOWN;
  const before = lastAllocations;
  const seconds = before ? now.at - before.at : 0;
  const more = before ? now.allocations - before.allocations : 0;
  // The same sample again: the same rate.
  if (before && seconds >= 0 && seconds < 0.2 && more >= 0) return lastRate;
  lastAllocations = now;
  lastRate = before && seconds > 0 && more >= 0 ? `${count(more / seconds)} a second` : "";
  return lastRate;
}

export function showAge(sample) {
  const element = byId("last-sample");
  element.dataset.at = sample.at_unix_seconds;
  if (isNumber(sample.at_unix_seconds)) element.dateTime = new Date(sample.at_unix_seconds * 1000).toISOString();
  setText(element, time(sample.at_unix_seconds));
  const states = [
    sample.is_shedding && "new work is refused",
    sample.is_draining && "open requests are being answered before a restart",
  ].filter(Boolean);
  setText("states", states.length > 0 ? `. Now: ${states.join("; ")}.` : "");
}

function label({ level, limit, utilization }, ratio, room, levels) {
  const signal = named(SIGNALS, utilization?.deciding);
  const marks = LEVELS.slice(1)
    .filter((name) => isNumber(levels?.[name]?.enter))
    .map((name) => `${name} at ${percent(levels[name].enter)}`);
  return [
    `A hull that is loaded to ${percent(ratio)} of the limit of ${bytes(limit?.bytes)}, by ${signal}.`,
    `Level ${level ?? UNKNOWN}, ${bytes(room)} of room.`,
    marks.length > 0 ? `Lines: ${marks.join(", ")}.` : "",
  ].join(" ");
}

/** Only a change of level is worth saying aloud. */
function announce(level, ratio, { utilization, leak }) {
  if (level === lastLevel) return;
  if (lastLevel !== null) {
    const signal = named(SIGNALS, utilization?.deciding);
    setText("announce", `Level ${level ?? UNKNOWN}, was ${lastLevel}: ${signal} at ${percent(ratio)}. ${levelWords(level, leak)}`);
  }
  lastLevel = level;
}
