// The API as the page sees it: types of its JSON, and requests that can be called off.

import { session } from "./storage";

/** A whole number; of those beyond 2 ** 53 the digits, where the browser tells them. */
export type Whole = number | string;

export interface Image {
  image_name: string;
  seed: Whole | null;
  step: number | null;
  cfg: number | null;
  sampler: string | null;
  width: number | null;
  height: number | null;
  image_nsfw: number | null;
  model: string | null;
  generator: string | null;
  predicted: number | null;
}

export interface Hit {
  rank: number;
  id: string;
  prompt: string;
  score: number;
  scores: { vector: number | null; kernel: number | null; keyword: number | null };
  images: Image[];
  image_count: number;
}

export interface SearchAnswer {
  query: string;
  mode: string;
  took_ms: number;
  hits: Hit[];
}

export interface Embedded {
  generator: string;
  prompt: string;
  negative_prompt: string | null;
  seed: Whole | null;
  steps: number | null;
  cfg: number | null;
  sampler: string | null;
  model: string | null;
}

export interface ReverseAnswer {
  embedded: Embedded | null;
  verdict: "embedded" | "exact" | "near" | "reconstructed" | "unsure";
  prompt: string;
  confidence: number;
  words: { word: string; probability: number }[];
  phrases: { text: string; from: string[] }[];
  hits: Hit[];
  took_ms: { decode: number; encode: number; search: number; reconstruct: number };
}

export interface Info {
  /** None if only texts are answered. */
  model: string | null;
  has_confidence: boolean;
  has_images: boolean;
  max_hits: number;
  max_image_bytes: number;
  index: { prompts: number; images: number; generation: number };
}

export type Mode = "hybrid" | "keyword" | "vector";

const KEY = "unprompt-key";

/** Numbers would be rounded as they are read. */
function exact(this: unknown, _: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === "number" && !Number.isSafeInteger(value) && Number.isInteger(value)
    ? (context?.source ?? value)
    : value;
}

/** What went wrong, in the server's words. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const headers = new Headers(init.headers);
  const key = session.read(KEY);
  if (key !== null) headers.set("Authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Failure(0, "The server does not answer.");
  }
  if (response.ok) return JSON.parse(await response.text(), exact) as T;
  const problem = (await response.json().catch(() => null)) as { detail?: string } | null;
  throw new Failure(response.status, problem?.detail ?? `The server answered ${response.status}.`);
}

/** Remembers a key until the window is closed; whether it can be one. */
export function useKey(key: string): boolean {
  const isSendable = /^[\x21-\x7e]+$/.test(key);
  if (isSendable) session.write(KEY, key);
  return isSendable;
}

export const hasKey = (): boolean => session.read(KEY) !== null;

export const info = (): Promise<Info> => ask("/v1/info");

export interface Query {
  q: string;
  mode: Mode;
  filter: string;
  k: number;
  offset: number;
}

export function search(query: Query, signal: AbortSignal): Promise<SearchAnswer> {
  const body = JSON.stringify(query);
  return ask("/v1/search", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
}

export function similar(
  query: { id: string; filter: string; k: number; offset: number },
  signal: AbortSignal,
): Promise<SearchAnswer> {
  const body = JSON.stringify(query);
  return ask("/v1/similar", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
}

export function reverse(image: Blob, filter: string, k: number, signal: AbortSignal): Promise<ReverseAnswer> {
  const query = new URLSearchParams({ filter, k: String(k) });
  return ask(`/v1/reverse?${query}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: image,
    signal,
  });
}

/** A small image of the index. With a key it cannot be the source of an `img`, which sends none. */
export async function thumbnail(name: string, size: number, signal: AbortSignal): Promise<string> {
  const path = `/v1/images/${encodeURIComponent(name)}?size=${size}`;
  const key = session.read(KEY);
  if (key === null) return path;
  const response = await fetch(path, { headers: { Authorization: `Bearer ${key}` }, signal });
  if (!response.ok) throw new Failure(response.status, "no image");
  return URL.createObjectURL(await response.blob());
}
