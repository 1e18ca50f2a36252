import { describe, expect, it } from "vitest";
import { escapedForms, longValueBytes } from "../../../src/core/substitution/escaped-forms.ts";

function formsOf(value: string | Buffer): Set<string> {
  return new Set(escapedForms(typeof value === "string" ? Buffer.from(value) : value));
}

function bytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

describe("escapedForms", () => {
  it("has none for what no encoder escapes", () => {
    expect(escapedForms(Buffer.from("sk_live-0123.ABC"))).toEqual([]);
  });

  it("knows the JSON of common encoders", () => {
    const forms = formsOf("a\"b\\c/d<e>f&g'h\u2028i\x7f\b");
    expect(forms).toContain(bytes("a\\\"b\\\\c/d<e>f&g'h\u2028i\x7f\\b"));
    expect(forms).toContain("a\\\"b\\\\c/d<e>f&g'h\\u2028i\\u007f\\b");
    expect(forms).toContain(bytes("a\\\"b\\\\c\\/d<e>f&g'h\u2028i\x7f\\b"));
    expect(forms).toContain("a\\\"b\\\\c/d\\u003ce\\u003ef\\u0026g'h\\u2028i\x7f\\b");
    expect(forms).toContain("a\\\"b\\\\c/d\\u003ce\\u003ef\\u0026g'h\\u2028i\x7f\\u0008");
    expect(forms).toContain("a\\u0022b\\\\c/d\\u003Ce\\u003Ef\\u0026g\\u0027h\\u2028i\\u007F\\b");
    expect(forms).toContain("a\\u0022b\\\\c\\/d\\u003Ce\\u003Ef\\u0026g\\u0027h\\u2028i\x7f\\b");
  });

  it("knows JSON inside JSON", () => {
    expect(formsOf("line\nline")).toContain("line\\\\nline");
  });

  it("escapes beyond the basic plane as two", () => {
    const forms = formsOf("key🔑");
    expect(forms).toContain("key\\ud83d\\udd11");
    expect(forms).toContain("key\\uD83D\\uDD11");
    expect(forms).toContain("key&#128273;");
    expect(forms).toContain("key&#x1F511;");
    expect(forms).toContain("key%F0%9F%94%91");
  });

  it("knows the named, decimal and hexadecimal spellings of markup", () => {
    const forms = formsOf(`<"'&>`);
    for (const form of [
      "&lt;&quot;&#39;&amp;&gt;",
      "&lt;&quot;&#039;&amp;&gt;",
      "&lt;&quot;&#x27;&amp;&gt;",
      "&lt;&quot;&apos;&amp;&gt;",
      "&lt;&#34;&#39;&amp;&gt;",
      "&#60;&#34;&#39;&#38;&#62;",
      "&#x3C;&#x22;&#x27;&#x26;&#x3E;",
      "&#x3c;&#x22;&#x27;&#x26;&#x3e;",
      `&lt;"'&amp;&gt;`,
    ]) {
      expect(forms).toContain(form);
    }
  });

  it("knows URLs and forms, with hex digits in both cases", () => {
    const forms = formsOf("a b+c/d~e*");
    for (const form of [
      "a%20b%2Bc%2Fd~e%2A",
      "a%20b%2bc%2fd~e%2a",
      "a+b%2Bc%2Fd%7Ee*",
      "a%20b%2Bc/d~e%2A",
      "a%20b+c/d~e*",
    ]) {
      expect(forms).toContain(form);
    }
  });

  it("follows text that fits Latin-1 through fields and out of them", () => {
    const forms = formsOf("café+");
    expect(forms).toContain("caf\xe9+");
    expect(forms).toContain("caf%E9%2B");
    expect(forms).toContain(bytes(bytes("café+")));
    expect(forms).toContain("caf\\u00c3\\u00a9+");
  });

  it("does not take other text for Latin-1", () => {
    for (const form of formsOf('"Ā+')) expect(form).toMatch(/^[\0-\xff]*$/);
    expect(formsOf('"Ā+')).toContain(bytes('\\"Ā+'));
  });

  it("escapes bytes that are no text one by one", () => {
    const forms = formsOf(Buffer.from([0xff, 0x22, 0x20]));
    expect(forms).toContain("%FF%22%20");
    expect(forms).toContain('\xff\\" ');
  });

  it("knows fewer spellings of a long value, but those that substitution writes", () => {
    const value = `a b/c"'&é`;
    const long = value.repeat(Math.ceil(longValueBytes / value.length));
    const forms = formsOf(long);
    expect(forms.size).toBeLessThan(formsOf(value).size);
    expect(forms).toContain(bytes(JSON.stringify(long).slice(1, -1)));
    expect(forms).toContain(encodeURIComponent(long));
    expect(forms).toContain(new URLSearchParams({ v: long }).toString().slice(2));
  });
});
