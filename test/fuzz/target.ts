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
