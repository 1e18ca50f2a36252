// What a check of doctor found.

export interface Finding {
  readonly subject: string;
  /** `skipped`: there was nothing to check. `note`: worth knowing, no fault of this machine's. */
  readonly state: "ok" | "failed" | "note" | "skipped";
  readonly detail: string;
  /** What to do where it failed. */
  readonly advice?: string;
}
