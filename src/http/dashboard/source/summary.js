/** The chart in a sentence or two. */

import { bytes, isNumber, many } from "./format.js";

/** @param {{ kind: string, isSkipped?: boolean }[]} marks those in the chart */
export function summary(points, rangeName, marks) {
  const resident = course(points, "anonymous_bytes", "resident memory");
  const heap = course(points, "live_heap_bytes", "live heap");
  const number = (kind, isSkipped) => marks.filter((mark) => mark.kind === kind && Boolean(mark.isSkipped) === isSkipped).length;
  const [done, skipped, levels, restarts] = [number("action", false), number("action", true), number("level", false), number("restart", false)];
  const happened = [
    done > 0 && many(done, "action"),
    skipped > 0 && `${many(skipped, "action")} not carried out`,
    levels > 0 && many(levels, "change of level", "changes of level"),
    restarts > 0 && many(restarts, "restart"),
  ].filter(Boolean);
  const what = happened.length > 0 ? `Marked: ${happened.join(", ")}.` : "Nothing happened that is marked.";
  return `In ${rangeName}: ${resident}; ${heap}. ${what}`;
}

function course(points, key, name) {
  const known = points.map((point) => point[key]).filter(isNumber);
  if (known.length === 0) return `${name} is not known`;
  const [first, last] = [known[0], known.at(-1)].map(bytes);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  // Less than what the eye would see as a slope.
  if (Math.abs(known.at(-1) - known[0]) < 0.02 * most) {
    const isFlat = bytes(least) === bytes(most);
    return `${name} stays about ${last}${isFlat ? "" : ` (${bytes(least)} to ${bytes(most)})`}`;
  }
  // The ends are said already: only what lies beyond them is added.
  const beyond = [
    least < Math.min(known[0], known.at(-1)) && ![first, last].includes(bytes(least)) && `${bytes(least)} at the least`,
    most > Math.max(known[0], known.at(-1)) && ![first, last].includes(bytes(most)) && `${bytes(most)} at the most`,
  ].filter(Boolean);
  const between = beyond.length > 0 ? ` (${beyond.join(", ")})` : "";
  return `${name} ${known.at(-1) > known[0] ? "rises" : "falls"} from ${first} to ${last}${between}`;
}
