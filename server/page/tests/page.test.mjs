// The page as its users meet it.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { crc32 } from "node:zlib";
import { images, launch, open, serious, serve } from "./server.mjs";

const image = join(images, readdirSync(images).filter((name) => name.endsWith(".png")).sort()[0]);
let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([serve(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A test with a page of its own, which may not complain. */
function onPage(what, settings, act) {
  test(what, { timeout: 60_000 }, async () => {
    const { page, complaints, close } = await open(browser, server.address, settings);
    await page.waitForSelector("#about a");
    await act(page);
    assert.deepEqual(complaints, []);
    await close();
  });
}

const hits = (page) => page.locator(".hit");
const said = (page) => page.locator("#status");

async function search(page, text) {
  await page.fill("#text", text);
  await fused(page);
}

/** Waits until meaning was compared, too. */
async function fused(page) {
  await page.waitForFunction(() => /cosine/.test(document.querySelector(".hit .settings")?.textContent));
}

async function reverse(page) {
  await page.setInputFiles("#file", image);
  await page.locator("#answer:not([hidden])").waitFor();
}

onPage("hits come while typing", {}, async (page) => {
  await search(page, "a red fox in the snow");
  assert.ok((await hits(page).count()) > 3);
  await page.fill("#text", "");
  await page.waitForFunction(() => document.querySelectorAll(".hit").length === 0);
});

onPage("an image is answered with its evidence", {}, async (page) => {
  await reverse(page);
  const verdict = await page.locator(".verdict .badge").textContent();
  assert.match(verdict, /^(exact|near|reconstructed|unsure)$/);
  assert.match(await page.locator(".confidence label").textContent(), /^Confidence \d+%$/);
  assert.ok((await page.locator(".words li").count()) > 2);
  const prompt = await page.locator("#answer-prompt").textContent();
  assert.ok(prompt.length > 10);
  await hits(page).first().waitFor();
  await page.locator("#answer").getByRole("button", { name: "Search with this" }).click();
  await page.waitForFunction((text) => document.querySelector("#text").value === text, prompt);
  await page.waitForFunction(() => document.querySelector("#answer").hidden);
});

onPage("more like a hit leaves the hit out", {}, async (page) => {
  await search(page, "a lighthouse");
  const first = await hits(page).first().locator(".prompt").textContent();
  await hits(page).first().getByRole("button", { name: "More like this" }).click();
  await page.waitForFunction(
    (text) => {
      const now = document.querySelector(".hit .prompt");
      return now !== null && now.textContent !== text;
    },
    first,
  );
  const others = await page.locator(".hit .prompt").allTextContents();
  assert.ok(!others.includes(first));
});

onPage("filters narrow the hits, and say when they cannot be read", {}, async (page) => {
  await search(page, "a red fox");
  await page.locator("#filters summary").click();
  await page.fill("#raw-filter", "-prompt:red");
  await page.locator("#filters-on:not([hidden])").waitFor();
  await page.waitForFunction(() =>
    [...document.querySelectorAll(".hit .prompt")].every((prompt) => !/\bred\b/.test(prompt.textContent)),
  );
  await page.fill("#raw-filter", "colour:red");
  await page.locator("#status.bad").waitFor();
  assert.match(await said(page).textContent(), /there is no field `colour`/);
  await page.locator("#clear-filters").click();
  await page.locator("#status:not(.bad)").waitFor();
  await hits(page).first().waitFor();
  // Numbers that are no round ones are numbers.
  await page.fill("#cfg-min", "7.25");
  await page.fill("#width-max", "500");
  await page.locator("#search button[type=submit]").click();
  await page.waitForFunction(() => document.querySelector("#status").textContent === "Nothing found.");
});

onPage("Back leads to what was there before", {}, async (page) => {
  await search(page, "a lighthouse");
  const first = await hits(page).first().locator(".prompt").textContent();
  await page.fill("#text", "a lighthouse at night");
  await page.waitForURL(/night/);
  await hits(page).first().getByRole("button", { name: "More like this" }).click();
  await page.waitForURL(/like=/);
  await page.waitForFunction(() => /like “/.test(document.querySelector("#status").textContent));
  await reverse(page);
  await page.goBack();
  await page.locator("#answer[hidden]").waitFor({ state: "attached" });
  assert.match(page.url(), /like=/);
  await page.goForward();
  await page.locator("#answer:not([hidden])").waitFor();
  await page.goBack();
  await page.goBack();
  await page.waitForFunction(() => document.querySelector("#text").value === "a lighthouse at night");
  await fused(page);
  // What was typed on the way to it has no place of its own.
  await page.fill("#text", "a lighthouse");
  await fused(page);
  await page.waitForURL(/q=a\+lighthouse$/);
  await page.reload();
  await fused(page);
  assert.equal(await hits(page).first().locator(".prompt").textContent(), first);
});

onPage("an address has text and filters", { path: "/?q=a+castle&raw-filter=-prompt%3Ared&hide-nsfw=on" }, async (page) => {
  await fused(page);
  assert.equal(await page.inputValue("#text"), "a castle");
  assert.equal(await page.inputValue("#raw-filter"), "-prompt:red");
  assert.ok(await page.isChecked("#hide-nsfw"));
  assert.ok(await page.locator("#filters-on").isVisible());
});

onPage("what is no image is refused", {}, async (page) => {
  const text = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("hello") };
  await page.setInputFiles("#file", text);
  await page.locator("#status.bad").waitFor();
  assert.equal(await said(page).textContent(), "That is no image.");
  await page.setInputFiles("#file", { ...text, name: "a.png", mimeType: "image/png" });
  await page.waitForFunction(() => /cannot|not an image|decode/i.test(document.querySelector("#status.bad")?.textContent));
});

onPage("the keyboard leads everywhere", {}, async (page) => {
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "text");
  await page.keyboard.type("a castle at night");
  await hits(page).first().focus();
  // Hits that come in the place of these take the focus over.
  await fused(page);
  const place = () => page.evaluate(() => document.activeElement.dataset.place);
  assert.equal(await place(), "0");
  await page.keyboard.press("ArrowRight");
  assert.equal(await place(), "1");
  for (let row = 0; row < 12; row += 1) await page.keyboard.press("ArrowDown");
  const far = Number(await place());
  assert.ok(far > 12, `at ${far}`);
  // A window of another size keeps it.
  await page.setViewportSize({ width: 700, height: 900 });
  assert.equal(Number(await place()), far);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Copy");
});

onPage("of thousands of hits only those in sight exist", {}, async (page) => {
  await search(page, "a painting");
  const count = () => page.evaluate(() => Number(document.querySelector("#status").textContent.match(/^\d+/)?.[0] ?? 0));
  const start = await count();
  assert.ok(start < 1000);
  for (let now = start; now < 1000; now = await count()) {
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await page.waitForFunction((past) => Number.parseInt(document.querySelector("#status").textContent) > past, now);
  }
  assert.ok((await hits(page).count()) < 100, `${await hits(page).count()} cards`);
});

onPage("images of the index are shown", {}, async (page) => {
  await page.locator("#filters summary").click();
  await page.fill("#raw-filter", "predicted:*");
  await page.waitForFunction(() => {
    const picture = document.querySelector(".hit .thumb img");
    return picture !== null && picture.naturalWidth > 0;
  });
});

for (const colorScheme of ["light", "dark"]) {
  onPage(`nothing serious is in the way of anybody, ${colorScheme}`, { colorScheme }, async (page) => {
    await search(page, "a glass bottle");
    await page.locator("#filters summary").click();
    assert.deepEqual(await serious(page), []);
    await reverse(page);
    assert.deepEqual(await serious(page), []);
  });
}

onPage("a phone is wide enough", { viewport: { width: 390, height: 800 } }, async (page) => {
  await reverse(page);
  await hits(page).first().waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `${wide} pixels`);
});

test("a server with a key asks for it", { timeout: 60_000 }, async () => {
  const locked = await serve("--api-key", "s3cret");
  try {
    const { page, complaints, close } = await open(browser, locked.address);
    const dialog = page.locator("#key-dialog");
    const enter = async (key) => {
      await dialog.waitFor();
      await page.fill("#key", key);
      await page.keyboard.press("Enter");
    };
    await enter("schlüssel");
    await enter("wrong");
    await dialog.waitFor();
    await enter("s3cret");
    await page.waitForSelector("#about a");
    await page.locator("#filters summary").click();
    await page.fill("#raw-filter", "predicted:*");
    await search(page, "a picture");
    await page.waitForFunction(() => document.querySelector(".hit .thumb img")?.naturalWidth > 0);
    assert.deepEqual(complaints, []);
    await close();
  } finally {
    await locked.stop();
  }
});

/** A PNG file with one more text behind its header. */
function withText(png, keyword, text) {
  const content = Buffer.from(`tEXt${keyword}\0${text}`);
  const chunk = Buffer.alloc(content.length + 8);
  chunk.writeUInt32BE(content.length - 4);
  content.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(content), content.length + 4);
  return Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]);
}

test("a server without an image model reads what files carry", { timeout: 60_000 }, async () => {
  const texts = await serve("--model", "none");
  try {
    const { page, complaints, close } = await open(browser, texts.address);
    await page.waitForSelector("#about a");
    assert.match(await page.locator("#asked").innerText(), /carry/);
    const plain = { name: "plain.png", mimeType: "image/png", buffer: readFileSync(image) };
    await page.setInputFiles("#file", plain);
    await page.locator("#status", { hasText: "image model" }).waitFor();
    const settings = "a lone fox\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64";
    await page.setInputFiles("#file", { ...plain, buffer: withText(plain.buffer, "parameters", settings) });
    await page.locator("#answer", { hasText: "a lone fox" }).waitFor();
    await search(page, "a glass bottle");
    assert.ok((await hits(page).count()) > 0);
    assert.deepEqual(complaints, []);
    await close();
  } finally {
    await texts.stop();
  }
});
