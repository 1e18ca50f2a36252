import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeValue } from "../../../src/core/substitution/encodings.ts";
import { formsOf } from "../../../src/core/substitution/forms.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { fieldsOf, grantOf, headOf, placeholderOf, run, sessionOf } from "./scrub-support.ts";

const value = "sk-live-4f9A0bC2dE7hJ1kL3mN5";
const placeholder = placeholderOf("a");
const scrubber = new Scrubber([grantOf("API", value, placeholder)]);

function scrub(text: string, by = scrubber, ...carried: string[]): string {
  return by.scrubWhole(Buffer.from(text), "exact", sessionOf(...carried)).toString();
}

describe("Scrubber", () => {
  it("puts the placeholder where the value was, and says whose it was", () => {
    const session = sessionOf();
    const body = Buffer.from(`{"token":"${value}","again":"${value}"}`);
    const scrubbed = scrubber.scrubWhole(body, "exact", session).toString();
    expect(scrubbed).toBe(`{"token":"${placeholder}","again":"${placeholder}"}`);
    expect(session.names).toEqual(["API", "API"]);
  });

  it("gives back the same object where there is nothing to find", () => {
    const session = sessionOf();
    const body = Buffer.from(`{"token":"${value.slice(1)}"}`);
    const head = headOf({ "Content-Type": "application/json", "X-Token": value.slice(0, -1) });
    expect(scrubber.scrubWhole(body, "exact", session)).toBe(body);
    expect(scrubber.scrubWhole(body, "in-place", session)).toBe(body);
    expect(scrubber.scrubHead(head, session)).toBe(head);
    expect(scrubber.scrubFields(head.fields, session)).toBe(head.fields);
    expect(session.names).toEqual([]);
  });

  it("scrubs the status line and every kind of field, values and names", () => {
    const session = sessionOf();
    const head = headOf(
      {
        Location: `https://example.com/cb?token=${value}`,
        "Set-Cookie": `session=${value}; Path=/`,
        ETag: '"abcdef"',
        "X-Basic": `Basic ${Buffer.from(`user:${value}`).toString("base64")}`,
        [`X-${value}`]: "1",
        "X-Other": "untouched",
      },
      400,
      `Bad token ${value}`,
    );
    const scrubbed = scrubber.scrubHead(head, session);
    expect(scrubbed.reason).toBe(`Bad token ${placeholder}`);
    expect(scrubbed.fields.map(({ value }) => value)).toEqual([
      `https://example.com/cb?token=${placeholder}`,
      `session=${placeholder}; Path=/`,
      '"abcdef"',
      // 28 bytes became 37 and not 36: what might follow in the base64 text stays aligned.
      `Basic ${Buffer.from(`user:${placeholder}*`).toString("base64")}`,
      "1",
      "untouched",
    ]);
    expect(scrubbed.fields[4]).toEqual({ name: `X-${placeholder}`, key: `x-${placeholder}`, value: "1" });
    expect(scrubbed.fields[5]).toBe(head.fields[5]);
    expect(head.fields[0]!.value).toContain(value);
  });

  it("never touches what frames a message", () => {
    const numeric = new Scrubber([grantOf("N", "12345678901")]);
    const fields = fieldsOf({ "Content-Length": "12345678901", "X-Number": "12345678901" });
    const scrubbed = numeric.scrubFields(fields, sessionOf());
    expect(scrubbed[0]).toBe(fields[0]);
    expect(scrubbed[1]!.value).toBe(placeholderOf("p"));
  });

  it("looks for values of 4 to 7 bytes in fields only, and not where HTTP itself speaks", () => {
    const short = new Scrubber([grantOf("PIN", "2026", placeholder), grantOf("TINY", "gzi")]);
    const session = sessionOf();
    expect(short.empty).toBe(false);
    expect(short.longestForm).toBe(0);
    const body = Buffer.from("since 2026");
    expect(short.scrubWhole(body, "exact", session)).toBe(body);
    expect(run(short.body("exact", session), body)).toEqual(body);
    const head = headOf({ Date: "Mon, 23 Nov 2026 09:00:00 GMT", "X-Pin": "2026", "X-Coding": "gzip" });
    expect(short.scrubHead(head, session).fields.map((field) => field.value)).toEqual([
      "Mon, 23 Nov 2026 09:00:00 GMT",
      placeholder,
      "gzip",
    ]);
    expect(new Scrubber([grantOf("TINY", "gzi")]).empty).toBe(true);
    expect(new Scrubber([]).empty).toBe(true);
  });

  it("gives two secrets with one value to the one the request carried, else to the first by name", () => {
    const twins = new Scrubber([
      grantOf("zeta", value, placeholderOf("z")),
      grantOf("alpha", value, placeholderOf("l")),
      grantOf("mid", value, placeholderOf("m")),
    ]);
    expect(scrub(value, twins)).toBe(placeholderOf("l"));
    expect(scrub(value, twins, "zeta")).toBe(placeholderOf("z"));
    expect(scrub(value, twins, "other", "mid", "zeta")).toBe(placeholderOf("m"));
  });

  it("does so too where one value is another one's base64", () => {
    const encoded = Buffer.from("user:long-password").toString("base64");
    const both = new Scrubber([
      grantOf("plain", "user:long-password", placeholderOf("l")),
      grantOf("whole", encoded, placeholderOf("w")),
    ]);
    expect(Buffer.from(scrub(encoded, both), "base64").toString()).toBe(placeholderOf("l"));
    expect(scrub(encoded, both, "whole")).toBe(placeholderOf("w"));
  });

  it("scrubs an old value and a new one to the placeholder they share", () => {
    const rotated = new Scrubber([grantOf("API", value, placeholder), grantOf("API", "the-value-before", placeholder)]);
    expect(scrub(`${value} the-value-before`, rotated)).toBe(`${placeholder} ${placeholder}`);
  });

  it("leaves a value alone that is its own placeholder", () => {
    expect(new Scrubber([grantOf("SELF", placeholder, placeholder)]).empty).toBe(true);
  });

  it("finds what substitution writes, wherever it writes", () => {
    const secret = fc.oneof(
      fc.string({ minLength: 8, maxLength: 40 }),
      fc.string({ unit: "grapheme", minLength: 8, maxLength: 30 }),
      fc.string({ unit: fc.constantFrom("é", "ü", "a", '"', "\\", "/", "+"), minLength: 8, maxLength: 30 }),
    );
    const context = fc.constantFrom(
      "header",
      "cookie",
      "basic",
      "path",
      "query",
      "form",
      "json",
      "xml",
      "raw" as const,
    );
    fc.assert(
      fc.property(secret, context, (text, where) => {
        const grant = grantOf("S", text);
        const written = encodeValue(grant.value.reveal(), where as "raw");
        if (written === undefined) return;
        const session = sessionOf();
        const scrubbed = new Scrubber([grant]).scrubWhole(written, "exact", session).toString();
        expect(scrubbed).toBe(grant.placeholder);
        expect(session.names).toEqual(["S"]);
      }),
      { numRuns: 1000 },
    );
  });

  it("gives Basic credentials back as the client sent them", () => {
    // Substitution keeps lengths where placeholders were made for their values.
    fc.assert(
      fc.property(fc.string({ minLength: 36, maxLength: 60 }), fc.string({ maxLength: 6 }), (text, user) => {
        const length = Buffer.byteLength(text);
        const grant = grantOf("S", text, placeholderOf("q", length));
        const sent = Buffer.from(`${user}:${text}`).toString("base64");
        const scrubbed = new Scrubber([grant]).scrubFields(fieldsOf({ "X-Echo": `Basic ${sent}` }), sessionOf());
        expect(scrubbed[0]!.value).toBe(`Basic ${Buffer.from(`${user}:${grant.placeholder}`).toString("base64")}`);
      }),
      { numRuns: 300 },
    );
  });

  it("leaves no form of a value in a body, exact or in place, however it is cut", () => {
    const secret = fc.string({ unit: fc.constantFrom(...'aZ0"/+=&<é \\'), minLength: 8, maxLength: 40 });
    const filler = fc.string({ maxLength: 20 });
    const mode = fc.constantFrom("exact" as const, "in-place" as const);
    const cuts = fc.array(fc.nat(500), { maxLength: 8 });
    fc.assert(
      fc.property(
        fc.array(secret, { minLength: 1, maxLength: 4 }),
        filler,
        fc.nat(),
        mode,
        cuts,
        (texts, gap, pick, how, at) => {
          const grants = texts.map((text, index) => grantOf(`S${index}`, text, placeholderOf("klmn"[index]!)));
          const forms = grants.flatMap((grant) =>
            formsOf(grant.value).map(({ bytes }) => Buffer.from(bytes, "latin1")),
          );
          const form = forms[pick % forms.length]!;
          const body = Buffer.concat([Buffer.from(gap), Buffer.from("\n"), form, Buffer.from("\n"), Buffer.from(gap)]);
          const by = new Scrubber(grants);
          const session = sessionOf();
          const scrubbed = by.scrubWhole(body, how, session);
          expect(scrubbed.includes(form)).toBe(false);
          expect(session.names.length).toBeGreaterThan(0);
          if (how === "in-place") expect(scrubbed.length).toBe(body.length);
          const streamed = sessionOf();
          expect(run(by.body(how, streamed), body, at)).toEqual(scrubbed);
          expect(streamed.names).toEqual(session.names);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("keeps lengths in a body without a type once its first bytes are binary", () => {
    const sniff = (text: string, cuts: readonly number[] = []) =>
      run(scrubber.body("sniffed", sessionOf()), Buffer.from(text, "latin1"), cuts).toString("latin1");
    const same = placeholder.slice(0, value.length);
    expect(sniff(`k=${value};`)).toBe(`k=${placeholder};`);
    const mixed = `${value}\0${value}`;
    expect(sniff(mixed)).toBe(`${placeholder}\0${same}`);
    for (let step = 1; step < 6; step++) {
      expect(
        sniff(
          mixed,
          Array.from({ length: mixed.length / step }, (_, at) => at * step),
        ),
      ).toBe(sniff(mixed));
    }
    const late = `${"x".repeat(600)}\0${value}`;
    expect(sniff(late)).toBe(`${"x".repeat(600)}\0${placeholder}`);
  });

  it("passes random bytes unchanged", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.array(fc.nat(2000), { maxLength: 5 }), (bytes, cuts) => {
        const body = Buffer.from(bytes);
        fc.pre(!body.includes(value));
        expect(scrubber.scrubWhole(body, "exact", sessionOf())).toBe(body);
        expect(run(scrubber.body("in-place", sessionOf()), body, cuts)).toEqual(body);
      }),
    );
  });

  it("takes a thousand values of every length at once", () => {
    const grants = Array.from({ length: 1000 }, (_, i) =>
      grantOf(`S${String(i).padStart(4, "0")}`, `value-${i}-`.padEnd(8 + (i % 50), `${i % 10}`), placeholderOf("t")),
    );
    const many = new Scrubber(grants);
    const session = sessionOf();
    const body = Buffer.from(grants.map((grant) => grant.value.reveal().toString()).join("\n"));
    const scrubbed = many.scrubWhole(body, "exact", session).toString();
    expect(scrubbed).toBe(Array(1000).fill(placeholderOf("t")).join("\n"));
    expect(new Set(session.names).size).toBe(1000);
  });

  it("takes a value of 64 KiB, cut anywhere", () => {
    const long = `-----BEGIN-----\n${'Zm9v"YmFy/'.repeat(6552)}\n`;
    const by = new Scrubber([grantOf("PEM", long, placeholder)]);
    const body = Buffer.from(JSON.stringify({ key: long, more: 1 }));
    const cuts = Array.from({ length: 40 }, (_, i) => 1700 * i);
    expect(run(by.body("exact", sessionOf()), body, cuts).toString()).toBe(
      JSON.stringify({ key: placeholder, more: 1 }),
    );
    expect(run(by.body("in-place", sessionOf()), body, cuts).length).toBe(body.length);
  });
});
