/** What was done: the ledger, the restarts with their cause, and every other event. */

import { byId, goTo, h, setText } from "./dom.js";
import { bytes, count, duration, isNumber, many, sentence, time, words } from "./format.js";
import { allEvents, allRestarts, allRows, idOfEvent, idOfRow } from "./happenings.js";
import { ACTIONS, KINDS, named, SIGNALS, SKIPPED } from "./names.js";
import { lines, table } from "./table.js";

const PAGE = 20;

let ledger = null;
let restarts = null;
let filter = "all";
let eventStart = 0;
let eventSignature = "";
let pager = null;

export function start() {
  ledger = table(byId("ledger-place"), {
    id: "ledger",
    caption: "Actions, the newest first",
    empty: "No action was needed so far.",
    page: PAGE,
    newerLabel: "Newer",
    olderLabel: "Older",
    key: (row) => row.key,
    attributes: (row) => ({ id: idOfRow(row), "data-action": row.action, "data-skipped": row.skipped ?? "" }),
    columns: [
      { key: "when", label: "When", isHead: true, show: (row) => time(row.at_unix_seconds) },
      { key: "action", label: "Action", show: (row) => named(ACTIONS, row.action) },
      { key: "level", label: "Level", show: (row) => lines(row.level, `by ${named(SIGNALS, row.signal)}`) },
      { key: "back", label: "Gave back", isNumber: true, show: (row) => (row.skipped ? "–" : bytes(row.given_back_bytes)) },
      {
        key: "held",
        label: "Before → settled",
        show: (row) => lines(`heap ${course(row, "heap_bytes")}`, `resident ${course(row, "resident_bytes")}`),
      },
      { key: "took", label: "Took", isNumber: true, show: (row) => (row.skipped ? "–" : duration(row.duration_seconds)) },
      { key: "remark", label: "Carried out", show: (row) => (row.skipped ? named(SKIPPED, row.skipped) : "yes") },
    ],
  });
  restarts = table(byId("restarts-place"), {
    id: "restarts",
    caption: "Restarts, the newest first",
    empty: "No restart is remembered.",
    page: 10,
    newerLabel: "Newer",
    olderLabel: "Older",
    key: (restart) => String(restart.key),
    attributes: (restart) => ({ id: `restart-${restart.key}` }),
    columns: [
      { key: "when", label: "When", isHead: true, show: (restart) => time(restart.at_unix_seconds) },
      { key: "cause", label: "Cause", show: cause },
      { key: "held", label: "Held", show: (restart) => (restart.isOnlySeen ? "not known" : lines(`heap ${bytes(restart.heap_bytes)}`, `resident ${bytes(restart.resident_bytes)} of ${bytes(restart.limit_bytes)}`)) },
      { key: "after", label: "Had run for", isNumber: true, show: (restart) => duration(restart.uptime_seconds) },
      { key: "tried", label: "Tried before", show: (restart) => (isNumber(restart.actions) ? `${many(restart.actions, "action")}, ${bytes(restart.given_back_bytes)} given back` : "not known") },
      { key: "how", label: "How", show: (restart) => how(restart.how) },
    ],
  });
  const select = byId("event-filter");
  select.append(h("option", { value: "all" }, "all"), h("option", { value: "no-actions" }, "all but actions"));
  for (const [kind, name] of Object.entries(KINDS)) select.append(h("option", { value: kind }, name));
  select.addEventListener("change", () => {
    filter = select.value;
    eventStart = 0;
    showEvents();
  });
  const turn = (by) => () => {
    eventStart = Math.max(0, eventStart + by);
    showEvents();
  };
  pager = {
    newer: h("button", { type: "button", class: "quiet", onclick: turn(-PAGE) }, "Newer"),
    where: h("span", {}),
    older: h("button", { type: "button", class: "quiet", onclick: turn(PAGE) }, "Older"),
  };
  byId("events-pager").append(h("p", { class: "pager" }, pager.newer, pager.where, pager.older));
}

const course = (row, key) => `${bytes(row.before?.[key])} → ${row.settled ? bytes(row.settled[key]) : `${bytes(row.after?.[key])}, not settled`}`;

export function cause(restart) {
  if (restart.isOnlySeen) return "not known: a new image answered";
  const share = restart.limit_bytes > 0 ? Math.max(restart.heap_bytes, restart.resident_bytes) / restart.limit_bytes : null;
  const held = isNumber(share) ? `${Math.round(100 * share)} %` : null;
  const signal =
    restart.signal === "command"
      ? `it was asked for${held ? `, with ${held} of the limit held` : ""}`
      : `level ${restart.level}, ${named(SIGNALS, restart.signal)}${held ? ` at ${held}` : ""}`;
  return `${signal}${restart.during_start ? ", while it was still starting" : ""}`;
}

export function how(value) {
  if (value == null) return "not known";
  if (value === "exec") return "in place, same process id";
  if (value === "abort") return "aborted, with a core dump";
  const [, code] = /^exit:(\d+)$/.exec(value) ?? [];
  return code ? `ended with code ${code}, for its supervisor` : words(value);
}

export function show(summary) {
  const rows = allRows();
  ledger.show(rows);
  restarts.show(allRestarts());
  showEvents();
  setText("done-summary", summary ? total(summary) : "Nothing is known yet.");
}

function total(summary) {
  const [, optimise, restart, critical] = summary.levels_entered ?? [];
  const times = [
    ["optimise", optimise],
    ["restart", restart],
    ["critical", critical],
  ].filter(([, number]) => number > 0);
  const entered = times.length > 0 ? `Lines passed: ${times.map(([name, number]) => `${name} ${count(number)} ×`).join(", ")}.` : "No line was passed.";
  const reaction = summary.reaction?.count > 0 ? ` From a line to the first look it took ${duration(summary.reaction.p50)} (median), ${duration(summary.reaction.max)} at most.` : "";
  const purge = summary.purge?.count > 0 ? ` Purges took ${duration(summary.purge.p50)} (median), ${duration(summary.purge.max)} at most.` : "";
  const withheld = summary.restarts_withheld > 0 ? ` Restarts withheld: ${count(summary.restarts_withheld)}.` : "";
  const woken = summary.early_wakes > 0 ? ` Woken early by the kernel: ${count(summary.early_wakes)}.` : "";
  return `Since this image started: ${many(summary.actions, "action")}, ${bytes(summary.given_back_bytes)} given back. ${entered}${reaction}${purge}${withheld}${woken}`;
}

function filtered() {
  const all = allEvents();
  if (filter === "all") return all;
  if (filter === "no-actions") return all.filter((event) => event.kind !== "action");
  return all.filter((event) => event.kind === filter);
}

function showEvents() {
  const list = filtered();
  if (eventStart >= list.length) eventStart = Math.max(0, Math.floor((list.length - 1) / PAGE) * PAGE);
  const shown = list.slice(eventStart, eventStart + PAGE);
  // From midnight on, times are told with their day; a clock that is set moves them all.
  const signature = [filter, eventStart, list.length, shown[0]?.key, shown[0]?.at_unix_seconds, new Date().toDateString()].join(" ");
  if (signature === eventSignature) return;
  eventSignature = signature;
  const items = shown.map((event) =>
    h(
      "li",
      { id: idOfEvent(event), "data-kind": event.kind },
      h("time", {}, time(event.at_unix_seconds)),
      h("span", { class: "kind" }, named(KINDS, event.kind)),
      h("span", { class: "what" }, sentence(event.words)),
    ),
  );
  byId("events").replaceChildren(...(items.length > 0 ? items : [h("li", { class: "empty" }, filter === "all" ? "No events yet." : "No events of this kind.")]));
  pager.newer.parentElement.hidden = list.length <= PAGE;
  pager.newer.disabled = eventStart === 0;
  pager.older.disabled = eventStart + PAGE >= list.length;
  setText(pager.where, `${eventStart + 1} to ${eventStart + shown.length} of ${list.length}`);
}

/** Leads to the row or event of a mark. */
export function goToMark({ kind, target }) {
  if (kind === "action") return goTo(ledger.find(target.key));
  if (kind === "restart") return goTo(restarts.find(String(target.key)));
  filter = "all";
  byId("event-filter").value = filter;
  const at = filtered().findIndex((event) => event.key === target.key);
  eventStart = Math.max(0, Math.floor(at / PAGE) * PAGE);
  showEvents();
  return goTo(byId(idOfEvent(target)));
}
