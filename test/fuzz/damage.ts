// What a hostile peer makes of a well-formed message: bytes changed, put in, taken out; cut off.

import fc from "fast-check";

export interface Damage {
  readonly changes: readonly {
    readonly at: number;
    readonly how: "set" | "insert" | "delete";
    readonly byte: number;
  }[];
  /** Of the message's length, what is left of it. */
  readonly keep: number;
}

export const damage: fc.Arbitrary<Damage> = fc.record({
  changes: fc.array(
    fc.record({
      at: fc.nat(1000),
      how: fc.constantFrom("set" as const, "insert" as const, "delete" as const),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 5, 22, 127, 128, 255)),
    }),
    { maxLength: 4 },
  ),
  keep: fc.oneof({ arbitrary: fc.constant(1), weight: 4 }, fc.double({ min: 0, max: 1, noNaN: true })),
});

export function damaged(bytes: Buffer, { changes, keep }: Damage): Buffer {
  const all = [...bytes];
  for (const { at, how, byte } of changes) {
    const place = all.length === 0 ? 0 : at % all.length;
    if (how === "insert") all.splice(place, 0, byte);
    else if (how === "delete") all.splice(place, 1);
    else if (all.length > 0) all[place] = byte;
  }
  return Buffer.from(all.slice(0, Math.ceil(all.length * keep)));
}
