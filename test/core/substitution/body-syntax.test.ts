import { describe, expect, it } from "vitest";
import { parseContentType, syntaxOf } from "../../../src/core/substitution/body-syntax.ts";

function brief(type: string | undefined): string {
  const syntax = syntaxOf(type);
  if (syntax.kind === "multipart") return `multipart ${syntax.boundary}`;
  return syntax.kind === "text" ? `${syntax.spelling} ${syntax.context}${syntax.sniff ? " sniffed" : ""}` : syntax.kind;
}

describe("the syntax of a body", () => {
  it.each([
    ["application/json", "json json"],
    ["Application/JSON; charset=UTF-8", "json json"],
    ["application/problem+json", "json json"],
    ["application/x-ndjson", "json json"],
    ["application/json-seq", "json json"],
    ["application/graphql", "json json"],
    ["application/x-www-form-urlencoded; charset=utf-8", "percent form"],
    ["text/plain", "plain raw"],
    ['text/plain; charset="UTF-8"', "plain raw"],
    ["text/plain; charset=windows-1252", "plain ascii"],
    ["text/plain; charset=utf-16le", "binary"],
    ["text/csv", "plain raw"],
    ["application/yaml", "plain raw"],
    ["text/html", "plain xml"],
    ["application/xml", "plain xml"],
    ["application/atom+xml", "plain xml"],
    ["text/xml; charset=iso-8859-1", "plain xml-ascii"],
    ["image/svg+xml", "plain xml"],
    [undefined, "plain raw sniffed"],
    ["multipart/form-data; boundary=a-b", "multipart a-b"],
    ['multipart/mixed; x=y; boundary="a b;c"', "multipart a b;c"],
    ["multipart/form-data", "binary"],
    ["application/octet-stream", "binary"],
    ["application/grpc", "binary"],
    ["application/grpc+json", "binary"],
    ["application/connect+json", "binary"],
    ["application/x-protobuf", "binary"],
    ["application/x-git-upload-pack-request", "binary"],
    ["application/vnd.unheard-of", "binary"],
    ["image/png", "opaque"],
    ["application/zip", "opaque"],
    ["application/grpc-web-text+proto", "opaque"],
    ["application/vnd.oci.image.layer.v1.tar+gzip", "opaque"],
  ])("of %j is %s", (type, expected) => expect(brief(type)).toBe(expected));

  it("reads parameters leniently", () => {
    const { type, parameters } = parseContentType(
      'Form-Data; Name="a\\"b"; filename*=UTF-8\'\'x; name=other;;; broken',
    );
    expect(type).toBe("form-data");
    expect(parameters.get("name")).toBe('a"b');
    expect(parameters.get("filename*")).toBe("UTF-8''x");
    expect(parseContentType("text/plain;").parameters.size).toBe(0);
  });
});
