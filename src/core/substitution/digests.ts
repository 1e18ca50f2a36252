// Digests and signatures over a request's body. A digest in a header can be made anew where the whole body is at hand
// before the head goes out; a signature cannot, so what it covers must not change.
//
// Hashing is no core work: this file says which algorithms are needed and writes their results into the fields.

import { type Field, findField, type RequestHead } from "../message.ts";

/** Names as `node:crypto` has them. */
export type DigestAlgorithm = "md5" | "sha1" | "sha256" | "sha512";

export type BodyCover =
  | { readonly kind: "none" }
  /** Fields that `rewriteDigests` can fill anew, given these hashes of the content as it is sent (after codings). */
  | { readonly kind: "digests"; readonly algorithms: readonly DigestAlgorithm[] }
  /** A signature, or a digest that cannot be made anew. */
  | { readonly kind: "fixed" };

const NONE: BodyCover = { kind: "none" };
const FIXED: BodyCover = { kind: "fixed" };

/** Algorithm names in Digest (RFC 3230), Content-Digest and Repr-Digest (RFC 9530) and x-goog-hash. */
const ALGORITHMS: ReadonlyMap<string, DigestAlgorithm> = new Map([
  ["md5", "md5"],
  ["sha", "sha1"],
  ["sha-1", "sha1"],
  ["sha-256", "sha256"],
  ["sha-512", "sha512"],
]);

/** Fields that are one bare digest, in base64 or in hex. */
const BARE_FIELDS: ReadonlyMap<string, DigestAlgorithm> = new Map([
  ["content-md5", "md5"],
  ["x-amz-content-sha256", "sha256"],
  ["x-goog-content-sha256", "sha256"],
  ["x-ms-content-sha256", "sha256"],
  ["x-content-sha256", "sha256"],
  ["x-amz-checksum-sha1", "sha1"],
  ["x-amz-checksum-sha256", "sha256"],
  ["x-checksum-md5", "md5"],
  ["x-checksum-sha1", "sha1"],
  ["x-checksum-sha256", "sha256"],
  ["x-bz-content-sha1", "sha1"],
]);

/** Fields that list digests: `sha-256=…` with the value bare, or between colons. */
const LIST_FIELDS: ReadonlySet<string> = new Set(["digest", "content-digest", "repr-digest", "x-goog-hash"]);

/** Digests in algorithms that are not to be had. */
const UNKNOWN_DIGEST = /^x-amz-checksum-(?:crc|sha512|md5|xx)/;

/** Message authentication codes over the body, in fields of their own. */
const BODY_MAC_FIELDS: ReadonlySet<string> = new Set([
  "x-hub-signature",
  "x-hub-signature-256",
  "webhook-signature",
  "svix-signature",
  "stripe-signature",
  "x-slack-signature",
  "x-signature",
  "x-signature-ed25519",
  "x-body-signature",
]);

const BYTES: Readonly<Record<DigestAlgorithm, number>> = { md5: 16, sha1: 20, sha256: 32, sha512: 64 };

/** Fields that `bodyCover` has to look at: the others cost one look-up each. */
const RELEVANT: ReadonlySet<string> = new Set([
  ...BARE_FIELDS.keys(),
  ...LIST_FIELDS,
  ...BODY_MAC_FIELDS,
  "trailer",
  "authorization",
  "signature-input",
  "signature",
]);

/** What covers the body of this request. */
export function bodyCover(head: RequestHead): BodyCover {
  const relevant = head.fields.filter(({ key }) => RELEVANT.has(key) || key.startsWith("x-amz-checksum-"));
  // Content-addressed uploads (OCI registries) name the digest in the query; presigned URLs name what they cover.
  const { target } = head;
  if (target.includes("digest=sha") && /[?&]digest=sha\d+(?::|%3a)[0-9a-f]{32}/i.test(target)) return FIXED;
  const presigned = target.includes("SignedHeaders=") || target.includes("signedheaders=");
  if (relevant.length === 0 && !presigned) return NONE;

  const algorithms = new Set<DigestAlgorithm>();
  const digestKeys: string[] = [];
  for (const { key, value } of relevant) {
    if (BODY_MAC_FIELDS.has(key)) return FIXED;
    if (key === "trailer" && announcesDigest(value)) return FIXED;
    const found = digestsOf(key, value);
    if (found === "fixed") return FIXED;
    if (found === undefined) continue;
    for (const algorithm of found) algorithms.add(algorithm);
    digestKeys.push(key);
  }
  if (isSigned(head, digestKeys)) return FIXED;
  return algorithms.size === 0 ? NONE : { kind: "digests", algorithms: [...algorithms] };
}

/** The algorithms of a digest field; "fixed": cannot be made anew; undefined: no digest field. */
function digestsOf(key: string, value: string): readonly DigestAlgorithm[] | "fixed" | undefined {
  const bare = BARE_FIELDS.get(key);
  if (bare !== undefined) {
    // S3's way to say that there is no digest.
    if (value === "UNSIGNED-PAYLOAD") return undefined;
    return bareForm(value, bare) === undefined ? "fixed" : [bare];
  }
  if (UNKNOWN_DIGEST.test(key)) return "fixed";
  if (!LIST_FIELDS.has(key)) return undefined;
  const algorithms: DigestAlgorithm[] = [];
  for (const member of value.split(",")) {
    const name = member.slice(0, Math.max(0, member.indexOf("="))).trim();
    const algorithm = ALGORITHMS.get(name.toLowerCase());
    if (algorithm === undefined) return "fixed";
    algorithms.push(algorithm);
  }
  return algorithms;
}

function bareForm(value: string, algorithm: DigestAlgorithm): "hex" | "base64" | undefined {
  if (value.length === BYTES[algorithm] * 2 && /^[0-9a-f]+$/i.test(value)) return "hex";
  if (value.length === Math.ceil(BYTES[algorithm] / 3) * 4 && /^[A-Za-z0-9+/]+=*$/.test(value)) return "base64";
  return undefined;
}

function announcesDigest(trailer: string): boolean {
  return trailer
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .some((name) => BARE_FIELDS.has(name) || LIST_FIELDS.has(name) || name.startsWith("x-amz-checksum-"));
}

/** Whether a signature of the request depends on the body, by itself or through one of these digest fields. */
function isSigned(head: RequestHead, digestKeys: readonly string[]): boolean {
  const authorization = findField(head.fields, "authorization")?.value;
  if (authorization !== undefined && isSignedBy(authorization, head, digestKeys)) return true;

  // RFC 9421: the covered components are quoted strings.
  const input = findField(head.fields, "signature-input")?.value;
  if (input !== undefined && covers(input.toLowerCase(), '"', digestKeys)) return true;
  // Its predecessor (draft-cavage): a list between quotes.
  const cavage = findField(head.fields, "signature")?.value;
  if (cavage !== undefined && covers(listIn(cavage, /headers="([^"]*)"/i), " ", digestKeys)) return true;

  // Presigned URLs.
  return covers(`;${presignedNames(head.target)};`, ";", digestKeys);
}

function isSignedBy(authorization: string, head: RequestHead, digestKeys: readonly string[]): boolean {
  const scheme = authorization.slice(0, Math.max(0, authorization.indexOf(" "))).toLowerCase();
  if (scheme.startsWith("aws4-") || scheme.startsWith("goog4-")) {
    const payload =
      findField(head.fields, "x-amz-content-sha256")?.value ?? findField(head.fields, "x-goog-content-sha256")?.value;
    if (payload !== "UNSIGNED-PAYLOAD") return true;
    return covers(`;${listIn(authorization, /SignedHeaders=([^,\s]*)/i)};`, ";", digestKeys);
  }
  switch (scheme) {
    // Azure signs Content-Length and Content-MD5; others of this kind hash the payload.
    case "sharedkey":
    case "sharedkeylite":
      return true;
    case "signature":
      return covers(listIn(authorization, /headers="([^"]*)"/i), " ", digestKeys);
    case "hawk":
      return /\bhash=/.test(authorization);
    case "oauth": {
      // OAuth 1.0 signs the parameters of a form (RFC 5849 section 3.4.1.3).
      const type = findField(head.fields, "content-type")?.value.toLowerCase() ?? "";
      return authorization.includes("oauth_body_hash") || type.startsWith("application/x-www-form-urlencoded");
    }
    default:
      return scheme.includes("hmac-sha");
  }
}

/** Whether a signature of the request covers this field, so that it cannot be changed. */
export function signsField(head: RequestHead, key: string): boolean {
  const authorization = findField(head.fields, "authorization")?.value ?? "";
  const scheme = authorization.slice(0, Math.max(0, authorization.indexOf(" "))).toLowerCase();
  // Azure's first one covers Range, both all that is Azure's own.
  if (scheme === "sharedkey" || (scheme === "sharedkeylite" && key.startsWith("x-ms-"))) return true;
  const lists = [
    `;${listIn(authorization, /SignedHeaders=([^,\s]*)/i)};`,
    ` ${listIn(authorization, /headers="([^"]*)"/i)} `,
    findField(head.fields, "signature-input")?.value.toLowerCase() ?? "",
    ` ${listIn(findField(head.fields, "signature")?.value ?? "", /headers="([^"]*)"/i)} `,
    `;${presignedNames(head.target)};`,
  ];
  return lists.some((list) => [`;${key};`, ` ${key} `, `"${key}"`].some((name) => list.includes(name)));
}

/** Fields that a presigned URL covers, between semicolons. */
function presignedNames(target: string): string {
  const presigned = /[?&]X-(?:Amz|Goog)-SignedHeaders=([^&]*)/i.exec(target)?.[1] ?? "";
  return presigned.replace(/%3b/gi, ";").toLowerCase();
}

function listIn(text: string, pattern: RegExp): string {
  return (pattern.exec(text)?.[1] ?? "").toLowerCase();
}

/** Whether a list of covered fields, each between separators, names a digest or the length. */
function covers(list: string, separator: '"' | " " | ";", digestKeys: readonly string[]): boolean {
  const padded = separator === " " ? ` ${list} ` : list;
  const names = [...digestKeys, "content-length", "digest", "content-digest", "repr-digest", "content-md5"];
  return names.some((name) => padded.includes(separator + name + separator));
}

/** The head with its digest fields made anew; `hashes` holds what `bodyCover` asked for. */
export function rewriteDigests(head: RequestHead, hashes: ReadonlyMap<DigestAlgorithm, Buffer>): RequestHead {
  return { ...head, fields: head.fields.map((field) => rewriteField(field, hashes)) };
}

function rewriteField(field: Field, hashes: ReadonlyMap<DigestAlgorithm, Buffer>): Field {
  const { name, key, value } = field;
  const bare = BARE_FIELDS.get(key);
  if (bare !== undefined) {
    const form = bareForm(value, bare);
    const hash = hashes.get(bare);
    return form === undefined || hash === undefined ? field : { name, key, value: hash.toString(form) };
  }
  if (!LIST_FIELDS.has(key)) return field;
  const rewritten = value
    .split(",")
    .map((member) => {
      const equals = member.indexOf("=");
      const algorithm = ALGORITHMS.get(member.slice(0, Math.max(0, equals)).trim().toLowerCase());
      const hash = algorithm === undefined ? undefined : hashes.get(algorithm);
      if (hash === undefined) return member;
      const encoded = hash.toString("base64");
      return member.slice(0, equals + 1) + (member[equals + 1] === ":" ? `:${encoded}:` : encoded);
    })
    .join(",");
  return { name, key, value: rewritten };
}
