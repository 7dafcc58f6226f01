/**
 * Everything that happened: events, ledger rows and restarts, each once, those of earlier images of
 * this program too as far as this page has seen them. Lists have caps.
 */

const EVENTS = 400;
const ROWS = 400;
const RESTARTS = 60;

const events = new Map();
const rows = new Map();
const restarts = new Map();

/** By the image and what it counts: the time of the wall is another when that clock is set. */
const eventKey = (event, image) => `e${image.started_unix_seconds}-${event.sequence}`;
const rowKey = (row, image) => `r${image.started_unix_seconds}-${row.at_seconds}-${row.action}`;

/** The ids that marks point to. */
export const idOfEvent = (event) => `event-${event.key}`;
export const idOfRow = (row) => `row-${row.key}`;

export function takeEvent(event, image) {
  const key = eventKey(event, image);
  const isNew = !events.has(key);
  const row = event.row ? takeRow(event.row, image) : null;
  events.set(key, { ...event, key, row });
  if (isNew) trim(events, EVENTS);
  if (event.restart) takeRestart(event.restart);
  if (event.ends_restart) forgetBegun(image);
}

function takeRow(row, image) {
  const key = rowKey(row, image);
  const known = rows.get(key);
  // The event of an action comes before it has settled; the ledger knows more later.
  const newer = { ...row, key, settled: row.settled ?? known?.settled ?? null };
  rows.set(key, newer);
  if (!known) trim(rows, ROWS);
  return newer;
}

export function takeLedger(ledger, image) {
  for (const row of ledger ?? []) takeRow(row, image);
}

/** What the state file remembers has whole seconds, the event may be a second off. */
function takeRestart(restart) {
  const at = Math.round(restart.at_unix_seconds);
  const key = [at, at - 1, at + 1].find((second) => restarts.has(second)) ?? at;
  restarts.set(key, { ...restarts.get(key), ...restart, key });
  trim(restarts, RESTARTS);
}

/** One that was about to end this image did not happen: the next could not be started, or it was called off. */
function forgetBegun(image) {
  for (const [key, restart] of restarts) {
    if (restart.at_unix_seconds > image.started_unix_seconds) restarts.delete(key);
  }
}

export function takeRestarts(list) {
  for (const restart of list ?? []) takeRestart(restart);
}

/** A restart that only showed itself by a new image: a supervisor's, or a crash. */
export function takeNewImage(before, after) {
  if (!restartBetween(before, after + 2)) takeRestart({ at_unix_seconds: after, isOnlySeen: true });
}

function trim(map, most) {
  if (map.size <= most) return;
  const oldest = [...map].sort((a, b) => a[1].at_unix_seconds - b[1].at_unix_seconds);
  for (const [key] of oldest.slice(0, map.size - most)) map.delete(key);
}

const newestFirst = (map) => [...map.values()].sort((a, b) => b.at_unix_seconds - a.at_unix_seconds || (b.sequence ?? 0) - (a.sequence ?? 0));

export const allEvents = () => newestFirst(events);
export const allRows = () => newestFirst(rows);
export const allRestarts = () => newestFirst(restarts);

/** The last restart that was remembered or seen between these times. */
export function restartBetween(from, until) {
  return allRestarts().find((restart) => restart.at_unix_seconds > from && restart.at_unix_seconds < until) ?? null;
}
