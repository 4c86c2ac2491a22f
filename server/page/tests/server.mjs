// A server of its own for a test file, on a port that is free, and a browser.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const need = (name) => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`set ${name}; server/page/e2e.sh does`);
  return value;
};

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Images of the index, by their files. */
export const images = need("UNPROMPT_E2E_IMAGES");

/** Starts the program on the index. */
export async function serve(...settings) {
  const args = ["serve", need("UNPROMPT_E2E_INDEX"), "--bind", "127.0.0.1:0", "--images", images, ...settings];
  const child = spawn(need("UNPROMPT"), args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => child.on("exit", done));
  const lines = createInterface({ input: child.stdout });
  const address = await Promise.race([new Promise((done) => lines.once("line", done)), ended]);
  if (typeof address !== "string") throw new Error("the server has not started");
  return {
    address,
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

export const launch = () => chromium.launch({ executablePath: need("UNPROMPT_E2E_BROWSER"), args: ["--no-sandbox"] });

/** Opens the page, and collects what it complains of. */
export async function open(browser, address, { path = "/", ...settings } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...settings });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  // What the browser says of answers with an error is expected where a test asks for one.
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
  });
  await page.goto(new URL(path, address).href);
  return { page, complaints, close: () => context.close() };
}

/** What the accessibility check finds that is serious. */
export async function serious(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run());
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
}
