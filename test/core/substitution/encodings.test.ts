import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeUtf8, encodeValue, isUtf8, type ValueContext } from "../../../src/core/substitution/encodings.ts";

const encode = (value: string | Buffer, context: ValueContext): string | undefined =>
  encodeValue(Buffer.isBuffer(value) ? value : Buffer.from(value, "utf8"), context)?.toString("utf8");

describe("values in their context", () => {
  it("come back from JSON.parse", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        const written = encode(value, "json");
        // Lone surrogates have no UTF-8; Buffer.from replaces them.
        expect(JSON.parse(`"${written}"`)).toBe(Buffer.from(value, "utf8").toString("utf8"));
      }),
    );
  });

  it("come back from form and query decoding", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (value) => {
        expect(new URLSearchParams(`a=${encode(value, "form")}`).get("a")).toBe(value);
        expect(new URLSearchParams(`a=${encode(value, "query")}`).get("a")).toBe(value);
        expect([...new URLSearchParams(`a=${encode(value, "form")}&b=`).keys()]).toEqual(["a", "b"]);
      }),
    );
  });

  it("stay one path segment", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 3 }), (value) => {
        const written = encode(value, "path")!;
        expect(written).toMatch(/^[A-Za-z0-9\-._~:@!$*,=()%]*$/);
        expect(decodeURIComponent(written)).toBe(value);
      }),
    );
  });

  it.each(["json", "form", "xml", "path", "query"] as const)(
    "are left as they are in %s where nothing is special",
    (context) => {
      expect(encode("sk-abcDEF_0123.x", context)).toBe("sk-abcDEF_0123.x");
    },
  );

  it("are escaped in XML and HTML", () => {
    expect(encode(`a<b>&"'é\r\n`, "xml")).toBe("a&lt;b&gt;&amp;&quot;&#39;é&#13;\n");
  });

  it.each<[string, ValueContext, string | Buffer]>([
    ["a line feed in a header", "header", "a\nb"],
    ["a carriage return in a header", "header", "a\rb"],
    ["NUL in a header", "header", "a\0b"],
    ["a tab in a header", "header", "a\tb"],
    ["DEL in a header", "header", "a\x7fb"],
    ["a C1 control in a header", "header", "a\u0085b"],
    ["beyond Latin-1 in a header", "header", "a€b"],
    ["invalid UTF-8 in a header", "header", Buffer.from([0x61, 0xff])],
    ["a semicolon in a cookie", "cookie", "a;b"],
    ["a comma in a cookie", "cookie", "a,b"],
    ["a blank in a cookie", "cookie", "a b"],
    ["a quote in a cookie", "cookie", 'a"b'],
    ["a backslash in a cookie", "cookie", "a\\b"],
    ["a dot segment in a path", "path", "."],
    ["a double dot segment in a path", "path", ".."],
    ["invalid UTF-8 in JSON", "json", Buffer.from([0xff])],
    ["a control character in XML", "xml", "a\0b"],
    ["a control character in credentials", "basic", "a\nb"],
    ["non-ASCII in a foreign charset", "ascii", "é"],
  ])("cannot be written: %s", (_, context, value) => {
    expect(encode(value, context)).toBeUndefined();
  });

  it("are Latin-1 in headers", () => {
    expect(encodeValue(Buffer.from("clé", "utf8"), "header")).toEqual(Buffer.from("clé", "latin1"));
  });

  it("are told from what is not UTF-8", () => {
    expect(isUtf8(Buffer.from("\ufffd", "utf8"))).toBe(true);
    expect(isUtf8(Buffer.from([0xc3]))).toBe(false);
    expect(decodeUtf8(Buffer.from("\ufeffa", "utf8"))).toBe("\ufeffa");
  });
});

describe("a CDATA section", () => {
  const written = (value: string, context: "cdata" | "cdata-ascii" = "cdata") =>
    encodeValue(Buffer.from(value), context)?.toString();

  it("holds a value as it is, unless the section could end in it", () => {
    expect(written("a&b<c>é]]d")).toBe("a&b<c>é]]d");
    expect(written("a&b<c>", "cdata-ascii")).toBe("a&b<c>");
    for (const value of ["a]]>b", ">a", "]>a", "a]", "a\rb", "a\0b"]) expect(written(value)).toBeUndefined();
    expect(written("é", "cdata-ascii")).toBeUndefined();
  });
});

describe("XML in a charset that is not UTF-8", () => {
  it("holds what is not ASCII as references", () => {
    const written = (value: string) => encodeValue(Buffer.from(value), "xml-ascii")?.toString();
    expect(written("a&é\u{1f600}")).toBe("a&amp;&#233;&#128512;");
    expect(written("a\rb")).toBe("a&#13;b");
    expect(written("a\ré")).toBeUndefined();
  });
});

describe("a block string of GraphQL", () => {
  it("holds a value as it is, or not at all", () => {
    const written = (value: string) => encodeValue(Buffer.from(value), "block")?.toString();
    expect(written('a"b""c\té')).toBe('a"b""c\té');
    for (const value of ['a"""b', '"a', 'a"', "a\\b", "a\nb"]) expect(written(value)).toBeUndefined();
  });
});
