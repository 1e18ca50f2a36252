// What the fuzz runner runs: a property over random cases, and what has to stand before the first case.

import type { IRawProperty } from "fast-check";

export interface FuzzTarget {
  readonly name: string;
  /** Makes ready; called once per run. */
  open(): FuzzSubject | Promise<FuzzSubject>;
}

export interface FuzzSubject {
  /** An `fc.property` or `fc.asyncProperty`. */
  // The value's type is the property's own affair.
  readonly property: IRawProperty<unknown, boolean>;
  /** What has to hold after the last case: throws where it does not. */
  close?(): Promise<void>;
}

/** A check whose last run can be waited for: when time is up, one is under way. */
export function waitable<T>(check: (made: T) => Promise<void>): {
  readonly run: (made: T) => Promise<void>;
  /** Resolves once nothing runs, whatever came of it. */
  idle(): Promise<void>;
} {
  let last: Promise<void> = Promise.resolve();
  return {
    run: (made) => {
      last = check(made);
      return last;
    },
    idle: () => last.catch(() => {}),
  };
}
