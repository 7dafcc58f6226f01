/**
 * The points of the chart: the server's history in its resolutions, and what this page has seen live.
 * After a restart the server knows nothing of before, so its history is merged into what is here and
 * does not replace it. Every list has a cap: the page may stay open for months.
 */

import { PARTS } from "./names.js";

const KEYS = [...PARTS.map((part) => part.key), "anonymous_bytes"];

/** Interval in seconds to the most points that are kept. */
const CAPS = new Map([
  [1, 400],
  [10, 440],
  [60, 440],
  [300, 640],
  [3600, 760],
]);
const OTHER_CAP = 400;

/** Times wander by less, in seconds. */
const SET_BACK = 2;

const series = new Map();
const breaks = [];

/** The resolutions that are known, from the finest. */
const intervals = () => [...series.keys()].sort((a, b) => a - b);

/** Takes `history` of memory-details. */
export function takeHistory(history) {
  for (const columns of history ?? []) {
    const points = read(columns);
    const own = series.get(columns.interval_seconds) ?? [];
    if (points.length === 0) {
      series.set(columns.interval_seconds, own);
      continue;
    }
    // The server's points replace ours where both have some: it looks more often.
    const from = points[0].at - columns.interval_seconds / 2;
    const until = points.at(-1).at + columns.interval_seconds / 2;
    const merged = [
      ...own.filter((point) => point.at < from),
      ...points,
      ...own.filter((point) => point.at > until),
    ];
    series.set(columns.interval_seconds, capped(merged, columns.interval_seconds));
  }
}

function read(columns) {
  const points = [];
  for (const [row, at] of (columns.at_unix_seconds ?? []).entries()) {
    const point = { at };
    for (const key of KEYS) point[key] = columns[key]?.[row] ?? null;
    points.push(point);
  }
  return points;
}

/** Takes one live sample. */
export function takeSample(sample) {
  const point = { at: sample.at_unix_seconds };
  for (const key of KEYS) point[key] = sample.parts?.[key] ?? null;
  point.live_heap_bytes = sample.heap?.live_bytes ?? null;
  point.anonymous_bytes = sample.process?.anonymous_bytes ?? null;
  const own = series.get(1) ?? [];
  const last = own.at(-1);
  if (last && point.at < last.at - SET_BACK) forgetAfter(point.at);
  else if (last && point.at <= last.at) return;
  own.push(point);
  series.set(1, capped(own, 1));
}

/** The clock was set back: what lies ahead by the new time would push out all that comes. */
function forgetAfter(at) {
  for (const points of series.values()) {
    const ahead = points.findIndex((point) => point.at > at);
    if (ahead >= 0) points.length = ahead;
  }
}

/** A new program image: its line does not go on from the old one's. */
export function takeBreak(at) {
  if (breaks.some((other) => Math.abs(other - at) < 1)) return;
  breaks.push(at);
  breaks.sort((a, b) => a - b);
  if (breaks.length > 200) breaks.shift();
}

function capped(points, interval) {
  const cap = CAPS.get(interval) ?? OTHER_CAP;
  return points.length > cap ? points.slice(-cap) : points;
}

export function lastAt() {
  return Math.max(0, ...[...series.values()].map((points) => points.at(-1)?.at ?? 0));
}

/**
 * The points of the last `range` seconds: as coarse as the range allows, with finer ones where
 * the coarse have a hole, such as at the end and around a restart. A row of nulls breaks the line.
 */
export function view(range) {
  const until = lastAt();
  const from = until - range;
  const fitting = intervals().filter((interval) => interval <= Math.max(1, range / 250));
  let points = [];
  let coarser = 0;
  for (const interval of fitting.reverse()) {
    const finer = series.get(interval).filter((point) => point.at >= from);
    points = points.length > 0 ? patch(points, coarser, finer) : finer;
    coarser = interval;
  }
  return withBreaks(points);
}

/** Puts finer points into the holes of coarser ones, which stand `interval` apart. */
function patch(coarse, interval, finer) {
  const result = [];
  let next = 0;
  let previous = -Infinity;
  for (const point of [...coarse, null]) {
    const at = point?.at ?? Infinity;
    const isHole = at - previous > 1.5 * interval;
    for (; next < finer.length && finer[next].at < at; next += 1) {
      const fits = finer[next].at > previous + interval / 2 && finer[next].at < at - interval / 2;
      if (isHole && fits) result.push(finer[next]);
    }
    if (point) result.push(point);
    previous = at;
  }
  return result;
}

function withBreaks(points) {
  const result = [];
  let next = 0;
  for (const point of points) {
    const last = result.at(-1);
    while (next < breaks.length && breaks[next] <= point.at) {
      if (last && breaks[next] > last.at) result.push(nothing(breaks[next]));
      next += 1;
    }
    result.push(point);
  }
  return result;
}

function nothing(at) {
  const point = { at, isBreak: true };
  for (const key of KEYS) point[key] = null;
  return point;
}
