/** The chart in a sentence or two. */

import { bytes, isNumber, many } from "./format.js";
import { allEvents, allRestarts, allRows } from "./happenings.js";

export function summary(points, rangeName, [from, until]) {
  const resident = course(points, "anonymous_bytes", "resident memory");
  const heap = course(points, "live_heap_bytes", "live heap");
  const inRange = ({ at_unix_seconds: at }) => at >= from && at <= until + 5;
  const actions = allRows().filter((row) => inRange(row) && row.skipped === null).length;
  const levels = allEvents().filter((event) => inRange(event) && event.kind === "level").length;
  const restarts = allRestarts().filter(inRange).length;
  const happened = [
    actions > 0 && many(actions, "action"),
    levels > 0 && many(levels, "change of level", "changes of level"),
    restarts > 0 && many(restarts, "restart"),
  ].filter(Boolean);
  const what = happened.length > 0 ? `Marked: ${happened.join(", ")}.` : "Nothing happened that is marked.";
  return `In ${rangeName}: ${resident}; ${heap}. ${what}`;
}

function course(points, key, name) {
  const known = points.map((point) => point[key]).filter(isNumber);
  if (known.length === 0) return `${name} is not known`;
  const [first, last] = [known[0], known.at(-1)];
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const moved = Math.abs(last - first);
  // Less than what the eye would see as a slope.
  if (moved < 0.02 * most) return `${name} stays about ${bytes(last)} (${bytes(least)} to ${bytes(most)})`;
  return `${name} ${last > first ? "rises" : "falls"} from ${bytes(first)} to ${bytes(last)} (${bytes(least)} to ${bytes(most)})`;
}
