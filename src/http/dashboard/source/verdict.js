/** Is it a leak: the verdict, how sure, how fast, since when, and what to do next. */

import { byId, facts, h, setText } from "./dom.js";
import { confidence, duration, isNumber, isSure, sentence, slope, time, words } from "./format.js";
import { DOUBTS, named, PATTERNS } from "./names.js";

let last = "";

export function show(leak, now) {
  const key = JSON.stringify(leak);
  if (!leak || key === last) return;
  last = key;
  const element = byId("verdict");
  element.dataset.verdict = leak.verdict;
  element.dataset.sure = String(isSure(leak.confidence));
  setText(element, headline(leak));
  facts(byId("verdict-facts"), [
    ["Pattern", words(leak.pattern)],
    ["Slope", slopeWords(leak)],
    ["Judged by", leak.subject === "resident" ? "resident memory" : words(leak.subject)],
    isNumber(leak.since_unix_seconds) && ["Since", `${time(leak.since_unix_seconds)}, for ${duration(Math.max(0, now - leak.since_unix_seconds))}`],
    ["Limit reached", reached(leak)],
    ["Severity", words(leak.severity)],
    leak.doubt && ["What speaks against a leak", named(DOUBTS, leak.doubt)],
  ]);
  const advice = leak.recommendations ?? [];
  byId("advice-title").hidden = advice.length === 0;
  byId("advice").replaceChildren(...advice.slice(0, 12).map((text) => h("li", {}, sentence(text))));
}

function headline(leak) {
  const course = named(PATTERNS, leak.pattern);
  if (leak.verdict === "leak") return `${isSure(leak.confidence) ? "A leak" : "Perhaps a leak"}, ${confidence(leak.confidence)} sure: ${course}.`;
  if (leak.verdict === "no_leak") return `No leak, ${confidence(leak.confidence)} sure: ${course}.`;
  if (leak.verdict === "insufficient") return "Too early to say: it has not been seen for long enough.";
  return `${sentence(words(leak.verdict))}: ${course}.`;
}

function slopeWords(leak) {
  if (!isNumber(leak.slope_bytes_per_hour) || (leak.verdict === "insufficient" && leak.slope_bytes_per_hour === 0)) return "not known";
  const middle = slope(leak.slope_bytes_per_hour);
  if (!isNumber(leak.slope_low) || !isNumber(leak.slope_high)) return `${middle} MiB/h`;
  return `${middle} MiB/h (90 % interval: ${slope(leak.slope_low)} to ${slope(leak.slope_high)})`;
}

function reached(leak) {
  if (!isNumber(leak.seconds_to_limit)) return leak.verdict === "insufficient" ? "not known" : "never at this rate";
  const soonest = isNumber(leak.seconds_to_limit_soonest) ? duration(leak.seconds_to_limit_soonest) : "not known";
  const latest = isNumber(leak.seconds_to_limit_latest) ? duration(leak.seconds_to_limit_latest) : "never";
  return `in ${duration(leak.seconds_to_limit)} (90 % interval: ${soonest} to ${latest})`;
}
