// A promise of the store that was broken. Expected outcomes (not found, taken) are values, never this.

import type { StoreErrorCode } from "../core/store.ts";

/** `code` is for programs; the message is safe to show: it never holds a value or a row's contents. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "StoreError";
    this.code = code;
  }
}
