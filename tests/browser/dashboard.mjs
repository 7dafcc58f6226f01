// The dashboard of a running service in a real Chromium, as a person uses it.
//
//   node dashboard.mjs ADDRESS CHROMIUM FOLDER
//
// Writes screenshots into FOLDER and one JSON object with what was found to the standard output; the
// exit code is 1 when something is not as it should be, and the standard error says what.

import axe from "axe-core";
import { chromium } from "playwright-core";
import { join } from "node:path";

const [address, executablePath, folder] = process.argv.slice(2);
const url = `http://${address}/`;

const PATIENCE = 30_000;
// A leak takes a while to be told from a warm-up.
const VERDICT = 150_000;

const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const found = { errors: [], elsewhere: [], violations: [] };

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

// A page that tells what goes wrong in it, and whom it asks.
async function open(colorScheme, viewport, reducedMotion = "no-preference") {
  const context = await browser.newContext({ colorScheme, viewport, reducedMotion });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => found.errors.push(`${error}`));
  page.on("console", (message) => {
    // While the process restarts nobody listens: the browser logs each try to reach it.
    const isRetry = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_SOCKET_NOT_CONNECTED|WebSocket connection to .* failed/;
    const during = page.restarting && isRetry.test(message.text());
    // The browser logs what a server refuses.
    const refusal = page.refused && /status of 422/.test(message.text());
    if (message.type() === "error" && !during && !refusal) found.errors.push(message.text());
  });
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (target.protocol !== "data:" && target.host !== address) found.elsewhere.push(request.url());
  });
  await page.goto(url);
  await page.waitForSelector('#connection[data-state="live"]');
  return page;
}

// Serious and critical ones; the rest is told.
async function audit(page, where) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => axe.run(document));
  for (const { id, impact, nodes } of violations) {
    found.violations.push({ where, id, impact, nodes: nodes.map((node) => node.html.slice(0, 200)) });
  }
}

async function picture(page, name) {
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

async function command(page, button) {
  await page.click(button);
  await page.waitForSelector("dialog[open]");
  const told = (await page.textContent("dialog[open]")).trim();
  expect(told.length > 40, `${button} does not say what it will do: ${told}`);
  await page.click("dialog[open] #confirm");
  return told;
}

// What people ask of the service, so that there are routes to be seen.
async function visit() {
  const paths = ["staff", "settings", "attendance?date=2026-06-15"];
  for (let number = 1; number <= 30; number++) paths.push(`children?page=${number}&limit=${10 * number}`);
  for (const path of paths) {
    const answer = await fetch(`${url}api/${path}`);
    expect(answer.ok, `${path}: ${answer.status}`);
    found.usage ??= answer.headers.get("x-memory-usage");
    await answer.arrayBuffer();
  }
}

async function test() {
  await visit();
  const page = await open("light", { width: 1280, height: 900 });

  // Live figures change.
  const live = () => page.textContent("#live-bytes");
  const first = await live();
  await page.waitForFunction((before) => document.querySelector("#live-bytes").textContent !== before, first);
  found.live = [first, await live()];

  // A leak is told.
  await page.waitForSelector('#verdict[data-verdict="leak"]', { timeout: VERDICT });
  found.verdict = (await page.textContent("#verdict")).replace(/\s+/g, " ").trim();
  found.timeToLimit = (await page.textContent("#time-to-limit")).trim();
  // The level does not say that all is well while it is there.
  found.levelWords = (await page.textContent("#level-words")).trim();
  expect(/\bleak\b/.test(found.levelWords) && !/Nothing has to be done/.test(found.levelWords), `the level hides the leak: ${found.levelWords}`);

  // Optimise says what it will do, does it, and the ledger has it.
  const rows = () => page.locator('#ledger tbody tr[data-action="purge_arenas"]').count();
  const before = await rows();
  found.optimise = (await command(page, "#optimise")).replace(/\s+/g, " ");
  await page.waitForFunction(
    (count) => document.querySelectorAll('#ledger tbody tr[data-action="purge_arenas"]').length > count,
    before,
  );
  found.ledger = await rows();
  await page.keyboard.press("Escape");
  await page.waitForSelector("#routes tbody tr");
  found.routes = await page.locator("#routes tbody tr").count();
  expect(found.routes >= 4, `the routes that were asked for are not shown: ${found.routes}`);
  await page.waitForFunction(() => !/not settled/.test(document.querySelector("#ledger").textContent));
  await picture(page, "light");
  await audit(page, "light");
  // The lines of the levels have their names.
  await page.check("#to-limit");
  await page.waitForTimeout(300);
  await page.locator("#grows .card").screenshot({ path: join(folder, "limit.png") });
  await page.uncheck("#to-limit");
  // What is marked is counted in the sentence below, once.
  found.summary = (await page.textContent("#chart-summary")).trim();
  expect((await page.locator("#marks button").count()) > 0, "the actions are not marked");
  expect(/Marked: .*action/.test(found.summary), `the chart's sentence does not tell the marks: ${found.summary}`);
  // As the front page of the project shows it.
  await page.setViewportSize({ width: 1280, height: 1388 });
  await page.check('input[name="range"][value="60"]');
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.waitForTimeout(1_500);
  await page.screenshot({ path: join(folder, "dashboard.png") });
  await page.setViewportSize({ width: 1280, height: 900 });

  const dark = await open("dark", { width: 1280, height: 900 });
  await dark.waitForSelector('#verdict[data-verdict="leak"]');
  await picture(dark, "dark");
  await audit(dark, "dark");
  expect((await dark.textContent("#theme")).trim() === "Switch to light", "the button does not say what it switches to");
  await dark.context().close();

  const phone = await open("light", { width: 360, height: 740 }, "reduce");
  await phone.waitForSelector('#verdict[data-verdict="leak"]');
  const wide = await phone.evaluate(() => document.documentElement.scrollWidth);
  expect(wide <= 360, `the page is ${wide} wide on a phone of 360`);
  await picture(phone, "phone");
  await audit(phone, "phone");
  // The longest form fits too.
  await phone.click("#policy");
  await phone.waitForSelector("dialog[open]");
  const [inner, outer, whole] = await phone.evaluate(() => {
    const dialog = document.querySelector("dialog");
    return [dialog.scrollWidth, dialog.clientWidth, document.documentElement.scrollWidth];
  });
  expect(inner <= outer && whole <= 360, `the policy is ${inner} wide in a dialog of ${outer}, the page ${whole}`);
  const crossing = await phone.evaluate(() => {
    const boxes = [...document.querySelectorAll("dialog .field input:not([hidden]), dialog .field select")].map((input) => input.getBoundingClientRect());
    return boxes.some((a, at) => boxes.slice(at + 1).some((b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
  });
  expect(!crossing, "fields of the policy lie over each other on a phone");
  await phone.screenshot({ path: join(folder, "policy.png") });
  await phone.context().close();

  // A policy that makes no sense is refused, at its field.
  await page.click("#policy");
  await page.fill("#policy-budget_per_hour", "0");
  page.refused = true;
  await page.click("dialog[open] #confirm");
  await page.waitForSelector('#policy-budget_per_hour[aria-invalid="true"]');
  found.fault = (await page.textContent("#policy-budget_per_hour-fault")).trim();
  expect(/expected/.test(found.fault), `the fault does not say what was expected: ${found.fault}`);
  await page.waitForFunction(() => document.activeElement.id === "policy-budget_per_hour");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog:not([open])", { state: "attached" });
  page.refused = false;

  // Commands can be reached and given without a mouse.
  await page.focus("#drill");
  await page.keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog:not([open])", { state: "attached" });
  expect(await page.evaluate(() => document.activeElement.id) === "drill", "the focus is not back at the button");

  // The process restarts; the page comes back by itself, and says so.
  const image = async () => {
    const answer = await fetch(`${url}api/system/memory-details`);
    return (await answer.json()).image;
  };
  const old = await image();
  page.restarting = true;
  found.restart = (await command(page, "#restart")).replace(/\s+/g, " ");
  await page.waitForSelector("#restarted", { state: "visible", timeout: 60_000 });
  await page.waitForSelector('#connection[data-state="live"]', { timeout: PATIENCE });
  const next = await image();
  expect(next.started_unix_seconds > old.started_unix_seconds, "no restart happened");
  expect(next.process_id === old.process_id, "the process is another");
  found.restarted = (await page.textContent("#restarted")).replace(/\s+/g, " ").trim();
  expect(/asked for/.test(found.restarted), `the banner does not tell that somebody asked for the restart: ${found.restarted}`);
  page.restarting = false;
  const below = await page.evaluate(() => {
    const banner = document.querySelector("#restarted").getBoundingClientRect();
    const lies = (box) => box.height > 0 && box.top < banner.bottom && banner.top < box.bottom && box.left < banner.right && banner.left < box.right;
    return [...document.querySelectorAll(".card")].filter((card) => lies(card.getBoundingClientRect())).map((card) => card.closest("section").id);
  });
  expect(below.length === 0, `the banner lies across: ${below}`);
  expect(await page.isHidden("#result"), "what was said of the restart is still there after it");
  const after = await live();
  await page.waitForFunction((text) => document.querySelector("#live-bytes").textContent !== text, after);
  // Who stands on a mark stays among the marks when it is taken into another.
  const marks = page.locator("#marks button");
  expect((await marks.count()) > 1, "the restart and the purge are not marked apart");
  await marks.last().focus();
  await page.evaluate(() => document.querySelector('input[name="range"][value="3600"]').click());
  expect(await page.evaluate(() => document.activeElement.closest("#marks") !== null), "the focus is lost");
  await picture(page, "restarted");
  await audit(page, "restarted");

  const serious = found.violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  expect(serious.length === 0, `axe: ${JSON.stringify(serious, null, 1)}`);
  expect(found.elsewhere.length === 0, `requests to others: ${found.elsewhere}`);
  expect(found.errors.length === 0, `errors in the console: ${found.errors.join("\n")}`);
}

try {
  await test();
} catch (error) {
  process.stderr.write(`${error.stack}\n${JSON.stringify(found, null, 1)}\n`);
  process.exitCode = 1;
  for (const [number, page] of browser.contexts().flatMap((context) => context.pages()).entries()) {
    await picture(page, `failed-${number}`).catch(() => {});
  }
} finally {
  process.stdout.write(`${JSON.stringify(found)}\n`);
  await browser.close();
}
