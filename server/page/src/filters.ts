// Filters as controls, put together to the expression that the API takes.

import { byId } from "./dom";

const RANGES = [
  ["step", "steps"],
  ["cfg", "cfg"],
  ["width", "width"],
] as const;

const input = (id: string): HTMLInputElement => byId(id, HTMLInputElement);

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** The expression that the controls stand for; empty if none is used. */
export function expression(): string {
  const parts: string[] = [];
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
  const raw = input("raw-filter").value.trim();
  if (raw !== "") parts.push(`(${raw})`);
  return parts.join(" AND ");
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
    for (const control of form.querySelectorAll("input")) {
      if (control.type === "checkbox") control.checked = false;
      else control.value = "";
    }
    count();
    changed();
  });
}

function count(): void {
  byId("filters-on", HTMLSpanElement).hidden = expression() === "";
}
