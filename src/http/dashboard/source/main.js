/** Brings it together: what comes in, and what is shown. */

import "uplot/dist/uPlot.min.css";
import "./style.css";
import * as actions from "./actions.js";
import { askAgain, get, onTokenNeeded } from "./api.js";
import * as charts from "./charts.js";
import * as diagnosis from "./diagnosis.js";
import * as dialog from "./dialog.js";
import { byId, h, setText } from "./dom.js";
import * as done from "./done.js";
import { duration, isNumber } from "./format.js";
import * as happenings from "./happenings.js";
import * as inside from "./inside.js";
import { connect } from "./link.js";
import * as marks from "./marks.js";
import { MODES, named } from "./names.js";
import * as policy from "./policy.js";
import * as record from "./record.js";
import * as requests from "./requests.js";
import * as restarted from "./restarted.js";
import * as safety from "./safety.js";
import * as theme from "./theme.js";
import { ask } from "./token.js";
import * as verdict from "./verdict.js";

/** All that is known now. */
const known = { image: null, sample: null, details: null, status: null };

const DETAILS_EVERY = 30_000;
const DETAILS_SOONEST = 1500;
const REQUESTS_EVERY = 5000;

let connection = "connecting";
let detailsAt = 0;
let detailsTimer = 0;
let isFetching = false;
let asksForRequests = false;
let newImage = null;
let notice = "";
let wasLost = false;
/** By this browser's clock, which need not be the server's. */
let heardAt = 0;

function start() {
  dialog.start();
  onTokenNeeded(ask);
  charts.start();
  marks.start(done.goToMark);
  diagnosis.start();
  done.start();
  requests.start();
  inside.start();
  actions.start(known, () => wantDetails(300));
  policy.start(known);
  theme.start(() => charts.rebuild());
  connect(take, setConnection);
  wantDetails(0);
  fetchRequests();
  setInterval(() => {
    if (!document.hidden && Date.now() - detailsAt > DETAILS_EVERY) wantDetails(0);
  }, 1000);
  setInterval(fetchRequests, REQUESTS_EVERY);
  setInterval(showAge, 1000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    render();
    wantDetails(0);
    fetchRequests();
  });
}

function take(message) {
  if (message.type === "hello") takeHello(message.image);
  else if (message.type === "sample") takeSample(message);
  else if (message.type === "event") takeEvent(message.event);
}

function takeHello(image) {
  const other = restarted.greet(image);
  if (other) {
    newImage = other;
    known.details = null;
    actions.cameBack();
    known.status = null;
  }
  known.image = image;
  setText("image", `${image.version}, process ${image.process_id}, ${named(MODES, image.mode)}`);
  // Whatever happened while nobody listened.
  wantDetails(0);
}

function takeSample(sample) {
  known.sample = sample;
  heardAt = Date.now();
  record.takeSample(sample);
  if (!document.hidden) render();
}

function takeEvent(event) {
  if (!event || !known.image) return;
  happenings.takeEvent(event, known.image);
  if (!document.hidden) {
    done.show(known.details?.summary);
    charts.refresh();
  }
  // The ledger has settled a quarter of a second after. Who does not look asks when he does.
  if (!document.hidden) wantDetails(500);
}

/** Everything that a sample changes. */
function render() {
  const { sample, details } = known;
  if (sample) {
    safety.show(sample, details?.levels ?? null);
    verdict.show(sample.leak, sample.at_unix_seconds);
    diagnosis.show(details?.diagnosis, sample);
    inside.showAllocator(sample.allocator);
    charts.setUptime(sample.uptime_seconds);
    charts.setLimit(sample.limit?.bytes, details?.levels);
  }
  charts.refresh();
}

/** Asks for the details soon, however often it is called. */
function wantDetails(delay) {
  const soonest = Math.max(delay, detailsAt + DETAILS_SOONEST - Date.now());
  clearTimeout(detailsTimer);
  detailsTimer = setTimeout(fetchDetails, Math.max(0, soonest));
}

async function fetchDetails() {
  if (isFetching) return wantDetails(DETAILS_SOONEST);
  isFetching = true;
  detailsAt = Date.now();
  try {
    // Where no stream comes through, the verdict is asked for.
    const leak = connection === "live" ? null : get("memory/leak-analysis").catch(() => null);
    takeDetails(...(await Promise.all([get("memory-details"), get("auto-restart/status"), leak])));
    say("");
  } catch (problem) {
    // That the server is away is said by the connection already.
    if (problem.status) say(`The details could not be had: ${problem.message}`, problem.status === 401);
  } finally {
    isFetching = false;
  }
  return undefined;
}

function takeDetails(details, status, leak) {
  const isOld = newImage && details.image?.started_unix_seconds !== newImage.now.started_unix_seconds;
  if (isOld) return;
  known.details = details;
  known.status = status;
  record.takeHistory(details.history);
  happenings.takeLedger(details.ledger, details.image);
  for (const event of details.events ?? []) happenings.takeEvent(event, details.image);
  happenings.takeRestarts(status.restarts);
  if (newImage) {
    restarted.explain(newImage);
    newImage = null;
  }
  // Until the stream speaks, what was fetched has to do.
  if (!known.sample || connection !== "live") takeStats(details, leak);
  inside.show(details);
  done.show(details.summary);
  actions.show();
  render();
}

function takeStats(details, leak) {
  const sample = { ...known.sample, ...details, at_unix_seconds: Date.now() / 1000, leak: leak ?? known.sample?.leak ?? null, parts: details.diagnosis };
  sample.given_back_bytes = details.summary?.given_back_bytes;
  known.sample = sample;
}

async function fetchRequests() {
  // One at a time: while a person is asked for the token, all others would wait with it.
  if (document.hidden || asksForRequests) return;
  asksForRequests = true;
  try {
    requests.show(await get("performance"));
  } catch {
    // The next look is in five seconds.
  } finally {
    asksForRequests = false;
  }
}

function setConnection(state, reason) {
  announce(state);
  connection = state;
  byId("connection").dataset.state = state;
  const words = { live: "live", connecting: reason === "restart" ? "restarting" : "connecting", lost: "connection lost" };
  setText("connection-words", words[state]);
  document.documentElement.classList.toggle("stale", state !== "live");
}

/** That figures have stopped, and that they go on: not every try in between. */
function announce(state) {
  if (state === "lost" && !wasLost) setText("announce", "The connection is lost: the figures are old.");
  if (state === "live" && wasLost) setText("announce", "Connected again: the figures are live.");
  if (state !== "connecting") wasLost = state === "lost";
}

/** How old the figures are, when they are. */
function showAge() {
  const age = heardAt > 0 ? (Date.now() - heardAt) / 1000 : NaN;
  if (connection === "live" || !isNumber(age) || age < 3) return;
  setText("connection-words", `${connection === "lost" ? "connection lost" : "connecting"}, figures ${duration(Math.round(age))} old`);
}

function say(text, wantsToken = false) {
  if (text === notice) return;
  notice = text;
  byId("notice").hidden = text === "";
  const again = () => {
    askAgain();
    wantDetails(0);
  };
  byId("notice").replaceChildren(h("p", {}, text), wantsToken ? h("button", { type: "button", class: "quiet", onclick: again }, "Enter the token…") : "");
}

start();
