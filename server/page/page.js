// src/dom.ts
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`no ${kind.name} with the id ${id}`);
  return element;
}
function copyButton(text2, what) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text2);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => button.textContent = "Copy", 1500);
  });
  return button;
}

// src/answer.ts
var VERDICTS = {
  embedded: "The file carries its prompt",
  exact: "Almost certainly this prompt",
  near: "Probably a prompt like this",
  reconstructed: "Put together from the prompts below",
  unsure: "Not sure: this is the best there is"
};
var WORDS = 12;
var COLOURS = 8;
function show(root, answer, preview2, search2) {
  const percent = Math.round(answer.confidence * 100);
  const took = answer.took_ms;
  const total = took.decode + took.encode + took.search + took.reconstruct;
  root.replaceChildren(
    el("img", { src: preview2, class: "preview", alt: "The image that was asked about" }),
    el(
      "div",
      { class: "said" },
      el(
        "p",
        { class: "verdict" },
        el("span", { class: `badge ${answer.verdict}` }, answer.verdict),
        ` ${VERDICTS[answer.verdict]}`
      ),
      el(
        "p",
        { class: "confidence" },
        el("label", { for: "confidence" }, `Confidence ${percent}%`),
        el("meter", { id: "confidence", min: 0, max: 1, value: answer.confidence }, `${percent}%`),
        el("span", { class: "took" }, `${total.toFixed(0)} ms`)
      ),
      phrases(answer),
      el(
        "div",
        { class: "actions" },
        copyButton(answer.prompt, "prompt"),
        el("button", { type: "button", class: "quiet", onclick: () => search2(answer.prompt) }, "Search with this")
      ),
      answer.embedded === null ? null : embedded(answer.embedded),
      answer.embedded === null ? words(answer) : null
    )
  );
  root.hidden = false;
}
function phrases(answer) {
  const prompt = el("p", { class: "answer-prompt", id: "answer-prompt" });
  if (answer.phrases.length === 0) {
    prompt.append(answer.prompt === "" ? "The index has no prompt to answer with." : answer.prompt);
    return prompt;
  }
  const colours = /* @__PURE__ */ new Map();
  const ranks = new Map(answer.hits.map((hit) => [hit.id, hit.rank]));
  let rest = answer.prompt;
  for (const { text: text2, from } of answer.phrases) {
    const at = rest.indexOf(text2);
    if (at < 0) continue;
    prompt.append(rest.slice(0, at));
    rest = rest.slice(at + text2.length);
    const origin = from[0];
    if (origin === void 0) {
      prompt.append(text2);
      continue;
    }
    if (!colours.has(origin)) colours.set(origin, colours.size % COLOURS);
    const rank = ranks.get(origin);
    const title = rank === void 0 ? "from a prompt that is not listed" : `from hit ${rank}`;
    prompt.append(el("mark", { class: `from-${colours.get(origin)}`, title }, text2));
  }
  prompt.append(rest);
  return prompt;
}
function embedded(said) {
  const rows = [
    ["Negative prompt", said.negative_prompt],
    ["Generator", said.generator],
    ["Model", said.model],
    ["Sampler", said.sampler],
    ["Steps", said.steps],
    ["CFG", said.cfg],
    ["Seed", said.seed]
  ];
  const list = el("dl", { class: "embedded" });
  for (const [name, value] of rows) {
    if (value !== null) list.append(el("dt", {}, name), el("dd", {}, String(value)));
  }
  return list;
}
function words(answer) {
  if (answer.words.length === 0) return null;
  const list = el("ul", { class: "words" });
  for (const { word, probability } of answer.words.slice(0, WORDS)) {
    const percent = Math.round(probability * 100);
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", `${percent}%`);
    list.append(el("li", {}, el("span", { class: "word" }, word), bar, el("span", { class: "percent" }, `${percent}%`)));
  }
  return el("div", {}, el("h2", {}, "Words it is likely to have"), list);
}

// src/storage.ts
var Kept = class {
  constructor(storage) {
    this.storage = storage;
  }
  own = /* @__PURE__ */ new Map();
  read(name) {
    try {
      return this.storage().getItem(name) ?? this.own.get(name) ?? null;
    } catch {
      return this.own.get(name) ?? null;
    }
  }
  write(name, value) {
    this.own.set(name, value);
    try {
      this.storage().setItem(name, value);
    } catch {
    }
  }
};
var session = new Kept(() => sessionStorage);
var lasting = new Kept(() => localStorage);

// src/api.ts
var KEY = "unprompt-key";
function exact(_, value, context) {
  return typeof value === "number" && !Number.isSafeInteger(value) && Number.isInteger(value) ? context?.source ?? value : value;
}
var Failure = class extends Error {
  constructor(status2, message) {
    super(message);
    this.status = status2;
  }
};
async function ask(path, init = {}) {
  const headers = new Headers(init.headers);
  const key = session.read(KEY);
  if (key !== null) headers.set("Authorization", `Bearer ${key}`);
  let response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Failure(0, "The server does not answer.");
  }
  if (response.ok) return JSON.parse(await response.text(), exact);
  const problem = await response.json().catch(() => null);
  throw new Failure(response.status, problem?.detail ?? `The server answered ${response.status}.`);
}
function useKey(key) {
  const isSendable = /^[\x21-\x7e]+$/.test(key);
  if (isSendable) session.write(KEY, key);
  return isSendable;
}
var hasKey = () => session.read(KEY) !== null;
var info = () => ask("/v1/info");
function search(query, signal) {
  const body = JSON.stringify(query);
  return ask("/v1/search", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
}
function similar(query, signal) {
  const body = JSON.stringify(query);
  return ask("/v1/similar", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
}
function reverse(image2, filter, k, signal) {
  const query = new URLSearchParams({ filter, k: String(k) });
  return ask(`/v1/reverse?${query}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: image2,
    signal
  });
}
async function thumbnail(name, size, signal) {
  const path = `/v1/images/${encodeURIComponent(name)}?size=${size}`;
  const key = session.read(KEY);
  if (key === null) return path;
  const response = await fetch(path, { headers: { Authorization: `Bearer ${key}` }, signal });
  if (!response.ok) throw new Failure(response.status, "no image");
  return URL.createObjectURL(await response.blob());
}

// src/filters.ts
var RANGES = [
  ["step", "steps"],
  ["cfg", "cfg"],
  ["width", "width"]
];
var CHECKS = ["hide-nsfw", "hide-predicted"];
var TEXTS = [...RANGES.flatMap(([, id]) => [`${id}-min`, `${id}-max`]), "sampler", "model", "raw-filter"];
var input = (id) => byId(id, HTMLInputElement);
function quoted(text2) {
  return `"${text2.replace(/["\\]/g, "\\$&")}"`;
}
function expression() {
  const parts = [];
  const raw = input("raw-filter").value.trim();
  if (raw !== "") parts.push(raw);
  for (const [field, id] of RANGES) {
    const [low, high] = [input(`${id}-min`).value.trim(), input(`${id}-max`).value.trim()];
    if (low !== "" || high !== "") parts.push(`${field}:[${low || "*"} TO ${high || "*"}]`);
  }
  for (const field of ["sampler", "model"]) {
    const value = input(field).value.trim();
    if (value !== "") parts.push(`${field}:${quoted(value)}*`);
  }
  if (input("hide-nsfw").checked) parts.push("-image_nsfw:[0.5 TO *]");
  if (input("hide-predicted").checked) parts.push("-predicted:*");
  if (raw !== "" && parts.length > 1) parts[0] = `(${raw})`;
  return parts.join(" AND ");
}
function values() {
  const texts = TEXTS.map((id) => [id, input(id).value.trim()]);
  const checks = CHECKS.map((id) => [id, input(id).checked ? "on" : ""]);
  return new Map([...texts, ...checks].filter(([, value]) => value !== ""));
}
function use(given) {
  for (const id of TEXTS) input(id).value = given.get(id) ?? "";
  for (const id of CHECKS) input(id).checked = given.get(id) === "on";
  count();
}
function watch(changed) {
  const form = byId("filters", HTMLDetailsElement);
  let timer = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      count();
      changed();
    }, 400);
  });
  byId("clear-filters", HTMLButtonElement).addEventListener("click", () => {
    use(/* @__PURE__ */ new Map());
    changed();
  });
}
function count() {
  byId("filters-on", HTMLSpanElement).hidden = expression() === "";
}

// src/hits.ts
var PAGE = 60;
var GAP = 12;
var MIN_WIDTH = 250;
var THUMBNAIL = 320;
var PAUSE_MS = 1e3;
var Grid = class {
  constructor(root, hasImages, maxHits, actions) {
    this.root = root;
    this.hasImages = hasImages;
    this.maxHits = maxHits;
    this.actions = actions;
    addEventListener("scroll", () => this.draw(), { passive: true });
    addEventListener("resize", () => this.draw());
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("focusin", (event) => {
      const card = event.target.closest("[data-place]");
      if (card !== null) this.current = Number(card.dataset["place"]);
    });
  }
  hits = [];
  done = true;
  loading = null;
  source = null;
  cards = /* @__PURE__ */ new Map();
  calls = /* @__PURE__ */ new Map();
  /** The place of the card that had the focus last. */
  current = 0;
  /** When hits may be asked for again after that has failed. */
  pausedUntil = 0;
  /** Whether the first card is to have the focus, which one before it had. */
  refocus = false;
  /** Shows other hits, of which the first may be known. */
  show(source, first = []) {
    this.loading?.abort();
    this.loading = null;
    this.source = source;
    this.hits = first;
    this.done = source === null;
    this.current = 0;
    this.pausedUntil = 0;
    const now2 = document.activeElement;
    this.refocus = this.root.contains(now2) || this.refocus && now2 === document.body;
    this.redraw();
    if (source !== null && first.length === 0) void this.more();
  }
  async more() {
    if (this.done || this.loading !== null || this.source === null) return;
    if (performance.now() < this.pausedUntil) return;
    const [call2, source] = [new AbortController(), this.source];
    this.loading = call2;
    try {
      const k = Math.min(PAGE, this.maxHits() - this.hits.length);
      const page = k > 0 ? await source.page(this.hits.length, k, call2.signal) : [];
      if (this.loading !== call2) return;
      this.done = page.length < k || k <= 0;
      this.hits = [...this.hits, ...page];
    } catch (error) {
      if (this.loading !== call2) return;
      this.loading = null;
      this.actions.failed(error);
      this.pausedUntil = performance.now() + PAUSE_MS;
      return;
    }
    this.loading = null;
    this.actions.found(this.hits.length, !this.done);
    this.draw();
  }
  columns() {
    return Math.max(1, Math.floor((this.root.clientWidth + GAP) / (MIN_WIDTH + GAP)));
  }
  rowHeight() {
    return (this.hasImages() ? 400 : 220) + GAP;
  }
  redraw() {
    for (const place of [...this.cards.keys()]) this.drop(place);
    this.draw();
  }
  drop(place) {
    this.cards.get(place)?.remove();
    this.cards.delete(place);
    this.calls.get(place)?.abort();
    this.calls.delete(place);
  }
  draw() {
    const [columns, height] = [this.columns(), this.rowHeight()];
    const rows = Math.ceil(this.hits.length / columns);
    this.root.style.height = `${Math.max(0, rows * height - GAP)}px`;
    const top = -this.root.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((top - innerHeight) / height)) * columns;
    const last = Math.min(this.hits.length, Math.ceil((top + 2 * innerHeight) / height) * columns);
    const hasFocus = this.cards.get(this.current)?.contains(document.activeElement) === true;
    const kept = hasFocus ? this.current : null;
    for (const place of [...this.cards.keys()]) {
      if ((place < first || place >= last) && place !== kept) this.drop(place);
    }
    for (let place = first; place < last; place += 1) this.put(place, columns, height);
    if (kept !== null) this.put(kept, columns, height);
    if (this.refocus && this.cards.has(0)) {
      this.refocus = false;
      if (document.activeElement === document.body) this.cards.get(0)?.focus({ preventScroll: true });
    }
    if (last >= this.hits.length - columns) void this.more();
  }
  put(place, columns, height) {
    const hit = this.hits[place];
    if (hit === void 0) return;
    let card = this.cards.get(place);
    if (card === void 0) {
      card = this.card(hit, place);
      this.cards.set(place, card);
      const next = [...this.cards.keys()].filter((other) => other > place).sort((a, b) => a - b)[0];
      this.root.insertBefore(card, next === void 0 ? null : this.cards.get(next) ?? null);
    }
    card.ariaSetSize = String(this.done ? this.hits.length : -1);
    const share = `(100% - ${(columns - 1) * GAP}px) / ${columns}`;
    card.style.width = `calc(${share})`;
    card.style.left = `calc((${share} + ${GAP}px) * ${place % columns})`;
    card.style.top = `${Math.floor(place / columns) * height}px`;
    card.style.height = `${height - GAP}px`;
  }
  card(hit, place) {
    const image2 = hit.images[0];
    const card = el(
      "div",
      {
        class: "hit",
        role: "listitem",
        tabindex: 0,
        "data-place": place,
        "aria-posinset": place + 1
      },
      this.hasImages() ? this.picture(place, image2) : null,
      el("p", { class: "prompt", title: hit.prompt }, hit.prompt),
      el("p", { class: "settings" }, settings(hit)),
      el(
        "div",
        { class: "actions" },
        copyButton(hit.prompt, "prompt"),
        el("button", { type: "button", class: "quiet", onclick: () => this.actions.search(hit.prompt) }, "Search with this"),
        el("button", { type: "button", class: "quiet", onclick: () => this.actions.similar(hit) }, "More like this")
      )
    );
    return card;
  }
  picture(place, image2) {
    const frame = el("div", { class: "thumb" });
    if (image2 === void 0) return frame;
    const call2 = new AbortController();
    this.calls.set(place, call2);
    thumbnail(image2.image_name, THUMBNAIL, call2.signal).then((source) => {
      const release = () => {
        if (source.startsWith("blob:")) URL.revokeObjectURL(source);
      };
      if (call2.signal.aborted) return release();
      call2.signal.addEventListener("abort", release);
      const picture = el("img", { src: source, alt: "", loading: "lazy", decoding: "async" });
      picture.addEventListener("error", () => picture.remove());
      picture.addEventListener("load", release);
      frame.append(picture);
    }).catch(() => void 0);
    return frame;
  }
  key(event) {
    const columns = this.columns();
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const step = steps[event.key];
    if (step === void 0 || !event.target.matches("[data-place]")) return;
    const place = this.current + step;
    if (place < 0 || place >= this.hits.length) return;
    event.preventDefault();
    this.put(place, columns, this.rowHeight());
    const card = this.cards.get(place);
    card?.focus();
    card?.scrollIntoView({ block: "nearest" });
  }
};
function settings(hit) {
  const image2 = hit.images[0];
  const said = [];
  if (hit.scores.vector !== null) said.push(`cosine ${hit.scores.vector.toFixed(3)}`);
  if (image2 !== void 0) {
    if (image2.predicted !== null) said.push(`predicted (${Math.round(image2.predicted * 100)}%)`);
    if (image2.step !== null) said.push(`${image2.step} steps`);
    if (image2.cfg !== null) said.push(`cfg ${image2.cfg}`);
    if (image2.sampler !== null) said.push(image2.sampler);
    if (image2.seed !== null) said.push(`seed ${image2.seed}`);
    if (image2.width !== null && image2.height !== null) said.push(`${image2.width} \xD7 ${image2.height}`);
    if (image2.model !== null) said.push(image2.model);
  }
  if (hit.image_count > 1) said.push(`${hit.image_count} images`);
  return said.join(" \xB7 ");
}

// src/view.ts
var MAX_IMAGES = 20;
var images = /* @__PURE__ */ new Map();
function keep(view, own) {
  const query = new URLSearchParams([...view.filters]);
  if (view.text !== "") query.set("q", view.text);
  if (view.like !== null) query.set("like", view.like);
  const search2 = query.size === 0 ? "" : `?${query}`;
  const isNew2 = own && (search2 !== location.search || view.image !== (images.get(now()) ?? null));
  const place = now() + (isNew2 ? 1 : 0);
  images.delete(place);
  if (view.image !== null) images.set(place, view.image);
  const oldest = images.keys().next();
  if (images.size > MAX_IMAGES && oldest.done !== true) images.delete(oldest.value);
  const state2 = { place, hadImage: view.image !== null };
  history[isNew2 ? "pushState" : "replaceState"](state2, "", location.pathname + search2);
}
function here() {
  const filters = new Map(new URLSearchParams(location.search));
  const [text2, like2] = [filters.get("q") ?? "", filters.get("like") ?? null];
  return { text: text2, like: like2, image: images.get(now()) ?? null, filters };
}
function watch2(changed) {
  addEventListener("popstate", changed);
}
function hasLostImage() {
  return state()?.hadImage === true && !images.has(now());
}
var state = () => history.state;
var now = () => state()?.place ?? 0;

// src/main.ts
var WORDS_MS = 80;
var MEANING_MS = 350;
var FIRST_HITS = 60;
var text = byId("text", HTMLInputElement);
var file = byId("file", HTMLInputElement);
var status = byId("status", HTMLParagraphElement);
var answerRoot = byId("answer", HTMLElement);
var drop = byId("drop", HTMLElement);
var about = null;
var image = null;
var preview = "";
var liked = "";
var like = null;
var isNew = false;
var hasLost = false;
var call = new AbortController();
var timers = [];
var grid = new Grid(
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
    found(count2, more) {
      const prompts = count2 === 1 && !more ? "prompt" : "prompts";
      const found = `${count2}${more ? " and more" : ""} ${prompts}`;
      say(count2 === 0 ? "Nothing found." : like === null ? found : `${found} like \u201C${liked}\u201D`);
    }
  }
);
function say(message, bad = false) {
  status.textContent = message;
  status.classList.toggle("bad", bad);
}
function failed(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof Failure && error.status === 401) askForKey(hasKey() ? "That key is not the one." : "");
  say(error instanceof Error ? error.message : String(error), true);
}
function askForKey(why) {
  const dialog = byId("key-dialog", HTMLDialogElement);
  byId("key-why", HTMLParagraphElement).textContent = why;
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
}
function go(next) {
  isNew = true;
  hasLost = false;
  set({ text: "", like: null, image: null, ...next });
  run("hybrid");
}
function set(next) {
  text.value = next.text;
  ({ like, image } = next);
  if (preview !== "") URL.revokeObjectURL(preview);
  preview = image === null ? "" : URL.createObjectURL(image);
}
function restore() {
  const shown = here();
  hasLost = hasLostImage();
  set(shown);
  use(shown.filters);
  isNew = false;
}
function run(mode) {
  if (mode !== "keyword") {
    timers.forEach(clearTimeout);
    keep({ text: text.value.trim(), like, image, filters: values() }, isNew);
    isNew = false;
  }
  call.abort();
  call = new AbortController();
  const filter = expression();
  if (image === null) answerRoot.hidden = true;
  if (image !== null) {
    void runReverse(image, filter, call.signal);
    return;
  }
  if (like !== null) {
    const id = like;
    say("Searching \u2026");
    grid.show({
      async page(offset, k, signal) {
        const said = await similar({ id, filter, k, offset }, signal);
        liked = said.query;
        return said.hits;
      }
    });
    return;
  }
  const q = text.value.trim();
  if (q === "" && filter === "") {
    grid.show(null);
    say(hasLost ? "The image is not kept when the page is loaded anew: choose it again." : "");
    return;
  }
  say("Searching \u2026");
  grid.show({ page: async (offset, k, signal) => (await search({ q, mode, filter, k, offset }, signal)).hits });
}
async function runReverse(asked, filter, signal) {
  say("Looking at the image \u2026");
  grid.show(null);
  try {
    const k = Math.min(FIRST_HITS, about?.max_hits ?? FIRST_HITS);
    const said = await reverse(asked, filter, k, signal);
    show(answerRoot, said, preview, (prompt) => go({ text: prompt }));
    grid.show(null, said.hits);
    const count2 = said.hits.length;
    say(count2 > 0 ? `${count2} prompts that come near` : about?.model === null ? "" : "Nothing found.");
  } catch (error) {
    if (signal.aborted) return;
    answerRoot.hidden = true;
    failed(error);
  }
}
function take(given) {
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
  if (given !== void 0) take(given);
  file.value = "";
});
addEventListener("paste", (event) => {
  const given = [...event.clipboardData?.files ?? []][0];
  if (given !== void 0) {
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
  if (given !== void 0) take(given);
  else say("That is no image file: save the image first, or copy and paste it.", true);
});
addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    text.focus();
  }
});
watch(() => run("hybrid"));
watch2(() => {
  restore();
  run("hybrid");
});
byId("theme", HTMLButtonElement).addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now2 = document.documentElement.dataset["theme"] ?? (dark ? "dark" : "light");
  const next = now2 === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = next;
  lasting.write("unprompt-theme", next);
});
var theme = lasting.read("unprompt-theme");
if (theme !== null) document.documentElement.dataset["theme"] = theme;
byId("key-dialog", HTMLDialogElement).addEventListener("close", (event) => {
  const field = byId("key", HTMLInputElement);
  const key = field.value.trim();
  field.value = "";
  if (event.target.returnValue !== "use") return;
  if (useKey(key)) void load();
  else askForKey("A key has English letters, digits and signs only.");
});
async function load() {
  try {
    about = await info();
    const { prompts, images: images2 } = about.index;
    const numbers = new Intl.NumberFormat("en");
    if (about.model === null) byId("asked", HTMLParagraphElement).textContent = "What prompt does this image carry?";
    byId("about", HTMLParagraphElement).replaceChildren(
      `${numbers.format(prompts)} prompts, ${numbers.format(images2)} images, ${about.model === null ? "no image model" : `model ${about.model}`}. `,
      el("a", { href: "/docs/" }, "API")
    );
    run("hybrid");
  } catch (error) {
    failed(error);
  }
}
restore();
void load();
