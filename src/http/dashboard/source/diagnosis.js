/** Where the memory is: in words, as a bar, and as figures. */

import { byId, h, setText } from "./dom.js";
import { bytes, isNumber, percent } from "./format.js";
import { CAUSES, named, PARTS, REMEDIES } from "./names.js";
import { table } from "./table.js";

/** Resident too, but the kernel can drop it. */
const REST = [
  { key: "file_backed_bytes", name: "file mappings", what: "the kernel drops them when it needs to", number: 7 },
  { key: "shared_bytes", name: "shared memory", what: "counted in every process that maps it", number: 8 },
];
const ALL = [...PARTS, ...REST];

let parts = null;
const segments = new Map();

export function start() {
  parts = table(byId("parts"), {
    id: "parts-table",
    caption: "Resident memory by part",
    empty: "The parts are not known.",
    key: (part) => part.key,
    columns: [
      {
        key: "name",
        label: "Part",
        isHead: true,
        show: (part) =>
          h(
            "span",
            { class: "part" },
            h("span", { class: `swatch part-${part.number}`, "aria-hidden": "true" }, String(part.number)),
            h("span", {}, h("span", { class: "part-name" }, part.name), " ", h("span", { class: "aside" }, part.what)),
          ),
      },
      { key: "bytes", label: "Held", isNumber: true, show: (part) => bytes(part.bytes) },
      { key: "share", label: "Share", isNumber: true, show: (part) => percent(part.share) },
    ],
  });
  for (const part of ALL) {
    const segment = h("span", { class: `part-${part.number}` }, String(part.number));
    segments.set(part.key, segment);
    byId("split").append(segment);
  }
}

/**
 * @param {object | null | undefined} diagnosis of memory-details; undefined until those are there
 * @param {object | null} sample newer figures of the parts, every second
 */
export function show(diagnosis, sample) {
  if (diagnosis) {
    const reclaimable = diagnosis.remedy !== "nothing" ? `, by up to ${bytes(diagnosis.reclaimable_bytes)}` : "";
    setText(
      "diagnosis",
      `${bytes(diagnosis.resident_bytes)} resident: ${named(CAUSES, diagnosis.cause)}; ${named(REMEDIES, diagnosis.remedy)}${reclaimable}.`,
    );
  } else if (diagnosis === null) {
    setText("diagnosis", "Not known: resident memory could not be read.");
  }
  const found = { ...diagnosis, ...(sample?.parts ?? {}) };
  if (sample?.heap) found.live_heap_bytes = sample.heap.live_bytes;
  const rows = ALL.map((part) => ({ ...part, bytes: found[part.key] ?? null })).filter((part) => isNumber(part.bytes));
  const sum = rows.reduce((total, part) => total + part.bytes, 0);
  for (const row of rows) row.share = sum > 0 ? row.bytes / sum : null;
  parts.show(rows);
  byId("split").hidden = sum === 0;
  for (const [key, segment] of segments) {
    const share = rows.find((row) => row.key === key)?.share ?? 0;
    segment.style.width = `${100 * share}%`;
    segment.classList.toggle("thin", share < 0.045);
    segment.hidden = share === 0;
  }
}
