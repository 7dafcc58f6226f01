/** Which requests need memory, and which need time. */

import { byId } from "./dom.js";
import { bytes, count, duration, isNumber } from "./format.js";
import { lines, table } from "./table.js";

let routes = null;

const TIMES = [
  ["p50", "Median time"],
  ["p95", "95 % within"],
  ["p99", "99 % within"],
  ["max", "Longest"],
];

/** Those that were given up have allocated too. */
const each = (route) => route.allocated_bytes / Math.max(1, route.count + (route.cancelled ?? 0));

export function start() {
  routes = table(byId("routes-place"), {
    id: "routes",
    caption: "Routes, by what they allocate and how long they take",
    empty: "No routes: the request layer is not in use, or nothing was asked yet.",
    page: 15,
    initial: "total",
    key: (route) => `${route.method} ${route.route}`,
    columns: [
      { key: "route", label: "Route", isHead: true, show: (route) => `${route.method} ${route.route}`, sort: (route) => `${route.route} ${route.method}` },
      { key: "count", label: "Requests", isNumber: true, show: (route) => lines(count(route.count), extra(route)), sort: (route) => route.count },
      { key: "total", label: "Allocated in all", isNumber: true, show: (route) => lines(bytes(route.allocated_bytes), `${count(route.allocations)} ×`), sort: (route) => route.allocated_bytes },
      { key: "each", label: "Average request", isNumber: true, show: (route) => bytes(each(route)), sort: each },
      { key: "most", label: "99 % below, largest", isNumber: true, show: (route) => lines(bytes(route.allocated_p99), bytes(route.allocated_max)), sort: (route) => route.allocated_p99 },
      ...TIMES.map(([key, label]) => ({ key, label, isNumber: true, show: (route) => duration(route[key]), sort: (route) => route[key] ?? 0 })),
      { key: "slow", label: "Slow / very slow", isNumber: true, show: (route) => `${count(route.slow)} / ${count(route.very_slow)}`, sort: (route) => route.slow },
      { key: "errors", label: "Errors / refused", isNumber: true, show: (route) => `${count(route.errors)} / ${count(route.refused)}`, sort: (route) => route.errors + route.refused },
    ],
  });
}

function extra(route) {
  return [
    route.in_flight > 0 && `${count(route.in_flight)} in flight`,
    isNumber(route.cancelled) && route.cancelled > 0 && `${count(route.cancelled)} cancelled`,
  ].filter(Boolean).join(", ");
}

export function show(performance) {
  routes.show(performance.routes ?? []);
  const words = `Routes since the program's start. Slow is over ${duration(performance.slow_seconds)}, very slow over ${duration(performance.very_slow_seconds)}; errors are answers from 500 up, panics, and bodies that broke off; refused while load was shed.`;
  const caption = byId("routes").caption;
  if (caption.textContent !== words && performance.slow_seconds > 0) caption.textContent = words;
}
