/** What the wire calls things, in words for people. */

export const LEVELS = ["normal", "optimise", "restart", "critical"];

export const LEVEL_WORDS = {
  normal: "There is enough room below the limit. Nothing has to be done.",
  optimise: "Over the optimise line: caches shrink and free pages are given back.",
  restart: "Over the restart line: a restart is considered.",
  critical: "Close to the limit: memory must go down now.",
};

export const ACTIONS = {
  shrink_caches: "shrink caches",
  flush_thread_caches: "flush thread caches",
  trim_system_heap: "trim the C library's heap",
  purge_arenas: "purge free pages",
  tighten_decay: "give pages back at once",
  restore_decay: "keep pages as before",
  shed_load: "refuse new work",
  take_load: "take new work again",
};

export const SKIPPED = {
  dry_run: "not carried out: a dry run",
  nothing_to_gain: "not carried out: nothing to gain",
  not_possible: "not carried out: not possible here",
};

export const SIGNALS = { heap: "live heap", resident: "resident", drill: "a drill", command: "a command" };

export const SOURCES = {
  configured: "configured",
  cgroup_v2_max: "control group, memory.max",
  cgroup_v2_high: "control group, memory.high",
  cgroup_v1: "control group (v1)",
  rlimit_as: "resource limit on address space",
  rlimit_data: "resource limit on data",
  physical_memory: "physical memory",
};

export const MODES = {
  act: "acts",
  dry_run: "dry run: decides and does nothing",
  observe: "observes only",
};

export const KINDS = {
  started: "start",
  level: "level",
  limit: "limit",
  action: "action",
  diagnosis: "diagnosis",
  leak: "leak",
  shedding: "shedding",
  restart_withheld: "restart withheld",
  restarting: "restart",
  early_wake: "early wake",
  drill: "drill",
  policy: "policy",
  lost: "lost",
  fault: "fault",
};

/** What speaks against a leak, by the question that it does not answer. */
export const DOUBTS = {
  is_significant: "the slope is not beyond what noise makes",
  holds: "the growth does not hold to the end",
  is_new: "this program has held as much before",
  is_gradual: "it jumped instead of growing bit by bit",
  is_long_enough: "it has not been seen for long enough",
  has_samples: "there are too few samples",
  is_beyond_cycle: "it may be part of a cycle",
  is_large: "it is too small to matter",
  grows_in_blocks: "the live blocks do not grow with the bytes",
};

export const PATTERNS = {
  stable: "memory stays where it is",
  linear: "memory grows steadily",
  exponential: "memory grows ever faster",
  step: "memory rises by jumps",
  sawtooth: "memory fills and is emptied, over and over",
  periodic: "memory swings",
  warm_up: "memory rises ever more slowly and levels off",
};

export const CAUSES = {
  live_heap: "the program holds it",
  fragmentation: "live blocks stand far apart in their slabs",
  thread_caches: "threads keep what was freed in their caches",
  dirty_pages: "free pages have not been given back yet",
  metadata: "the allocator's bookkeeping has grown",
  other_anonymous: "it is outside the allocator: C libraries, stacks, mappings",
  file_backed: "it is in file mappings, which the kernel drops when it needs them",
  shared: "it is in shared memory",
};

export const REMEDIES = {
  nothing: "nothing needs to be done about it",
  shrink_caches: "smaller caches can help",
  flush_thread_caches: "flushing the thread caches can help",
  purge_arenas: "a purge can help",
  trim_system_heap: "trimming the C library's heap can help",
  restart: "only a restart can help",
};

/**
 * The parts of anonymous resident memory, in the order in which they are stacked. Each has a number,
 * so that colour is never all that tells them apart.
 */
export const PARTS = [
  { key: "live_heap_bytes", name: "live heap", what: "asked for and not freed" },
  { key: "fragmentation_bytes", name: "fragmentation", what: "gaps in pages that hold live blocks" },
  { key: "thread_cache_bytes", name: "thread caches", what: "freed, and kept by threads" },
  { key: "dirty_bytes", name: "dirty pages", what: "free pages that the allocator keeps" },
  { key: "metadata_bytes", name: "metadata", what: "the allocator's bookkeeping" },
  { key: "other_anonymous_bytes", name: "other anonymous", what: "C libraries, stacks, mappings" },
].map((part, at) => ({ ...part, number: at + 1, colour: `--part-${at + 1}` }));

export const named = (table, name) => table[name] ?? (typeof name === "string" ? name.replaceAll("_", " ") : "not known");
