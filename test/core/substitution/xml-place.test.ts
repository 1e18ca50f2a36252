import { describe, expect, it } from "vitest";
import { XmlPlace } from "../../../src/core/substitution/xml-place.ts";

function contextAfter(text: string, cut = text.length): string {
  const place = new XmlPlace(false);
  const bytes = Buffer.from(text);
  place.advance(bytes, 0, cut);
  place.advance(bytes, cut, bytes.length);
  return place.context;
}

describe("XmlPlace", () => {
  it.each([
    ["<a>", "xml"],
    ["<a><![CDATA[", "cdata"],
    ["<a><![CDATA[ <b> ]] ", "cdata"],
    ["<a><![CDATA[x]]]>", "xml"],
    ["<a><![CDATA[x]]><![CDATA[", "cdata"],
    ["<a><!-- <![CDATA[ ", "xml"],
    ["<a><!-- <![CDATA[ --><![CDATA[", "cdata"],
    ["<a><![CDATA[ <!-- ]]>", "xml"],
    ["<a><![CDATA", "xml"],
    ["<!-->", "xml"],
  ])("knows where %j ends, however it is cut", (text, context) => {
    for (let cut = 0; cut <= text.length; cut++) expect(contextAfter(text, cut)).toBe(context);
  });

  it("knows of charsets that are not UTF-8", () => {
    const place = new XmlPlace(true);
    expect(place.context).toBe("xml-ascii");
    place.advance(Buffer.from("<![CDATA["), 0, 9);
    expect(place.context).toBe("cdata-ascii");
  });
});
