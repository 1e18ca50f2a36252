// Where a body is cut into chunks.

import fc from "fast-check";

/** Offsets, or one step for all of the body. */
export type Cuts = readonly number[] | number;

export const cuts: fc.Arbitrary<Cuts> = fc.oneof(
  fc.array(fc.nat(2000), { maxLength: 12 }),
  fc.constantFrom(1, 2, 3, 7, 64),
);

/** Sorted offsets within a body of this length. */
export function offsetsOf(made: Cuts, length: number): readonly number[] {
  if (typeof made !== "number") return made.map((cut) => cut % (length + 1)).sort((a, b) => a - b);
  return Array.from({ length: Math.floor(length / made) }, (_, at) => at * made);
}
