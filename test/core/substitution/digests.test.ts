import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { bodyCover, type DigestAlgorithm, rewriteDigests } from "../../../src/core/substitution/digests.ts";
import { request } from "./requests.ts";

const hash = (algorithm: string, text: string): Buffer => createHash(algorithm).update(text).digest();
const base64 = (algorithm: string, text: string): string => hash(algorithm, text).toString("base64");
const hex = (algorithm: string, text: string): string => hash(algorithm, text).toString("hex");
const sigv4 = (signed: string): string => `AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=${signed}, Signature=00`;

type Fields = readonly (readonly [string, string])[];

describe("what covers a body", () => {
  it.each<[string, Fields]>([
    ["nothing", []],
    ["a bearer token", [["Authorization", "Bearer x"]]],
    [
      "a payload that is said not to be signed",
      [
        ["Authorization", sigv4("host;x-amz-date")],
        ["x-amz-content-sha256", "UNSIGNED-PAYLOAD"],
      ],
    ],
    [
      "a signature of other parts",
      [
        ["Signature-Input", 'sig1=("@method" "@path");created=1'],
        ["Signature", "sig1=:AA==:"],
      ],
    ],
    [
      "OAuth 1.0 of a JSON body",
      [
        ["Authorization", 'OAuth oauth_signature="x"'],
        ["Content-Type", "application/json"],
      ],
    ],
  ])("is none: %s", (_, fields) => expect(bodyCover(request("/", ...fields))).toEqual({ kind: "none" }));

  it.each<[string, Fields, DigestAlgorithm[]]>([
    ["Content-MD5", [["Content-MD5", base64("md5", "")]], ["md5"]],
    ["Digest", [["Digest", `SHA-256=${base64("sha256", "")},md5=${base64("md5", "")}`]], ["sha256", "md5"]],
    [
      "Content-Digest and Repr-Digest",
      [
        ["Content-Digest", `sha-512=:${base64("sha512", "")}:`],
        ["Repr-Digest", `sha-256=:${base64("sha256", "")}:`],
      ],
      ["sha512", "sha256"],
    ],
    ["an unsigned payload hash", [["x-amz-content-sha256", hex("sha256", "")]], ["sha256"]],
    [
      "a signature that leaves the digest out",
      [
        ["Content-MD5", base64("md5", "")],
        ["Signature-Input", 'sig=("@method")'],
      ],
      ["md5"],
    ],
  ])("is digests: %s", (_, fields, algorithms) => {
    expect(bodyCover(request("/", ...fields))).toEqual({ kind: "digests", algorithms });
  });

  it.each<[string, string, Fields]>([
    [
      "SigV4",
      "/",
      [
        ["Authorization", sigv4("host")],
        ["x-amz-content-sha256", hex("sha256", "")],
      ],
    ],
    ["SigV4 without a payload header", "/", [["Authorization", sigv4("host")]]],
    [
      "SigV4 that signs a digest",
      "/",
      [
        ["Authorization", sigv4("content-md5;host")],
        ["x-amz-content-sha256", "UNSIGNED-PAYLOAD"],
        ["Content-MD5", base64("md5", "")],
      ],
    ],
    [
      "SigV4 that signs the length",
      "/",
      [
        ["Authorization", sigv4("content-length;host")],
        ["x-amz-content-sha256", "UNSIGNED-PAYLOAD"],
      ],
    ],
    ["a presigned URL that signs the length", "/?X-Amz-SignedHeaders=content-length%3Bhost&X-Amz-Signature=0", []],
    ["signed chunks", "/", [["x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"]]],
    [
      "RFC 9421",
      "/",
      [
        ["Signature-Input", 'sig1=("@method" "content-digest");created=1'],
        ["Content-Digest", `sha-256=:${base64("sha256", "")}:`],
      ],
    ],
    [
      "its predecessor",
      "/",
      [
        ["Signature", 'keyId="k",headers="(request-target) digest",signature="x"'],
        ["Digest", `SHA-256=${base64("sha256", "")}`],
      ],
    ],
    ["Azure's shared key", "/", [["Authorization", "SharedKey account:x"]]],
    [
      "another HMAC scheme",
      "/",
      [["Authorization", "HMAC-SHA256 Credential=x&SignedHeaders=x-ms-content-sha256&Signature=x"]],
    ],
    [
      "OAuth 1.0 of a form",
      "/",
      [
        ["Authorization", 'OAuth oauth_signature="x"'],
        ["Content-Type", "application/x-www-form-urlencoded"],
      ],
    ],
    ["a webhook's signature", "/", [["X-Hub-Signature-256", "sha256=00"]]],
    ["a checksum we cannot make", "/", [["x-amz-checksum-crc32", "AAAAAA=="]]],
    ["a digest algorithm we cannot make", "/", [["Digest", "crc32c=AAAAAA=="]]],
    ["a digest of unknown form", "/", [["Content-MD5", "?"]]],
    ["a digest in the trailers", "/", [["Trailer", "Foo, Content-Digest"]]],
    ["a content address", `/v2/x/blobs/uploads/1?digest=sha256:${hex("sha256", "")}`, []],
  ])("is fixed: %s", (_, target, fields) => expect(bodyCover(request(target, ...fields))).toEqual({ kind: "fixed" }));
});

describe("digests made anew", () => {
  it("keep their form and their other members", () => {
    const head = request(
      "/",
      ["Content-MD5", base64("md5", "old")],
      ["Digest", `SHA-256=${base64("sha256", "old")}, md5=${base64("md5", "old")}`],
      ["Content-Digest", `sha-256=:${base64("sha256", "old")}:`],
      ["x-amz-content-sha256", hex("sha256", "old")],
      ["X-Other", base64("md5", "old")],
    );
    const cover = bodyCover(head);
    if (cover.kind !== "digests") throw new Error(cover.kind);
    const hashes = new Map(cover.algorithms.map((algorithm) => [algorithm, hash(algorithm, "new")] as const));
    expect(rewriteDigests(head, hashes).fields.map((field) => field.value)).toEqual([
      base64("md5", "new"),
      `SHA-256=${base64("sha256", "new")}, md5=${base64("md5", "new")}`,
      `sha-256=:${base64("sha256", "new")}:`,
      hex("sha256", "new"),
      base64("md5", "old"),
    ]);
  });
});
