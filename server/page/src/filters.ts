// Filters as controls, put together to the expression that the API takes.

import { byId } from "./dom";

const RANGES = [
  ["step", "steps"],
  ["cfg", "cfg"],
  ["width", "width"],
] as const;

const CHECKS = ["hide-nsfw", "hide-predicted"];
const TEXTS = [...RANGES.flatMap(([, id]) => [`${id}-min`, `${id}-max`]), "sampler", "model", "raw-filter"];

const input = (id: string): HTMLInputElement => byId(id, HTMLInputElement);

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** The expression that the controls stand for; empty if none is used. */
export function expression(): string {
  const parts: string[] = [];
  // First and as it is, where it may be, for errors tell places in it.
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

/** What the controls say, those that say nothing left out. */
export function values(): Map<string, string> {
  const texts = TEXTS.map((id): [string, string] => [id, input(id).value.trim()]);
  const checks = CHECKS.map((id): [string, string] => [id, input(id).checked ? "on" : ""]);
  return new Map([...texts, ...checks].filter(([, value]) => value !== ""));
}

/** Has the controls say what is given, and nothing else. */
export function use(given: ReadonlyMap<string, string>): void {
  for (const id of TEXTS) input(id).value = given.get(id) ?? "";
  for (const id of CHECKS) input(id).checked = given.get(id) === "on";
  count();
}

/** Calls `changed` when a control was changed, and after a pause when it is typed into. */
export function watch(changed: () => void): void {
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
    use(new Map());
    changed();
  });
}

function count(): void {
  byId("filters-on", HTMLSpanElement).hidden = expression() === "";
}
