// Coded bodies as foreign encoders write them: decoded, substituted, coded again, in pieces of any size.

import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { constants, createZstdCompress } from "node:zlib";
import { describe, expect, it } from "vitest";
import { planRequestBody } from "../../src/core/substitution/body-plan.ts";
import { makeRewrite } from "../../src/proxy/make-rewrite.ts";
import { messageCodec } from "../../src/proxy/message-codec.ts";
import { grant, request, scopeFor } from "../core/substitution/requests.ts";
import { codecs } from "../support/codecs.ts";

// The file is ours.
const { placeholder, text, cases } = JSON.parse(
  readFileSync(new URL("../vectors/substitution/codings.json", import.meta.url), "utf8"),
) as {
  readonly placeholder: string;
  readonly text: string;
  readonly cases: readonly { readonly name: string; readonly coding: string; readonly coded: string }[];
};

/** The body as it goes out; throws where it cannot be read. */
function rewrite(coding: string, coded: Buffer, step: number, value: string): Promise<Buffer> {
  const scope = scopeFor([grant("A", value, { placeholder })]);
  const head = request("/", ["Content-Type", "application/json"], ["Content-Encoding", coding]);
  const plan = planRequestBody(head, "chunked", scope, { bufferBytes: 1000, codec: messageCodec });
  if (plan.kind === "untouched") throw new Error("untouched");
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    const made = makeRewrite(plan, {
      onRewritten: (bytes) => out.push(bytes),
      onRewriteEnd: () => resolve(Buffer.concat(out)),
      onUnknownKey: () => reject(new Error("unknown key")),
      onRewriteDrain: () => {},
      onRewriteFault: (fault) => reject(new Error(fault)),
    });
    for (let at = 0; at < coded.length; at += step) made.push(coded.subarray(at, at + step));
    made.end();
  });
}

/** What `codecs` knows it by. */
const canonical = (coding: string) => coding.replace("x-gzip", "gzip").replace("identity, ", "");

describe("a coded body", () => {
  it.each(cases)("$name", async ({ coding, coded }) => {
    const bytes = Buffer.from(coded, "base64");
    for (const step of [1, 13, bytes.length]) {
      const out = await rewrite(coding, bytes, step, 'a "value"');
      expect(codecs.decode(canonical(coding), out).toString()).toBe(text.replace(placeholder, 'a \\"value\\"'));
    }
  });

  it.each(cases)("cut short is refused: $name", async ({ coding, coded }) => {
    const bytes = Buffer.from(coded, "base64");
    await expect(rewrite(coding, bytes.subarray(0, bytes.length - 3), bytes.length, "x".repeat(41))).rejects.toThrow(
      "malformed-coding",
    );
  });
});

describe("bytes behind a coding's end", () => {
  const behind = (coding: string, tail: string): Buffer => {
    return Buffer.concat([codecs.encode(coding, Buffer.from(`"${placeholder}"`)), Buffer.from(tail, "latin1")]);
  };
  const codings = ["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate"];

  it.each(codings)("are dropped where they are zeros: %s", async (coding) => {
    for (const step of [1, 13, 1000]) {
      const out = await rewrite(coding, behind(coding, "\0".repeat(40)), step, "value");
      expect(codecs.decode(coding, out).toString()).toBe('"value"');
    }
  });

  it.each(codings)("are refused where they are anything else: %s", async (coding) => {
    for (const step of [1, 13, 1000]) {
      for (const tail of ["behind", "\0\0\0behind"]) {
        await expect(rewrite(coding, behind(coding, tail), step, "value")).rejects.toThrow("malformed-coding");
      }
    }
  });

  it.each(["gzip, br", "zstd, deflate"])("are refused within another coding: %s", async (codings) => {
    const [inner = "", outer = ""] = codings.split(", ");
    const coded = codecs.encode(outer, behind(inner, "behind"));
    for (const step of [1, 13, 1000]) {
      await expect(rewrite(codings, coded, step, "value")).rejects.toThrow("malformed-coding");
    }
  });

  it.each(["gzip", "zstd"])("may be more of the same coding: %s", async (coding) => {
    const coded = Buffer.concat([behind(coding, ""), codecs.encode(coding, Buffer.from("more"))]);
    for (const step of [1, 13, 1000]) {
      const out = await rewrite(coding, coded, step, "value");
      expect(codecs.decode(coding, out).toString()).toBe('"value"more');
    }
  });
});

it("a zstd window is one that RFC 9659 allows", async () => {
  const written = (windowLog: number): Promise<Buffer> => {
    const encoder = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: windowLog } });
    encoder.end(`"${placeholder}"`);
    return buffer(encoder);
  };
  expect(codecs.decode("zstd", await rewrite("zstd", await written(23), 1000, "value")).toString()).toBe('"value"');
  await expect(rewrite("zstd", await written(24), 1000, "value")).rejects.toThrow("malformed-coding");
});
