// What the page shows, as its address and its history have it: Back leads to what was there before.

export interface View {
  text: string;
  /** The id of a prompt to find more like. */
  like: string | null;
  image: Blob | null;
  /** Values of the filters' controls, by their ids. */
  filters: ReadonlyMap<string, string>;
}

/** Images that Back leads to at most. */
const MAX_IMAGES = 20;

/** No address has an image, so that it is kept here, by its place in the history. */
const images = new Map<number, Blob>();

/** Keeps what is shown now: in a place of its own, or in that of what was shown before. */
export function keep(view: View, own: boolean): void {
  const query = new URLSearchParams([...view.filters]);
  if (view.text !== "") query.set("q", view.text);
  if (view.like !== null) query.set("like", view.like);
  const search = query.size === 0 ? "" : `?${query}`;
  const isNew = own && (search !== location.search || view.image !== (images.get(now()) ?? null));
  const place = now() + (isNew ? 1 : 0);
  images.delete(place);
  if (view.image !== null) images.set(place, view.image);
  const oldest = images.keys().next();
  if (images.size > MAX_IMAGES && oldest.done !== true) images.delete(oldest.value);
  const state: State = { place, hadImage: view.image !== null };
  history[isNew ? "pushState" : "replaceState"](state, "", location.pathname + search);
}

/** What is to be shown at the address. */
export function here(): View {
  const filters = new Map(new URLSearchParams(location.search));
  const [text, like] = [filters.get("q") ?? "", filters.get("like") ?? null];
  return { text, like, image: images.get(now()) ?? null, filters };
}

/** Calls `changed` when Back or Forward have led elsewhere. */
export function watch(changed: () => void): void {
  addEventListener("popstate", changed);
}

/** Whether an image was shown here that is gone: the page has been loaded anew since. */
export function hasLostImage(): boolean {
  return state()?.hadImage === true && !images.has(now());
}

interface State {
  place: number;
  hadImage: boolean;
}

const state = (): State | null => history.state as State | null;

const now = (): number => state()?.place ?? 0;
