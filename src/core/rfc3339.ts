// Moments as text (RFC 3339, UTC, milliseconds), many within one second: only the first of a second is worked out.

import { flatten } from "./flat-text.ts";

export class Rfc3339Writer {
  #second = Number.NaN;
  /** Up to the point before the milliseconds. */
  #prefix = "";

  /** `moment`: milliseconds since 1970. Throws RangeError for what is no date, as Date does. */
  write(moment: number): string {
    const second = Math.floor(moment / 1_000);
    if (second !== this.#second) {
      this.#prefix = new Date(second * 1_000).toISOString().slice(0, -4);
      this.#second = second;
    }
    const ms = Math.floor(moment - second * 1_000);
    return flatten(`${this.#prefix}${ms < 10 ? "00" : ms < 100 ? "0" : ""}${ms}Z`);
  }
}
