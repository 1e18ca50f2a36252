// X.509 certificates as DER (RFC 5280). Names and extensions, which are made once, are written by node-forge's ASN.1
// part; a certificate is then put together from ready-made pieces, so that a mint parses and builds no tree.

import { createHash, type KeyObject, sign } from "node:crypto";
import type { asn1 as forge } from "node-forge";
import asn1 from "node-forge/lib/asn1.js";
import { parseIp } from "../core/authority/ip.ts";
import { encode, node, oid, sequence } from "./asn1.ts";

const { Class, Type } = asn1;
const { CONTEXT_SPECIFIC } = Class;

const oids = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  rsaWithSha256: "1.2.840.113549.1.1.11",
} as const;

/** A private key with the DER AlgorithmIdentifier of the signatures it makes (always over SHA-256). */
export interface Signer {
  readonly key: KeyObject;
  readonly algorithm: Buffer;
}

/** Undefined where the key is neither an elliptic-curve nor an RSA key. */
export function makeSigner(key: KeyObject): Signer | undefined {
  switch (key.asymmetricKeyType) {
    case "ec":
      return { key, algorithm: encode(sequence(oid(oids.ecdsaWithSha256))) };
    case "rsa":
      return { key, algorithm: encode(sequence(oid(oids.rsaWithSha256), node(Type.NULL, ""))) };
    default:
      return undefined;
  }
}

/** All Buffers are DER; times are milliseconds since the epoch. */
export interface CertificateParts {
  readonly serial: Buffer;
  readonly issuer: Buffer;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly subject: Buffer;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly extensions: readonly Buffer[];
}

const versionThree = Buffer.from([0xa0, 0x03, 0x02, 0x01, 0x02]);

/** A signed certificate as DER. */
export function encodeCertificate(parts: CertificateParts, signer: Signer): Buffer {
  const toBeSigned = tlv(0x30, [
    versionThree,
    parts.serial,
    signer.algorithm,
    parts.issuer,
    tlv(0x30, [encodeTime(parts.notBefore), encodeTime(parts.notAfter)]),
    parts.subject,
    parts.publicKey,
    tlv(0xa3, [tlv(0x30, parts.extensions)]),
  ]);
  const signature = sign("sha256", toBeSigned, signer.key);
  return tlv(0x30, [toBeSigned, signer.algorithm, tlv(0x03, [noUnusedBits, signature])]);
}

const noUnusedBits = Buffer.from([0]);

export function encodePem(der: Buffer): string {
  const base64 = der.toString("base64");
  let pem = "-----BEGIN CERTIFICATE-----\n";
  for (let at = 0; at < base64.length; at += 64) pem += `${base64.slice(at, at + 64)}\n`;
  return `${pem}-----END CERTIFICATE-----\n`;
}

/**
 * A serial number from 16 random bytes. The top bits are set to 01: positive, and never with a leading zero that DER
 * would want dropped, whatever the bytes (strict readers refuse both; RFC 5280 4.1.2.2).
 */
export function encodeSerial(random: Uint8Array): Buffer {
  const serial = Buffer.allocUnsafe(18);
  serial[0] = 0x02;
  serial[1] = 16;
  serial.set(random.subarray(0, 16), 2);
  serial[2] = (serial[2]! & 0x3f) | 0x40;
  return serial;
}

/** A distinguished name of at most these two parts. */
export function encodeName(name: { organization?: string; commonName?: string }): Buffer {
  const attributes: forge.Asn1[] = [];
  const add = (type: string, value: string) => {
    const text = node(Type.UTF8, Buffer.from(value, "utf8").toString("latin1"));
    attributes.push(node(Type.SET, [sequence(oid(type), text)]));
  };
  if (name.organization !== undefined) add(oids.organization, name.organization);
  if (name.commonName !== undefined) add(oids.commonName, name.commonName);
  return encode(sequence(...attributes));
}

/** SubjectPublicKeyInfo and the key identifier made from it (RFC 7093: SHA-256 cut to 160 bits). */
export function encodePublicKey(key: KeyObject): { readonly der: Buffer; readonly identifier: Buffer } {
  const der = key.export({ type: "spki", format: "der" });
  return { der, identifier: createHash("sha256").update(der).digest().subarray(0, 20) };
}

export function subjectKeyIdentifier(identifier: Buffer): Buffer {
  return extension(oids.subjectKeyIdentifier, false, node(Type.OCTETSTRING, identifier.toString("latin1")));
}

export function authorityKeyIdentifier(identifier: Buffer): Buffer {
  const keyIdentifier = asn1.create(CONTEXT_SPECIFIC, 0, false, identifier.toString("latin1"));
  return extension(oids.authorityKeyIdentifier, false, sequence(keyIdentifier));
}

/** `pathLength` is given for a CA alone: the number of CAs that may stand below it. */
export function basicConstraints(ca: false | { readonly pathLength: number }): Buffer {
  const content = ca
    ? [node(Type.BOOLEAN, "\xff"), node(Type.INTEGER, asn1.integerToDer(ca.pathLength).getBytes())]
    : [];
  return extension(oids.basicConstraints, true, sequence(...content));
}

export function keyUsage(use: "sign-certificates" | "server"): Buffer {
  // Bit strings with the count of unused bits first: keyCertSign (5) and cRLSign (6), or digitalSignature (0).
  const bits = use === "sign-certificates" ? "\x01\x06" : "\x07\x80";
  return extension(oids.keyUsage, true, node(Type.BITSTRING, bits));
}

export function serverAuthUsage(): Buffer {
  return extension(oids.extKeyUsage, false, sequence(oid(oids.serverAuth)));
}

const altNameHead = encode(oid(oids.subjectAltName));

/** IP literals (without brackets) become iPAddress names, all else dNSName. On the minting path: no ASN.1 tree. */
export function subjectAltName(names: readonly string[]): Buffer {
  const general = names.map((name) => {
    const address = addressBytes(name);
    return address === undefined ? tlv(0x82, [Buffer.from(name, "latin1")]) : tlv(0x87, [address]);
  });
  return tlv(0x30, [altNameHead, tlv(0x04, [tlv(0x30, general)])]);
}

/** The parts of an issuer's certificate that its leaves repeat. Throws where the bytes are no certificate. */
export function readIssuer(certificate: Buffer): { readonly name: Buffer; readonly keyIdentifier: Buffer | undefined } {
  const [toBeSigned] = children(asn1.fromDer(certificate.toString("latin1")));
  if (toBeSigned === undefined) throw new Error("not a certificate");
  const fields = children(toBeSigned);
  const name = fields[5];
  const extensions = fields.find((field) => field.tagClass === CONTEXT_SPECIFIC && Number(field.type) === 3);
  if (name === undefined) throw new Error("a certificate without a subject");
  const wanted = asn1.oidToDer(oids.subjectKeyIdentifier).getBytes();
  let keyIdentifier: Buffer | undefined;
  for (const entry of extensions ? children(children(extensions)[0]) : []) {
    const parts = children(entry);
    const value = parts.at(-1)?.value;
    if (parts[0]?.value !== wanted || typeof value !== "string") continue;
    keyIdentifier = Buffer.from(String(asn1.fromDer(value).value), "latin1");
  }
  return { name: encode(name), keyIdentifier };
}

function children(parent: forge.Asn1 | undefined): forge.Asn1[] {
  return Array.isArray(parent?.value) ? parent.value : [];
}

function extension(type: string, critical: boolean, value: forge.Asn1): Buffer {
  const content = node(Type.OCTETSTRING, asn1.toDer(value).getBytes());
  return encode(critical ? sequence(oid(type), node(Type.BOOLEAN, "\xff"), content) : sequence(oid(type), content));
}

/** UTCTime up to 2049, GeneralizedTime from 2050 on, as RFC 5280 4.1.2.5 wants it. Years 1950 to 9999. */
function encodeTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  const short = Number(digits.slice(0, 4)) < 2050;
  return tlv(short ? 0x17 : 0x18, [Buffer.from(short ? digits.slice(2) : digits, "latin1")]);
}

/** One DER element: tag, minimal length, contents. */
function tlv(tag: number, contents: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of contents) length += part.length;
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), ...contents], head.length + length);
}

function addressBytes(text: string): Buffer | undefined {
  const ip = parseIp(text);
  return ip && Buffer.from(ip.value.toString(16).padStart(ip.family === 4 ? 8 : 32, "0"), "hex");
}
