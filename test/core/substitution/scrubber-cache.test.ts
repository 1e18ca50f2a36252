import { describe, expect, it } from "vitest";
import type { Grant } from "../../../src/core/grants.ts";
import { ScrubberCache } from "../../../src/core/substitution/scrubber-cache.ts";
import { collectGarbage } from "../../support/garbage.ts";
import { grant, indexOf, scopeFor } from "./requests.ts";

describe("the scrubber of a list of grants", () => {
  const [a, b] = [grant("A", "value-of-a"), grant("B", "value-of-b")];

  it("is compiled once for the same grants in the same order", () => {
    const cache = new ScrubberCache();
    const index = indexOf([a, b]);
    const scrubberFor = (...grants: Grant[]) => cache.forGrants(index, grants);
    const both = scrubberFor(a, b);
    expect(scrubberFor(a, b)).toBe(both);
    expect(scrubberFor(a)).not.toBe(both);
    expect(scrubberFor(b, a)).not.toBe(both);
    expect(scrubberFor(a, grant("B", "value-of-b"))).not.toBe(both);
    expect(scrubberFor()).toBe(scrubberFor());
    expect(scrubberFor().empty).toBe(true);
  });

  it("is shared by hosts of one version, and by no other version", () => {
    const cache = new ScrubberCache();
    const everywhere = grant("C", "value-of-c", { hosts: [] });
    const view = scopeFor([everywhere]).view;
    const scrubber = cache.forView(view);
    expect(cache.forView(view)).toBe(scrubber);
    expect(cache.forGrants(view.index, [everywhere])).toBe(scrubber);
    expect(cache.forView(scopeFor([everywhere]).view)).not.toBe(scrubber);
  });

  it("is kept for a bounded number of lists", () => {
    const cache = new ScrubberCache();
    const index = indexOf([a]);
    const oldest = cache.forGrants(index, [a]);
    const others = Array.from({ length: 8 }, (_, at) => [a, grant(`B${at}`, `value-number-${at}`)]);
    const newest = others.map((grants) => cache.forGrants(index, grants)).at(-1);
    expect(cache.forGrants(index, others.at(-1)!)).toBe(newest);
    expect(cache.forGrants(index, [a])).not.toBe(oldest);
  });

  it("is gone with its version, however often a value is rotated and stays retired", async () => {
    const cache = new ScrubberCache();
    let grants: Grant[] = [];
    let retired: Grant[] = [];
    let view = scopeFor([]).view;
    const made: WeakRef<object>[] = [];
    for (let round = 0; round < 100; round++) {
      retired = [...retired, ...grants].slice(-64);
      grants = [grant("KEY", `the real value, number ${round}`)];
      view = scopeFor(grants, { retired }).view;
      made.push(new WeakRef(cache.forView(view)));
    }
    await collectGarbage();
    // Held all the while: the last version, and what it has retired.
    expect(view.scrubbed).toHaveLength(65);
    expect(made.filter((scrubber) => scrubber.deref() !== undefined).length).toBeLessThan(3);
  });
});
