/** Caches, jemalloc's figures, threads, and the options that are in force. */

import { byId } from "./dom.js";
import { bytes, count, isNumber, percent } from "./format.js";
import { table } from "./table.js";

let caches = null;
let allocator = null;
let threads = null;
let options = null;

const FIGURES = [
  ["allocated", "Allocated", "by the program, in size classes"],
  ["active", "Active", "pages that hold something"],
  ["resident", "Resident", "pages that the kernel backs"],
  ["mapped", "Mapped", "address space in use"],
  ["retained", "Retained", "address space kept for later"],
  ["metadata", "Metadata", "bookkeeping"],
  ["dirty", "Dirty", "free, and still backed"],
  ["muzzy", "Muzzy", "free, and given back lazily"],
];

export function start() {
  caches = table(byId("caches-place"), {
    id: "caches",
    caption: "Caches that shrink when asked",
    empty: "No cache is registered.",
    initial: "bytes",
    key: (cache) => cache.id,
    columns: [
      { key: "name", label: "Cache", isHead: true, show: (cache) => cache.name, sort: (cache) => cache.name },
      { key: "bytes", label: "Holds", isNumber: true, show: (cache) => bytes(cache.bytes), sort: (cache) => cache.bytes },
      { key: "share", label: "Of live heap", isNumber: true, show: (cache) => percent(cache.share) },
      { key: "entries", label: "Entries", isNumber: true, show: entries, sort: (cache) => cache.statistics?.entries ?? -1 },
      { key: "hits", label: "Hit ratio", isNumber: true, show: (cache) => told(cache, () => (hitRatio(cache) === null ? "no look-up yet" : percent(hitRatio(cache), 1))), sort: (cache) => hitRatio(cache) ?? -1 },
      { key: "evicted", label: "Evicted", show: (cache) => told(cache, () => evicted(cache.statistics.evictions)) },
      { key: "cap", label: "May hold", show: cap },
    ],
  });
  allocator = table(byId("allocator-place"), {
    id: "allocator",
    caption: "jemalloc's figures",
    empty: "The allocator inside is not jemalloc: it gives no figures.",
    key: ([key]) => key,
    columns: [
      { key: "name", label: "Figure", isHead: true, show: ([, name]) => name },
      { key: "what", label: "What it is", show: ([, , what]) => what },
      { key: "bytes", label: "Size", isNumber: true, show: ([, , , value]) => value },
    ],
  });
  threads = table(byId("threads-place"), {
    id: "threads",
    caption: "Threads: net is what a thread allocated less what it freed, whoever uses it now",
    empty: "No thread is known.",
    page: 15,
    initial: "net",
    key: (thread) => String(thread.thread_id),
    columns: [
      { key: "name", label: "Thread", isHead: true, show: (thread) => thread.name || "(no name)", sort: (thread) => thread.name ?? "" },
      { key: "id", label: "Id", isNumber: true, show: (thread) => String(thread.thread_id ?? "not known") },
      { key: "net", label: "Net", isNumber: true, show: (thread) => bytes(thread.net_bytes), sort: (thread) => thread.net_bytes },
      { key: "allocated", label: "Allocated", isNumber: true, show: (thread) => bytes(thread.allocated_bytes), sort: (thread) => thread.allocated_bytes },
      { key: "freed", label: "Freed", isNumber: true, show: (thread) => bytes(thread.deallocated_bytes), sort: (thread) => thread.deallocated_bytes },
      { key: "allocations", label: "Allocations", isNumber: true, show: (thread) => count(thread.allocations), sort: (thread) => thread.allocations },
      { key: "reallocations", label: "Reallocations", isNumber: true, show: (thread) => count(thread.reallocations), sort: (thread) => thread.reallocations },
    ],
  });
  options = table(byId("options-place"), {
    id: "options",
    caption: "jemalloc's options: what was wanted, and what is in force",
    empty: "The allocator inside is not jemalloc: it has no options here.",
    key: (option) => option.name,
    attributes: (option) => ({ "data-differs": String(differs(option)) }),
    columns: [
      { key: "name", label: "Option", isHead: true, show: (option) => option.name },
      { key: "wanted", label: "Wanted", show: (option) => option.wanted ?? "nothing" },
      { key: "effective", label: "In force", show: (option) => option.effective ?? "not known" },
      { key: "state", label: "Outcome", show: state },
    ],
  });
}

/** What only a cache that counts can tell. */
const told = (cache, tell) => (cache.statistics ? tell() : "not told");

function entries(cache) {
  return told(cache, () => {
    const { entries, most_entries: most } = cache.statistics;
    return isNumber(most) ? `${count(entries)} of ${count(most)}` : count(entries);
  });
}

function hitRatio({ statistics }) {
  const all = statistics ? statistics.hits + statistics.misses : 0;
  return all > 0 ? statistics.hits / all : null;
}

/** By cause, without what never happened. */
function evicted(evictions) {
  const causes = [
    ["capacity", "for room"],
    ["pressure", "under pressure"],
    ["expired", "too old"],
    ["replaced", "replaced"],
    ["removed", "removed"],
  ];
  const words = causes.filter(([key]) => evictions[key] > 0).map(([key, words]) => `${count(evictions[key])} ${words}`);
  return words.join(", ") || "none";
}

function cap(cache) {
  const share = cache.statistics?.share;
  if (isNumber(share)) return share < 1 ? `${percent(share)} of its capacity while the level lasts` : "All of its capacity";
  return cache.keeps_cap ? "Less while a level lasts" : "As before: it is cleared again while a level lasts";
}

const differs = (option) => option.wanted !== null && option.wanted !== option.effective;

function state(option) {
  const words = differs(option) ? "Differs from what was wanted" : option.wanted === null ? "Left as it was" : "As wanted";
  return option.remark ? `${words}: ${option.remark}` : words;
}

export function show(details) {
  const live = details.heap?.live_bytes;
  byId("caches-late").hidden = !details.caches_are_late;
  caches.show((details.caches ?? []).map((cache, at) => ({ ...cache, id: `${at} ${cache.name}`, share: live > 0 ? cache.bytes / live : null })));
  threads.show(details.threads ?? []);
  options.show(details.jemalloc_options ?? []);
  showAllocator(details.allocator);
}

export function showAllocator(figures) {
  const rows = FIGURES.filter(([key]) => isNumber(figures?.[key])).map(([key, name, what]) => [key, name, what, bytes(figures[key])]);
  if (isNumber(figures?.arenas)) rows.push(["arenas", "Arenas", "parts with a lock of their own", count(figures.arenas)]);
  allocator.show(rows);
}
