// What an image was answered with: the prompt, where its pieces are from, and how sure the answer is.

import type { Embedded, ReverseAnswer } from "./api";
import { copyButton, el } from "./dom";

const VERDICTS: Record<ReverseAnswer["verdict"], string> = {
  embedded: "The file carries its prompt",
  exact: "Almost certainly this prompt",
  near: "Probably a prompt like this",
  reconstructed: "Put together from the prompts below",
  unsure: "Not sure: this is the best there is",
};

const WORDS = 12;
const COLOURS = 8;

export function show(root: HTMLElement, answer: ReverseAnswer, preview: string, search: (text: string) => void): void {
  const percent = Math.round(answer.confidence * 100);
  const took = answer.took_ms;
  const total = took.decode + took.encode + took.search + took.reconstruct;
  root.replaceChildren(
    el("img", { src: preview, class: "preview", alt: "The image that was asked about" }),
    el(
      "div",
      { class: "said" },
      el(
        "p",
        { class: "verdict" },
        el("span", { class: `badge ${answer.verdict}` }, answer.verdict),
        ` ${VERDICTS[answer.verdict]}`,
      ),
      el(
        "p",
        { class: "confidence" },
        el("label", { for: "confidence" }, `Confidence ${percent}%`),
        el("meter", { id: "confidence", min: 0, max: 1, value: answer.confidence }, `${percent}%`),
        el("span", { class: "took" }, `${total.toFixed(0)} ms`),
      ),
      phrases(answer),
      el(
        "div",
        { class: "actions" },
        copyButton(answer.prompt, "prompt"),
        el("button", { type: "button", class: "quiet", onclick: () => search(answer.prompt) }, "Search with this"),
      ),
      answer.embedded === null ? null : embedded(answer.embedded),
      answer.embedded === null ? words(answer) : null,
    ),
  );
  root.hidden = false;
}

/** The prompt, each piece in the colour of the first hit that has it. */
function phrases(answer: ReverseAnswer): HTMLElement {
  const prompt = el("p", { class: "answer-prompt", id: "answer-prompt" });
  if (answer.phrases.length === 0) {
    prompt.append(answer.prompt === "" ? "The index has no prompt to answer with." : answer.prompt);
    return prompt;
  }
  const colours = new Map<string, number>();
  const ranks = new Map(answer.hits.map((hit) => [hit.id, hit.rank]));
  let rest = answer.prompt;
  for (const { text, from } of answer.phrases) {
    const at = rest.indexOf(text);
    if (at < 0) continue;
    prompt.append(rest.slice(0, at));
    rest = rest.slice(at + text.length);
    const origin = from[0];
    if (origin === undefined) {
      prompt.append(text);
      continue;
    }
    if (!colours.has(origin)) colours.set(origin, colours.size % COLOURS);
    const rank = ranks.get(origin);
    const title = rank === undefined ? "from a prompt that is not listed" : `from hit ${rank}`;
    prompt.append(el("mark", { class: `from-${colours.get(origin)}`, title }, text));
  }
  prompt.append(rest);
  return prompt;
}

function embedded(said: Embedded): HTMLElement {
  const rows: [string, string | number | null][] = [
    ["Negative prompt", said.negative_prompt],
    ["Generator", said.generator],
    ["Model", said.model],
    ["Sampler", said.sampler],
    ["Steps", said.steps],
    ["CFG", said.cfg],
    ["Seed", said.seed],
  ];
  const list = el("dl", { class: "embedded" });
  for (const [name, value] of rows) {
    if (value !== null) list.append(el("dt", {}, name), el("dd", {}, String(value)));
  }
  return list;
}

function words(answer: ReverseAnswer): HTMLElement | null {
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
