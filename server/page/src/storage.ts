// What the browser keeps for the page, if it is allowed to; else the page forgets it when it is closed.

export class Kept {
  private readonly own = new Map<string, string>();

  constructor(private readonly storage: () => Storage) {}

  read(name: string): string | null {
    try {
      return this.storage().getItem(name) ?? this.own.get(name) ?? null;
    } catch {
      return this.own.get(name) ?? null;
    }
  }

  write(name: string, value: string): void {
    this.own.set(name, value);
    try {
      this.storage().setItem(name, value);
    } catch {
      // The page has it, as long as it is open.
    }
  }
}

/** Until the window is closed. */
export const session = new Kept(() => sessionStorage);

/** For good. */
export const lasting = new Kept(() => localStorage);
