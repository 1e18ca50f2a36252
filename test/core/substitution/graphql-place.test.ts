import { describe, expect, it } from "vitest";
import { GraphqlPlace } from "../../../src/core/substitution/graphql-place.ts";

describe("GraphqlPlace", () => {
  it.each([
    ["{ a(b: ", "json"],
    ['{ a(b: "', "json"],
    ['{ a(b: """', "block"],
    ['{ a(b: """x "y" ""', "block"],
    ['{ a(b: """x""" c: "', "json"],
    ['{ a(b: """""" c: "', "json"],
    ['{ a(b: """x \\""" y', "block"],
    ['{ a(b: """x \\""" y""" ', "json"],
    ['{ a(b: "", c: """', "block"],
    ['{ a(b: "\\"", c: "', "json"],
    ['{ a(b: "\\"""", c: ', "json"],
    ['{ a(b: "x", c: "y" d: """', "block"],
    ['# """\n{ a(b: "', "json"],
  ])("knows where %j ends", (text, context) => {
    const place = new GraphqlPlace();
    const bytes = Buffer.from(text);
    place.advance(bytes, 0, bytes.length);
    expect(place.context).toBe(context);
  });
});
