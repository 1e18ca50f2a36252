// Which syntax a body has, by its content type: how placeholders may be spelled in it and how values are written.

import type { MessageKind } from "../wire/websocket.ts";
import type { ValueContext } from "./encodings.ts";
import type { Spelling } from "./spelling.ts";

export type BodySyntax =
  /** One syntax throughout. */
  | {
      readonly kind: "text";
      readonly spelling: Spelling;
      readonly context: ValueContext;
      /** What names the parts of such a body. */
      readonly parts: "json" | "form" | undefined;
      /** What it may have in which values are written otherwise. */
      readonly sections?: "cdata" | "block-strings" | undefined;
      /** No type was given: text only as long as the bytes look like it. */
      readonly sniff: boolean;
    }
  /** Bytes with lengths or checksums of their own: only an equal length is harmless. */
  | { readonly kind: "binary" }
  | { readonly kind: "multipart"; readonly boundary: string }
  /** Compressed or media data: a placeholder cannot be recognized or written there. */
  | { readonly kind: "opaque" };

type TextSyntax = Extract<BodySyntax, { kind: "text" }>;

const JSON_SYNTAX: BodySyntax = { kind: "text", spelling: "json", context: "json", parts: "json", sniff: false };
const FORM: BodySyntax = { kind: "text", spelling: "percent", context: "form", parts: "form", sniff: false };
const XML: TextSyntax = {
  kind: "text",
  spelling: "plain",
  context: "xml",
  parts: undefined,
  sniff: false,
  sections: "cdata",
};
const HTML: TextSyntax = { ...XML, sections: undefined };
const ASCII_XML: TextSyntax = { ...XML, context: "xml-ascii" };
const ASCII_HTML: TextSyntax = { ...HTML, context: "xml-ascii" };
const TEXT: BodySyntax = { kind: "text", spelling: "plain", context: "raw", parts: undefined, sniff: false };
/** GraphQL's string literals have JSON's escapes. */
const GRAPHQL: BodySyntax = {
  kind: "text",
  spelling: "json",
  context: "json",
  parts: undefined,
  sniff: false,
  sections: "block-strings",
};
/** Text in a charset that keeps ASCII but is not UTF-8: only an ASCII value is the same text in it. */
const ASCII: BodySyntax = { kind: "text", spelling: "plain", context: "ascii", parts: undefined, sniff: false };
/** A text message has to be UTF-8 (RFC 6455 section 8.1). */
const MESSAGE: BodySyntax = { kind: "text", spelling: "plain", context: "utf8", parts: undefined, sniff: false };
const UNTYPED: BodySyntax = { kind: "text", spelling: "plain", context: "raw", parts: undefined, sniff: true };
const BINARY: BodySyntax = { kind: "binary" };
const OPAQUE: BodySyntax = { kind: "opaque" };

const JSON_TYPES =
  /^(?:application|text)\/(?:json|x-json|ndjson|x-ndjson|jsonl|x-jsonl|jsonlines|x-jsonlines|json-seq|x-json-stream|stream\+json|csp-report|reports)$/;
const TEXT_TYPES =
  /^application\/(?:javascript|x-javascript|ecmascript|typescript|yaml|x-yaml|toml|sql|x-sh|x-httpd-php|jwt|x-pem-file|pkcs8|x-www-form|cypher|sparql-query|sparql-update|n-triples|edn|x-nix|hcl|trig)$|\+yaml$/;
const OPAQUE_TYPES =
  /^(?:image|audio|video|font)\/|^application\/(?:zip|gzip|x-gzip|x-bzip2?|x-xz|zstd|x-7z-compressed|x-rar-compressed|vnd\.rar|x-tar|java-archive|pdf|wasm|ogg|mp4|grpc-web-text.*|vnd\.android\.package-archive|vnd\.openxmlformats-.*|vnd\.oci\.image\.layer.*)$|[+.](?:zip|gzip|zstd)$/;

/** An object, array or string, possibly behind what Socket.IO writes before it: type, attachments, namespace, id. */
const JSON_MESSAGE = /^[\t\n\r ]*(?:[0-9]{1,20}-?(?:\/[^,]{0,200},)?[0-9]{0,20})?[[{"]/;
const jsonSignBytes = 256;

/** The syntax of a WebSocket message: no type says what it is, so its beginning does. */
export function messageSyntax(kind: MessageKind, beginning: Buffer): BodySyntax {
  if (kind === "binary") return BINARY;
  return JSON_MESSAGE.test(beginning.toString("latin1", 0, jsonSignBytes)) ? JSON_SYNTAX : MESSAGE;
}

/** The syntax of a body with this Content-Type value; undefined: the field is absent. */
export function syntaxOf(contentType: string | undefined): BodySyntax {
  if (contentType === undefined || contentType === "") return UNTYPED;
  if (contentType === "application/json") return JSON_SYNTAX;
  const { type, parameters } = parseContentType(contentType);
  if (type === "application/x-www-form-urlencoded") return FORM;
  if (
    JSON_TYPES.test(type) ||
    (type.endsWith("+json") && !type.startsWith("application/grpc") && !type.startsWith("application/connect"))
  )
    return JSON_SYNTAX;
  if (type.startsWith("multipart/")) {
    const boundary = parameters.get("boundary");
    // Without a boundary nothing tells the parts apart.
    return boundary === undefined || boundary === "" || boundary.length > 200
      ? BINARY
      : { kind: "multipart", boundary };
  }
  if (type === "application/graphql") return GRAPHQL;
  const charset = parameters.get("charset")?.toLowerCase();
  // In UTF-16 and its like an ASCII placeholder does not stand as ASCII bytes; found there it would be an accident.
  if (charset !== undefined && /^utf-?(?:16|32)|^ucs-?[24]/.test(charset)) return BINARY;
  const foreign = charset !== undefined && charset !== "utf-8" && charset !== "utf8" && charset !== "us-ascii";
  if (type === "text/html") return foreign ? ASCII_HTML : HTML;
  if (type === "text/xml" || type === "application/xml" || type.endsWith("+xml")) {
    return OPAQUE_TYPES.test(type) && type !== "image/svg+xml" ? OPAQUE : foreign ? ASCII_XML : XML;
  }
  if (type.startsWith("text/") || TEXT_TYPES.test(type)) return foreign ? ASCII : TEXT;
  return OPAQUE_TYPES.test(type) ? OPAQUE : BINARY;
}

export interface ContentType {
  /** Lower case, without parameters. */
  readonly type: string;
  /** By lower-case name; the first of each. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** RFC 9110 section 8.3.1, leniently: what cannot be read is left out. Also reads Content-Disposition. */
export function parseContentType(value: string): ContentType {
  const semicolon = value.indexOf(";");
  const type = (semicolon < 0 ? value : value.slice(0, semicolon)).trim().toLowerCase();
  const parameters = new Map<string, string>();
  if (semicolon >= 0) {
    const pattern = /;\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))/gy;
    pattern.lastIndex = semicolon;
    for (let match = pattern.exec(value); match !== null; match = pattern.exec(value)) {
      const name = match[1]!.toLowerCase();
      const text = match[2] === undefined ? match[3]! : match[2].replace(/\\(.)/g, "$1");
      if (!parameters.has(name)) parameters.set(name, text);
    }
  }
  return { type, parameters };
}
