import { expect, it } from "vitest";
import { FollowingScrub } from "../../../src/core/substitution/following-scrub.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { grantOf, placeholderOf } from "./scrub-support.ts";

const [first, second] = ["the first value", "the second value"];
const one = grantOf("one", first, placeholderOf("o", 41));
const two = grantOf("two", second, placeholderOf("t", 41));

it("finds what either scrubber does, wherever the change cuts the message", () => {
  const message = Buffer.from(`<${first}><${first}><${second}><${second}>`);
  const session = { carried: new Set<string>(), found: () => {} };
  for (const mode of ["exact", "in-place"] as const) {
    const [before, after] = [new Scrubber([one]), new Scrubber([one, two])];
    const whole = after.scrubWhole(message, mode, session);
    // The second value is not there before the change.
    for (let at = 0; at <= message.indexOf(second); at++) {
      let current = before;
      const out: Buffer[] = [];
      const emit = (bytes: Buffer): number => out.push(bytes);
      const scrub = new FollowingScrub(() => current, mode, session);
      scrub.push(message.subarray(0, at), emit);
      current = after;
      scrub.push(message.subarray(at), emit);
      scrub.end(emit);
      expect(Buffer.concat(out).toString()).toBe(whole.toString());
    }
  }
});
