// Coded answers through the real codecs: for any cut what comes out decodes to the scrubbed text, and whatever is done to
// the bytes on their way there is an end or a fault, never a hang, never a value.

import zlib from "node:zlib";
import fc from "fast-check";
import { makeField } from "../../src/core/message.ts";
import type { ContentCoding } from "../../src/core/substitution/codings.ts";
import { planResponseBody } from "../../src/core/substitution/response-plan.ts";
import { Scrubber } from "../../src/core/substitution/scrubber.ts";
import { makeScrub } from "../../src/proxy/make-rewrite.ts";
import { grantOf, placeholderOf } from "../core/substitution/scrub-support.ts";
import { cuts, offsetsOf } from "./cuts.ts";
import { damage, damaged } from "./damage.ts";
import type { FuzzTarget } from "./target.ts";

const value = "the-value-that-must-not-come-back";
const scrubber = new Scrubber([grantOf("one", value, placeholderOf("o", 41))]);
const codecs: Readonly<Record<string, readonly [(bytes: Buffer) => Buffer, (bytes: Buffer) => Buffer]>> = {
  gzip: [zlib.gzipSync, zlib.gunzipSync],
  deflate: [zlib.deflateSync, zlib.inflateSync],
  br: [zlib.brotliCompressSync, zlib.brotliDecompressSync],
  zstd: [zlib.zstdCompressSync, zlib.zstdDecompressSync],
};

function decode(codings: readonly string[], bytes: Buffer): Buffer {
  return codings.toReversed().reduce<Buffer>((body, coding) => codecs[coding]?.[1](body) ?? body, bytes);
}

const cases = fc.record({
  codings: fc.array(fc.constantFrom(...(Object.keys(codecs) as ContentCoding[])), { minLength: 1, maxLength: 2 }),
  pieces: fc.array(fc.oneof(fc.constant(value), fc.string({ maxLength: 40 }), fc.constant("x".repeat(5000))), {
    maxLength: 12,
  }),
  isDamaged: fc.boolean(),
  damage,
  cuts,
});

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

async function check({ codings, pieces, isDamaged, damage, cuts }: Case): Promise<void> {
  const text = Buffer.from(pieces.join(" "), "utf8");
  const intact = codings.reduce<Buffer>((body, coding) => codecs[coding]?.[0](body) ?? body, text);
  const bytes = isDamaged ? damaged(intact, damage) : intact;
  const fields = [makeField("Content-Type", "text/plain"), makeField("Content-Encoding", codings.join(", "))];
  const head = { status: 200, reason: "OK", minor: 1, fields } as const;
  const plan = planResponseBody({ method: "GET", target: "/", minor: 1, fields: [] }, head, "chunked", {
    bufferBytes: 100_000,
  });
  if (plan.kind === "none" || plan.kind === "refuse") throw new Error(`plan: ${plan.kind}`);

  const out: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<"end" | "fault">();
  const rewrite = makeScrub(plan, () => scrubber, {
    carried: new Set<string>(),
    found: () => {},
    onRewritten: (part) => out.push(part),
    onRewriteEnd: () => resolve("end"),
    onUnknownKey: () => {},
    onRewriteDrain: () => {},
    onRewriteFault: () => resolve("fault"),
  });
  let from = 0;
  for (const at of [...offsetsOf(cuts, bytes.length), bytes.length]) {
    rewrite.push(bytes.subarray(from, at));
    from = at;
  }
  rewrite.end();
  const outcome = await promise;
  rewrite.destroy();
  if (!bytes.equals(intact)) {
    // An end says that the codings were in order, so that what came out can be read, too.
    if (outcome === "end" && out.length > 0 && decode(codings, Buffer.concat(out)).includes(value))
      throw new Error("leaked");
    return;
  }
  if (outcome === "fault") throw new Error("a body that is in order was refused");
  const expected = scrubber.scrubWhole(text, "exact", { carried: new Set<string>(), found: () => {} });
  const body = Buffer.concat(out);
  const decoded = body.length === 0 ? body : decode(codings, body);
  if (!decoded.equals(expected))
    throw new Error(`${JSON.stringify(decoded.toString())}, not ${JSON.stringify(expected.toString())}`);
}

export const contentCodings: FuzzTarget = {
  name: "content-codings",
  open: () => ({ property: fc.asyncProperty(cases, check) }),
};
