/** What grows: the parts of anonymous memory over time, with the limit, the lines and the marks. */

import uPlot from "uplot";
import { byId, h, setText } from "./dom.js";
import { bytes, clock, day, isNumber, minute, percent } from "./format.js";
import * as marks from "./marks.js";
import { PARTS } from "./names.js";
import * as record from "./record.js";
import { summary } from "./summary.js";
import { table } from "./table.js";
import { colour } from "./theme.js";

const RANGES = [
  [60, "1 min", "the last minute"],
  [300, "5 min", "the last 5 minutes"],
  [3600, "1 h", "the last hour"],
  [6 * 3600, "6 h", "the last 6 hours"],
  [2 * 86400, "2 days", "the last 2 days"],
  [30 * 86400, "30 days", "the last 30 days"],
];
const STYLES = [
  ["stacked", "Stacked"],
  ["lines", "Lines"],
];
const TOTAL = { key: "anonymous_bytes", name: "resident, anonymous", colour: "--ink" };
/** Of the limit: below it the chart shows the data only, unless a person wants it otherwise. */
const CLOSE = 0.35;
/** In seconds. */
const YOUNG = 120;
/** In milliseconds. */
const SUMMARY_EVERY = 1000;

let range = 300;
let isRangeChosen = false;
let wasYoung = null;
let style = "stacked";
let isToLimit = null;
let limitBytes = null;
let levels = null;
let plot = null;
let points = [];
let columns = [];
let pointsTable = null;
let summarised = 0;
let summaryTimer = 0;
const hidden = new Set();
const values = new Map();

export function start() {
  segments("ranges", "range", RANGES.map(([seconds, name]) => [String(seconds), name]), String(range), (value) => {
    range = Number(value);
    isRangeChosen = true;
    summarised = 0;
    refresh();
  });
  segments("styles", "style", STYLES, style, (value) => {
    style = value;
    rebuild();
  });
  byId("to-limit").addEventListener("change", ({ target }) => {
    isToLimit = target.checked;
    refresh();
  });
  byId("as-table").addEventListener("click", ({ currentTarget }) => {
    const isOpen = byId("points").hidden;
    byId("points").hidden = !isOpen;
    currentTarget.setAttribute("aria-expanded", String(isOpen));
    setText(currentTarget, isOpen ? "Hide the table" : "Show as a table");
    showTable();
  });
  byId("legend").append(...[...PARTS, TOTAL].map(legendItem));
  new ResizeObserver(() => resize()).observe(byId("plot"));
}

/** Radio buttons that look like one control. */
function segments(id, name, choices, chosen, onChoice) {
  for (const [value, text] of choices) {
    const input = h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onChoice(value) });
    byId(id).append(h("label", {}, input, h("span", {}, text)));
  }
}

function legendItem(part) {
  const value = h("span", { class: "value" }, "not known");
  values.set(part.key, value);
  const swatch = h("span", { class: part.number ? `swatch part-${part.number}` : "swatch total", "aria-hidden": "true" }, part.number ? String(part.number) : "");
  const button = h(
    "button",
    {
      type: "button",
      "aria-pressed": "true",
      onclick: () => {
        if (!hidden.delete(part.key)) hidden.add(part.key);
        button.setAttribute("aria-pressed", String(!hidden.has(part.key)));
        rebuild();
      },
    },
    swatch,
    h("span", {}, part.name),
    value,
  );
  return h("li", {}, button);
}

/** A young program has nothing to show in five minutes. A person's choice stands; it is never narrowed. */
export function setUptime(seconds) {
  if (isRangeChosen || wasYoung === false || !isNumber(seconds)) return;
  const isYoung = seconds < YOUNG;
  if (isYoung === wasYoung) return;
  wasYoung = isYoung;
  range = isYoung ? 60 : 300;
  summarised = 0;
  for (const input of byId("ranges").querySelectorAll("input")) input.checked = Number(input.value) === range;
}

export function setLimit(bytesOfLimit, lines) {
  limitBytes = bytesOfLimit ?? null;
  levels = lines ?? levels;
}

/** Draws what is there now. */
export function refresh() {
  points = record.view(range);
  const isEmpty = points.length < 2;
  byId("no-points").hidden = !isEmpty;
  byId("plot").hidden = isEmpty;
  if (isToLimit === null && limitBytes && points.length > 0) {
    byId("to-limit").checked = (points.at(-1).anonymous_bytes ?? 0) > CLOSE * limitBytes;
  }
  showValues(points.length - 1);
  showTable();
  if (!isEmpty) {
    if (!plot) build();
    plot.setData(data());
  }
  marks.place(plot, span(), range);
  const wait = summarised + SUMMARY_EVERY - Date.now();
  if (wait <= 0) summarise();
  else summaryTimer ||= setTimeout(summarise, wait);
}

/** What the chart shows, in a sentence: of the same points and marks. */
function summarise() {
  clearTimeout(summaryTimer);
  summaryTimer = 0;
  if (points.length === 0) return;
  summarised = Date.now();
  setText("chart-summary", summary(points, RANGES.find(([seconds]) => seconds === range)[2], marks.all()));
}

/** After a change of theme or style. */
export function rebuild() {
  plot?.destroy();
  plot = null;
  refresh();
}

function resize() {
  const width = byId("plot").clientWidth;
  if (!plot || width === 0 || width === plot.width) return;
  plot.setSize({ width, height: heightFor(width) });
  marks.place(plot, span(), range);
}

const heightFor = (width) => (width < 520 ? 240 : 320);

/** The time axis ends with the last point. */
function span() {
  const until = record.lastAt();
  return [until - range, until];
}

const shownParts = () => PARTS.filter((part) => !hidden.has(part.key));

function data() {
  const parts = shownParts();
  columns = [points.map((point) => point.at)];
  let below = points.map(() => 0);
  for (const part of parts) {
    const column = points.map((point, at) => {
      if (point.isBreak) return null;
      const value = point[part.key] ?? 0;
      return style === "stacked" ? below[at] + value : value;
    });
    if (style === "stacked") below = column.map((value) => value ?? 0);
    columns.push(column);
  }
  columns.push(points.map((point) => (hidden.has(TOTAL.key) ? null : point.anonymous_bytes)));
  return columns;
}

function build() {
  const parts = shownParts();
  const ink = colour("--muted");
  const grid = { stroke: colour("--grid"), width: 1 };
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const isStacked = style === "stacked";
  const tint = (part) => colour(`${part.colour}-fill`);
  const series = parts.map((part, at) => ({
    stroke: colour(part.colour),
    width: isStacked ? 1 : 2,
    fill: isStacked && at === 0 ? tint(part) : undefined,
    points: { show: false },
  }));
  const width = byId("plot").clientWidth || 600;
  plot = new uPlot(
    {
      width,
      height: heightFor(width),
      // On the right half a label of the time axis has room.
      padding: [8, 28, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: true, range: span },
        y: { range: (_, __, most) => [0, top(most)] },
      },
      axes: [
        { stroke: ink, grid, ticks: grid, font, space: 74, values: timeLabels },
        { stroke: ink, grid, ticks: grid, font, size: 78, incrs: INCREMENTS, values: (_, splits) => splits.map(bytes) },
      ],
      series: [
        {},
        ...series,
        { stroke: colour(TOTAL.colour), width: 1.75, dash: [7, 3], points: { show: false } },
      ],
      bands: isStacked ? parts.slice(1).map((part, at) => ({ series: [at + 2, at + 1], fill: tint(part) })) : [],
      hooks: {
        drawClear: [() => {}],
        draw: [drawLines, drawNumbers],
        setCursor: [({ cursor }) => showValues(cursor.idx ?? points.length - 1)],
      },
    },
    data(),
    byId("plot"),
  );
}

const MIB = 2 ** 20;
const INCREMENTS = [2 ** 14, 2 ** 15, 2 ** 16, 2 ** 17, 2 ** 18, 2 ** 19, ...[1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 256, 512].map((n) => n * MIB), ...[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].map((n) => n * 1024 * MIB)];

function top(most) {
  const held = Math.max(most ?? 0, MIB);
  if (byId("to-limit").checked && limitBytes) return Math.max(limitBytes * 1.06, held * 1.04);
  return held * 1.12;
}

/** Days where they change, hours and minutes else, seconds in short ranges. */
function timeLabels(_, splits, __, ___, increment) {
  let before = "";
  return splits.map((at) => {
    const today = day(at);
    const isNewDay = range > 43_200 && today !== before;
    before = today;
    if (increment >= 86_400) return today;
    const label = increment < 60 ? clock(at) : minute(at);
    return isNewDay ? `${label}\n${today}` : label;
  });
}

/** The limit, the lines of the levels, and where something broke. */
function drawLines(u) {
  const { ctx, bbox } = u;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${11 * scale}px ${getComputedStyle(document.body).fontFamily}`;
  // uPlot leaves what it needed for the labels of the axes.
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const { at, kind } of marks.lines()) {
    const x = Math.round(u.valToPos(at, "x", true)) + 0.5;
    ctx.strokeStyle = colour(kind === "restart" ? "--restart-line" : "--grid-strong");
    ctx.lineWidth = (kind === "restart" ? 2 : 1) * scale;
    ctx.setLineDash(kind === "restart" ? [] : [2 * scale, 3 * scale]);
    stroke(ctx, x, bbox.top, x, bbox.top + bbox.height);
  }
  if (limitBytes) {
    let lowest = -Infinity;
    for (const line of horizontals()) {
      const y = Math.round(u.valToPos(line.bytes, "y", true)) + 0.5;
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = colour(line.colour);
      ctx.lineWidth = (line.name === "limit" ? 2 : 1.25) * scale;
      ctx.setLineDash(line.dash.map((length) => length * scale));
      stroke(ctx, bbox.left, y, bbox.left + bbox.width, y);
      const at = Math.max(y, lowest + 13 * scale);
      lowest = at;
      const x = bbox.left + 6 * scale;
      const text = `${line.name} ${line.text}`;
      const width = ctx.measureText(text).width;
      ctx.fillStyle = colour("--card");
      ctx.fillRect(x - 3 * scale, at - 7 * scale, width + 6 * scale, 14 * scale);
      ctx.fillStyle = colour(line.colour);
      ctx.fillText(text, x, at);
    }
  }
  ctx.restore();
}

function horizontals() {
  const dashes = { limit: [], critical: [10, 3], restart: [6, 4], optimise: [2, 4] };
  const list = [{ name: "limit", bytes: limitBytes, text: bytes(limitBytes), colour: "--critical", dash: dashes.limit }];
  for (const name of ["critical", "restart", "optimise"]) {
    const enter = levels?.[name]?.enter;
    if (isNumber(enter)) list.push({ name, bytes: enter * limitBytes, text: percent(enter), colour: `--${name}`, dash: dashes[name] });
  }
  return list.sort((a, b) => b.bytes - a.bytes);
}

function stroke(ctx, fromX, fromY, toX, toY) {
  ctx.beginPath();
  ctx.moveTo(fromX, fromY);
  ctx.lineTo(toX, toY);
  ctx.stroke();
}

/** The number of each band at its right end, where it is thick enough: not colour alone. */
function drawNumbers(u) {
  const last = columns[0].length - 1;
  const { ctx, bbox } = u;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.font = `600 ${11 * scale}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (const [at, part] of shownParts().entries()) {
    const upper = columns[at + 1][last];
    if (!isNumber(upper)) continue;
    const isStacked = style === "stacked";
    const lower = isStacked && at > 0 ? columns[at][last] : 0;
    const [high, low] = [upper, lower].map((value) => u.valToPos(value, "y", true));
    if (low - high < 14 * scale) continue;
    ctx.fillStyle = colour("--ink");
    ctx.fillText(String(part.number), bbox.left + bbox.width - 9 * scale, isStacked ? (high + low) / 2 : high - 8 * scale);
  }
  ctx.restore();
}

/** The values at the cursor, or the last. */
function showValues(at) {
  let point = points[at];
  if (point?.isBreak) point = points[at - 1] ?? points[at + 1];
  for (const [key, element] of values) setText(element, bytes(point?.[key]));
}

function showTable() {
  if (byId("points").hidden) return;
  pointsTable ??= table(byId("points"), {
    id: "points-table",
    caption: "The last points of the chart, the newest first",
    empty: "No points yet.",
    key: (point) => String(point.at),
    columns: [
      { key: "at", label: "Time", isHead: true, show: (point) => (range > 43_200 ? `${day(point.at)}, ${clock(point.at)}` : clock(point.at)) },
      ...[TOTAL, ...PARTS].map((part) => ({ key: part.key, label: part.name, isNumber: true, show: (point) => bytes(point[part.key]) })),
    ],
  });
  pointsTable.show(points.filter((point) => !point.isBreak).slice(-20).reverse());
}
