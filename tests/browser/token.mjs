// A dashboard that wants a token, in a real Chromium whose clock is an hour fast: who gives none is asked
// once, and who gives it sees figures; when they stop, their age is not the difference of two clocks.
//
//   node token.mjs ADDRESS CHROMIUM TOKEN
//
// The exit code is 1 when something is not as it should be, and the standard error says what.

import { chromium } from "playwright-core";

const [address, executablePath, token] = process.argv.slice(2);
// Longer than the page lets pass before it asks for anything again.
const A_WHILE = 8_000;

const browser = await chromium.launch({
  executablePath,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

try {
  const page = await browser.newPage();
  await page.addInitScript(() => {
    const now = Date.now;
    Date.now = () => now() + 3_600_000;
  });
  let isCut = false;
  const sockets = [];
  await page.routeWebSocket(/live/, (socket) => {
    if (isCut) return void socket.close();
    socket.connectToServer();
    sockets.push(socket);
  });
  await page.goto(`http://${address}/`);

  const dialog = page.locator("#dialog");
  await dialog.waitFor({ state: "visible" });
  expect(await page.evaluate(() => document.activeElement.id) === "token", "the field has the focus");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  const until = performance.now() + A_WHILE;
  while (performance.now() < until) {
    expect(!(await dialog.isVisible()), "who gave no token is asked again by itself");
    await page.waitForTimeout(100);
  }
  await page.getByRole("button", { name: "Enter the token" }).click();
  await dialog.waitFor({ state: "visible" });
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.waitForSelector('#connection[data-state="live"]');
  await page.locator("#notice").waitFor({ state: "hidden" });

  isCut = true;
  await page.route("**/api/**", (route) => route.abort());
  for (const socket of sockets) await socket.close();
  await page.waitForFunction(() => /lost, figures/.test(document.getElementById("connection-words").textContent));
  const words = await page.locator("#connection-words").textContent();
  expect(/figures \d+ s old$/.test(words), `the age of the figures: ${words}`);
  const said = await page.locator("#announce").textContent();
  expect(/connection is lost/.test(said), `what is said aloud: ${said}`);

  isCut = false;
  await page.unroute("**/api/**");
  await page.waitForSelector('#connection[data-state="live"]');
  const then = await page.locator("#announce").textContent();
  expect(/Connected again/.test(then), `what is said aloud: ${then}`);
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
