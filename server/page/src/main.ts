// The page: an image or a text in, the answer and hits out.

import * as answer from "./answer";
import { Failure, type Info, type Mode, hasKey, info, reverse, search, similar, useKey } from "./api";
import { byId, el } from "./dom";
import * as filters from "./filters";
import { Grid } from "./hits";
import { lasting } from "./storage";
import * as view from "./view";

/** Pauses in typing after which words are looked up, and after which meaning is compared, too. */
const WORDS_MS = 80;
const MEANING_MS = 350;
const FIRST_HITS = 60;

const text = byId("text", HTMLInputElement);
const file = byId("file", HTMLInputElement);
const status = byId("status", HTMLParagraphElement);
const answerRoot = byId("answer", HTMLElement);
const drop = byId("drop", HTMLElement);

let about: Info | null = null;
let image: Blob | null = null;
let preview = "";
/** The prompt that those of {@link like} are like. */
let liked = "";
let like: string | null = null;
/** Whether what is shown next gets a place of its own in the history. */
let isNew = false;
/** Whether the image that was shown here is gone. */
let hasLost = false;
let call = new AbortController();
let timers: number[] = [];

const grid = new Grid(
  byId("hits", HTMLDivElement),
  () => about?.has_images === true,
  () => about?.max_hits ?? FIRST_HITS,
  {
    similar(hit) {
      go({ like: hit.id });
      scrollTo({ top: 0 });
    },
    search(prompt) {
      go({ text: prompt });
      scrollTo({ top: 0 });
    },
    failed,
    found(count, more) {
      const prompts = count === 1 && !more ? "prompt" : "prompts";
      const found = `${count}${more ? " and more" : ""} ${prompts}`;
      say(count === 0 ? "Nothing found." : like === null ? found : `${found} like “${liked}”`);
    },
  },
);

function say(message: string, bad = false): void {
  status.textContent = message;
  status.classList.toggle("bad", bad);
}

function failed(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof Failure && error.status === 401) askForKey(hasKey() ? "That key is not the one." : "");
  say(error instanceof Error ? error.message : String(error), true);
}

function askForKey(why: string): void {
  const dialog = byId("key-dialog", HTMLDialogElement);
  byId("key-why", HTMLParagraphElement).textContent = why;
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
}

/** Goes on to something else. */
function go(next: { text?: string; like?: string; image?: Blob }): void {
  isNew = true;
  hasLost = false;
  set({ text: "", like: null, image: null, ...next });
  run("hybrid");
}

function set(next: Omit<view.View, "filters">): void {
  text.value = next.text;
  ({ like, image } = next);
  if (preview !== "") URL.revokeObjectURL(preview);
  preview = image === null ? "" : URL.createObjectURL(image);
}

/** Has the controls say what the address says. */
function restore(): void {
  const shown = view.here();
  hasLost = view.hasLostImage();
  set(shown);
  filters.use(shown.filters);
  isNew = false;
}

/** Answers what is there now: an image, more like a hit, or a text. */
function run(mode: Mode): void {
  // What was typed before is answered by this; only meaning is still to be compared.
  if (mode !== "keyword") {
    timers.forEach(clearTimeout);
    view.keep({ text: text.value.trim(), like, image, filters: filters.values() }, isNew);
    isNew = false;
  }
  call.abort();
  call = new AbortController();
  const filter = filters.expression();
  if (image === null) answerRoot.hidden = true;
  if (image !== null) {
    void runReverse(image, filter, call.signal);
    return;
  }
  if (like !== null) {
    const id = like;
    say("Searching …");
    grid.show({
      async page(offset, k, signal) {
        const said = await similar({ id, filter, k, offset }, signal);
        liked = said.query;
        return said.hits;
      },
    });
    return;
  }
  const q = text.value.trim();
  if (q === "" && filter === "") {
    grid.show(null);
    say(hasLost ? "The image is not kept when the page is loaded anew: choose it again." : "");
    return;
  }
  say("Searching …");
  grid.show({ page: async (offset, k, signal) => (await search({ q, mode, filter, k, offset }, signal)).hits });
}

async function runReverse(asked: Blob, filter: string, signal: AbortSignal): Promise<void> {
  say("Looking at the image …");
  grid.show(null);
  try {
    const k = Math.min(FIRST_HITS, about?.max_hits ?? FIRST_HITS);
    const said = await reverse(asked, filter, k, signal);
    answer.show(answerRoot, said, preview, (prompt) => go({ text: prompt }));
    grid.show(null, said.hits);
    const count = said.hits.length;
    say(count > 0 ? `${count} prompts that come near` : about?.model === null ? "" : "Nothing found.");
  } catch (error) {
    // Something else was asked meanwhile.
    if (signal.aborted) return;
    answerRoot.hidden = true;
    failed(error);
  }
}

function take(given: Blob): void {
  if (!given.type.startsWith("image/")) {
    say("That is no image.", true);
    return;
  }
  if (about !== null && given.size > about.max_image_bytes) {
    say(`That image is larger than ${Math.floor(about.max_image_bytes / 2 ** 20)} MiB.`, true);
    return;
  }
  go({ image: given });
}

text.addEventListener("input", () => {
  // Typing on changes what is there; Back does not lead to each letter.
  isNew ||= image !== null || like !== null;
  hasLost = false;
  like = image = null;
  timers.forEach(clearTimeout);
  timers = [setTimeout(() => run("keyword"), WORDS_MS), setTimeout(() => run("hybrid"), MEANING_MS)];
});
byId("search", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  if (text.value.trim() !== "") like = image = null;
  run("hybrid");
  isNew = true;
});
file.addEventListener("change", () => {
  const given = file.files?.[0];
  if (given !== undefined) take(given);
  file.value = "";
});
addEventListener("paste", (event) => {
  const given = [...(event.clipboardData?.files ?? [])][0];
  if (given !== undefined) {
    event.preventDefault();
    take(given);
  }
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const given = event.dataTransfer?.files[0];
  if (given !== undefined) take(given);
  else say("That is no image file: save the image first, or copy and paste it.", true);
});
addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    text.focus();
  }
});
filters.watch(() => run("hybrid"));
view.watch(() => {
  restore();
  run("hybrid");
});

byId("theme", HTMLButtonElement).addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset["theme"] ?? (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = next;
  lasting.write("unprompt-theme", next);
});
const theme = lasting.read("unprompt-theme");
if (theme !== null) document.documentElement.dataset["theme"] = theme;

// Not when the form is sent, for the dialog is still open then.
byId("key-dialog", HTMLDialogElement).addEventListener("close", (event) => {
  const field = byId("key", HTMLInputElement);
  const key = field.value.trim();
  field.value = "";
  if ((event.target as HTMLDialogElement).returnValue !== "use") return;
  if (useKey(key)) void load();
  else askForKey("A key has English letters, digits and signs only.");
});

async function load(): Promise<void> {
  try {
    about = await info();
    const { prompts, images } = about.index;
    const numbers = new Intl.NumberFormat("en");
    // Without a model, what a file carries is the answer.
    if (about.model === null) byId("asked", HTMLParagraphElement).textContent = "What prompt does this image carry?";
    byId("about", HTMLParagraphElement).replaceChildren(
      `${numbers.format(prompts)} prompts, ${numbers.format(images)} images, ${about.model === null ? "no image model" : `model ${about.model}`}. `,
      el("a", { href: "/docs/" }, "API"),
    );
    run("hybrid");
  } catch (error) {
    failed(error);
  }
}

restore();
void load();
