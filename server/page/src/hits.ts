// Hits as a grid of which only the rows in sight exist, so that it stays smooth however many there are. Pages of
// hits are fetched as they come near.

import { type Hit, type Image, thumbnail } from "./api";
import { copyButton, el } from "./dom";

const PAGE = 60;
const GAP = 12;
const MIN_WIDTH = 250;
const THUMBNAIL = 320;
const PAUSE_MS = 1000;

export interface Source {
  /** Hits from `offset` on; fewer than `k` where there are no more. */
  page(offset: number, k: number, signal: AbortSignal): Promise<Hit[]>;
}

export interface Actions {
  similar(hit: Hit): void;
  search(text: string): void;
  failed(error: unknown): void;
  found(count: number, more: boolean): void;
}

export class Grid {
  private hits: Hit[] = [];
  private done = true;
  private loading: AbortController | null = null;
  private source: Source | null = null;
  private readonly cards = new Map<number, HTMLElement>();
  private readonly calls = new Map<number, AbortController>();
  /** The place of the card that had the focus last. */
  private current = 0;
  /** When hits may be asked for again after that has failed. */
  private pausedUntil = 0;
  /** Whether the first card is to have the focus, which one before it had. */
  private refocus = false;

  constructor(
    private readonly root: HTMLElement,
    private readonly hasImages: () => boolean,
    private readonly maxHits: () => number,
    private readonly actions: Actions,
  ) {
    addEventListener("scroll", () => this.draw(), { passive: true });
    addEventListener("resize", () => this.draw());
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("focusin", (event) => {
      const card = (event.target as HTMLElement).closest<HTMLElement>("[data-place]");
      if (card !== null) this.current = Number(card.dataset["place"]);
    });
  }

  /** Shows other hits, of which the first may be known. */
  show(source: Source | null, first: Hit[] = []): void {
    this.loading?.abort();
    this.loading = null;
    this.source = source;
    this.hits = first;
    this.done = source === null;
    this.current = 0;
    this.pausedUntil = 0;
    const now = document.activeElement;
    this.refocus = this.root.contains(now) || (this.refocus && now === document.body);
    this.redraw();
    if (source !== null && first.length === 0) void this.more();
  }

  private async more(): Promise<void> {
    if (this.done || this.loading !== null || this.source === null) return;
    if (performance.now() < this.pausedUntil) return;
    const [call, source] = [new AbortController(), this.source];
    this.loading = call;
    try {
      const k = Math.min(PAGE, this.maxHits() - this.hits.length);
      const page = k > 0 ? await source.page(this.hits.length, k, call.signal) : [];
      if (this.loading !== call) return;
      this.done = page.length < k || k <= 0;
      this.hits = [...this.hits, ...page];
    } catch (error) {
      if (this.loading !== call) return;
      this.loading = null;
      this.actions.failed(error);
      // Nothing is asked again by itself; whoever scrolls on tries again.
      this.pausedUntil = performance.now() + PAUSE_MS;
      return;
    }
    this.loading = null;
    this.actions.found(this.hits.length, !this.done);
    this.draw();
  }

  private columns(): number {
    return Math.max(1, Math.floor((this.root.clientWidth + GAP) / (MIN_WIDTH + GAP)));
  }

  private rowHeight(): number {
    return (this.hasImages() ? 400 : 220) + GAP;
  }

  private redraw(): void {
    for (const place of [...this.cards.keys()]) this.drop(place);
    this.draw();
  }

  private drop(place: number): void {
    this.cards.get(place)?.remove();
    this.cards.delete(place);
    this.calls.get(place)?.abort();
    this.calls.delete(place);
  }

  private draw(): void {
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
      // Unless it is elsewhere by now.
      if (document.activeElement === document.body) this.cards.get(0)?.focus({ preventScroll: true });
    }
    if (last >= this.hits.length - columns) void this.more();
  }

  private put(place: number, columns: number, height: number): void {
    const hit = this.hits[place];
    if (hit === undefined) return;
    let card = this.cards.get(place);
    if (card === undefined) {
      card = this.card(hit, place);
      this.cards.set(place, card);
      // In the order of the hits, which is that of Tab.
      const next = [...this.cards.keys()].filter((other) => other > place).sort((a, b) => a - b)[0];
      this.root.insertBefore(card, next === undefined ? null : (this.cards.get(next) ?? null));
    }
    card.ariaSetSize = String(this.done ? this.hits.length : -1);
    const share = `(100% - ${(columns - 1) * GAP}px) / ${columns}`;
    card.style.width = `calc(${share})`;
    card.style.left = `calc((${share} + ${GAP}px) * ${place % columns})`;
    card.style.top = `${Math.floor(place / columns) * height}px`;
    card.style.height = `${height - GAP}px`;
  }

  private card(hit: Hit, place: number): HTMLElement {
    const image = hit.images[0];
    const card = el(
      "div",
      {
        class: "hit",
        role: "listitem",
        tabindex: 0,
        "data-place": place,
        "aria-posinset": place + 1,
      },
      this.hasImages() ? this.picture(place, image) : null,
      el("p", { class: "prompt", title: hit.prompt }, hit.prompt),
      el("p", { class: "settings" }, settings(hit)),
      el(
        "div",
        { class: "actions" },
        copyButton(hit.prompt, "prompt"),
        el("button", { type: "button", class: "quiet", onclick: () => this.actions.search(hit.prompt) }, "Search with this"),
        el("button", { type: "button", class: "quiet", onclick: () => this.actions.similar(hit) }, "More like this"),
      ),
    );
    return card;
  }

  private picture(place: number, image: Image | undefined): HTMLElement {
    const frame = el("div", { class: "thumb" });
    if (image === undefined) return frame;
    const call = new AbortController();
    this.calls.set(place, call);
    thumbnail(image.image_name, THUMBNAIL, call.signal)
      .then((source) => {
        const release = () => {
          if (source.startsWith("blob:")) URL.revokeObjectURL(source);
        };
        if (call.signal.aborted) return release();
        call.signal.addEventListener("abort", release);
        const picture = el("img", { src: source, alt: "", loading: "lazy", decoding: "async" });
        picture.addEventListener("error", () => picture.remove());
        picture.addEventListener("load", release);
        frame.append(picture);
      })
      .catch(() => undefined);
    return frame;
  }

  private key(event: KeyboardEvent): void {
    const columns = this.columns();
    const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const step = steps[event.key];
    if (step === undefined || !(event.target as HTMLElement).matches("[data-place]")) return;
    const place = this.current + step;
    if (place < 0 || place >= this.hits.length) return;
    event.preventDefault();
    this.put(place, columns, this.rowHeight());
    const card = this.cards.get(place);
    card?.focus();
    card?.scrollIntoView({ block: "nearest" });
  }
}

function settings(hit: Hit): string {
  const image = hit.images[0];
  const said: string[] = [];
  if (hit.scores.vector !== null) said.push(`cosine ${hit.scores.vector.toFixed(3)}`);
  if (image !== undefined) {
    if (image.predicted !== null) said.push(`predicted (${Math.round(image.predicted * 100)}%)`);
    if (image.step !== null) said.push(`${image.step} steps`);
    if (image.cfg !== null) said.push(`cfg ${image.cfg}`);
    if (image.sampler !== null) said.push(image.sampler);
    if (image.seed !== null) said.push(`seed ${image.seed}`);
    if (image.width !== null && image.height !== null) said.push(`${image.width} × ${image.height}`);
    if (image.model !== null) said.push(image.model);
  }
  if (hit.image_count > 1) said.push(`${hit.image_count} images`);
  return said.join(" · ");
}
