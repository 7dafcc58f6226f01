// What the page keeps in its memory and how it connects, without a browser: what takes hours or a frozen server
// to come about.
//
//   node modules.mjs

import assert from "node:assert/strict";

const source = (name) => import(new URL(`../../src/http/dashboard/source/${name}.js`, import.meta.url));

const elements = new Map();
function element() {
  const listeners = new Map();
  return {
    addEventListener: (name, listener) => listeners.set(name, listener),
    append() {},
    classList: { toggle() {} },
    close() {
      this.open = false;
      listeners.get("close")?.();
    },
    focus() {},
    open: false,
    replaceChildren(...children) {
      this.children = children;
    },
    setAttribute() {},
    showModal() {
      this.open = true;
    },
    submit: () => listeners.get("submit")({ preventDefault() {} }),
    textContent: "",
  };
}
globalThis.document = {
  addEventListener() {},
  createElement: () => element(),
  getElementById(id) {
    if (!elements.has(id)) elements.set(id, element());
    return elements.get(id);
  },
  hidden: false,
  querySelector: () => null,
};
globalThis.addEventListener = () => {};
globalThis.location = new URL("http://127.0.0.1:1/");

const ticks = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

const cases = {
  async "a restart that drained for long is the cause of the new image"() {
    const { allRestarts, takeRestarts } = await source("happenings");
    const restarted = await source("restarted");
    const [before, now] = [{ started_unix_seconds: 1000.5 }, { started_unix_seconds: 2007.5 }];
    assert.equal(restarted.greet(before), null);
    const other = restarted.greet(now);
    takeRestarts([{ at_unix_seconds: 2000, how: "exec" }]);
    restarted.explain(other);
    assert.deepEqual(allRestarts().map(({ at_unix_seconds: at, isOnlySeen }) => [at, isOnlySeen]), [[2000, undefined]]);
    // And one of which nobody has told is seen all the same.
    restarted.explain(restarted.greet({ started_unix_seconds: 3000.5 }));
    assert.deepEqual(allRestarts().map(({ isOnlySeen }) => isOnlySeen), [true, undefined]);
  },

  async "a restart that did not happen is none"() {
    const { allRestarts, takeEvent } = await source("happenings");
    const image = { started_unix_seconds: 4000.5 };
    const known = allRestarts().length;
    const restart = { at_unix_seconds: 4100, how: "exec" };
    takeEvent({ sequence: 0, at_unix_seconds: 4100.2, kind: "restarting", restart }, image);
    takeEvent({ sequence: 1, at_unix_seconds: 4100.3, kind: "action" }, image);
    assert.equal(allRestarts().length, known + 1);
    takeEvent({ sequence: 2, at_unix_seconds: 4100.4, kind: "fault", ends_restart: true }, image);
    assert.equal(allRestarts().length, known);
  },

  async "a clock that is set moves what is known, and tells nothing twice"() {
    const { allEvents, allRows, takeEvent } = await source("happenings");
    const image = { started_unix_seconds: 5000.5 };
    const known = [allEvents().length, allRows().length];
    for (const ahead of [0, -600, 3600]) {
      const row = { action: "purge", at_seconds: 12.25, at_unix_seconds: 5012.75 + ahead };
      takeEvent({ sequence: 0, at_unix_seconds: 5012.75 + ahead, kind: "action", row }, image);
    }
    assert.deepEqual([allEvents().length, allRows().length], [known[0] + 1, known[1] + 1]);
    assert.equal(allEvents()[0].at_unix_seconds, 8612.75);

    const record = await source("record");
    const sample = (at) => record.takeSample({ at_unix_seconds: at, heap: { live_bytes: at } });
    for (let at = 10_000; at < 10_600; at += 1) sample(at);
    for (let at = 9_400; at < 9_900; at += 1) sample(at);
    assert.equal(record.lastAt(), 9_899);
    const shown = record.view(60);
    assert.equal(shown.length, 61);
  },

  async "a server that is silent is lost"() {
    const timers = new Map();
    let next = 1;
    const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, fetch: globalThis.fetch };
    globalThis.setTimeout = (run, delay) => {
      timers.set(next, { run, delay });
      return next++;
    };
    globalThis.clearTimeout = (id) => timers.delete(id);
    globalThis.fetch = () => new Promise(() => {});
    // A handshake that hangs.
    globalThis.WebSocket = class {
      close() {}
    };
    const states = [];
    const { connect } = await source("link");
    connect(() => {}, (state) => states.push(state));
    const [[id, silence]] = [...timers];
    timers.delete(id);
    silence.run();
    await ticks();
    Object.assign(globalThis, real);
    assert.deepEqual(states, ["connecting", "lost"]);
  },

  async "what an abandoned command comes to leaves the next dialog alone"() {
    const dialog = await source("dialog");
    dialog.start();
    const form = document.getElementById("dialog-form");
    for (const ends of ["well", "badly"]) {
      let end = null;
      const onConfirm = () =>
        new Promise((resolve, reject) => {
          end = ends === "well" ? resolve : () => reject(new Error("refused"));
        });
      dialog.open({ title: "first", body: [], confirm: "do it", onConfirm });
      form.submit();
      await ticks();
      document.getElementById("dialog").close();
      let isCancelled = false;
      const onCancel = () => {
        isCancelled = true;
      };
      dialog.open({ title: "second", body: [], confirm: "go", onConfirm: () => {}, onCancel });
      end();
      await ticks();
      assert.ok(document.getElementById("dialog").open, ends);
      assert.equal(document.getElementById("dialog-fault").textContent, "");
      document.getElementById("dialog").close();
      assert.ok(isCancelled);
    }
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
