/**
 * Marks of what happened, in a lane over the chart: buttons that lead to the ledger row or the event.
 * One tab stop for all of them; arrow keys move between. What stands too close together is one mark.
 */

import { byId, h, setAttribute, setText } from "./dom.js";
import { bytes, sentence, time } from "./format.js";
import { allEvents, allRestarts, allRows } from "./happenings.js";
import { ACTIONS, LEVELS, named, SKIPPED } from "./names.js";

/** In pixels: so large that a finger finds it, and so far apart that one with a number has room. */
const SIZE = 26;
const APART = 38;
const RANK = { restart: 3, level: 2, action: 1 };

let onGo = () => {};
let shown = [];
let current = null;
const buttons = new Map();

/** @param {(mark: { kind: string, target: object }) => void} go leads to the row or the event */
export function start(go) {
  onGo = go;
  byId("marks").addEventListener("keydown", (event) => {
    const all = [...byId("marks").children];
    const at = all.indexOf(document.activeElement);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined || at < 0) return;
    event.preventDefault();
    const button = all[Math.min(Math.max(next, 0), all.length - 1)];
    choose(button);
    button.focus();
  });
}

function choose(button) {
  current = button.dataset.key;
  for (const other of byId("marks").children) setAttribute(other, "tabindex", other === button ? "0" : "-1");
}

function collect(from, until) {
  const found = [];
  const inRange = (at) => at >= from && at <= until + 1;
  for (const row of allRows()) {
    const at = row.at_unix_seconds;
    if (!inRange(at)) continue;
    const outcome = row.skipped ? named(SKIPPED, row.skipped) : `${bytes(row.given_back_bytes)} given back`;
    found.push({ kind: "action", at, sign: row.skipped ? "○" : "●", text: `${sentence(named(ACTIONS, row.action))}: ${outcome}`, target: row, isSkipped: Boolean(row.skipped) });
  }
  for (const event of allEvents()) {
    const at = event.at_unix_seconds;
    if (event.kind !== "level" || !inRange(at)) continue;
    const rises = LEVELS.indexOf(event.to) > LEVELS.indexOf(event.from);
    found.push({ kind: "level", at, sign: rises ? "▲" : "▼", level: event.to, text: sentence(event.words), target: event });
  }
  for (const restart of allRestarts()) {
    const at = restart.at_unix_seconds;
    if (inRange(at)) found.push({ kind: "restart", at, sign: "⟳", text: "Restart", target: restart });
  }
  return found.sort((a, b) => a.at - b.at);
}

/** Vertical lines for the chart. */
export const lines = () => shown.filter((mark) => mark.kind !== "action");

export const all = () => shown;

export function place(plot, [from, until], range) {
  const lane = byId("marks");
  shown = collect(from, until);
  if (!plot) {
    lane.replaceChildren();
    buttons.clear();
    lane.hidden = true;
    return;
  }
  const left = plot.bbox.left / devicePixelRatio;
  const width = plot.bbox.width / devicePixelRatio;
  const groups = [];
  for (const mark of shown) {
    const x = left + (width * (mark.at - from)) / range;
    const last = groups.at(-1);
    if (last && x - last.x < APART) last.marks.push(mark);
    else groups.push({ x, marks: [mark] });
  }
  lane.hidden = groups.length === 0;
  const hadFocus = lane.contains(document.activeElement);
  const keyOf = ({ marks: [first] }) => `${first.kind}-${first.at}`;
  const keys = new Set(groups.map(keyOf));
  for (const [key, button] of buttons) {
    if (keys.has(key)) continue;
    button.remove();
    buttons.delete(key);
  }
  let position = 0;
  for (const group of groups) {
    const key = keyOf(group);
    const button = buttonOf(key);
    dress(button, group, Math.min(group.x, left + width));
    if (lane.children[position] !== button) lane.insertBefore(button, lane.children[position] ?? null);
    position += 1;
  }
  if (groups.length > 0 && !keys.has(current)) choose(lane.lastElementChild);
  else for (const button of lane.children) setAttribute(button, "tabindex", button.dataset.key === current ? "0" : "-1");
  // The mark that had it has left the chart, or was taken into another.
  if (hadFocus && !lane.contains(document.activeElement)) lane.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
}

function buttonOf(key) {
  let button = buttons.get(key);
  if (!button) {
    button = h("button", { type: "button", "data-key": key, tabindex: "-1" });
    button.addEventListener("click", () => {
      choose(button);
      onGo(button.lead);
    });
    buttons.set(key, button);
  }
  return button;
}

/** A group shows its gravest mark and how many there are. */
function dress(button, group, x) {
  const lead = group.marks.reduce((gravest, mark) => (RANK[mark.kind] > RANK[gravest.kind] ? mark : gravest));
  const number = group.marks.length;
  button.lead = lead;
  button.style.left = `${x}px`;
  const words = group.marks.slice(0, 6).map((mark) => `${time(mark.at)} ${mark.text}`);
  if (number > words.length) words.push(`and ${number - words.length} more`);
  // With the number that is to be seen, so that it can be asked for by voice.
  const label = `${number > 1 ? `${number} marks: ` : ""}${words.join("; ")}`;
  const sign = number > 1 ? `${lead.sign}${number}` : lead.sign;
  setText(button, sign);
  setAttribute(button, "class", `markbutton ${lead.kind} ${lead.level ? `to-${lead.level}` : ""}`.trim());
  setAttribute(button, "aria-label", label);
  setAttribute(button, "title", words.join("\n"));
}
