// A PKCS#12 trust store (RFC 7292) for the JVM, which reads no PEM file. Certificates alone: nothing in it is secret, so it
// is neither encrypted nor sealed, and is read without a password.

import { X509Certificate } from "node:crypto";
import type { asn1 as forge } from "node-forge";
import asn1 from "node-forge/lib/asn1.js";
import { encode, node, oid, sequence } from "./asn1.ts";

const { Class, Type } = asn1;

const oids = {
  data: "1.2.840.113549.1.7.1",
  certificateBag: "1.2.840.113549.1.12.10.1.3",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  friendlyName: "1.2.840.113549.1.9.20",
  /** Without this attribute the JVM takes no certificate of the store for trusted. */
  trustedKeyUsage: "2.16.840.1.113894.746875.1.1",
  anyExtendedKeyUsage: "2.5.29.37.0",
} as const;

/** The store's DER. `certificates` are PEM, one each; throws where one cannot be read. */
export function encodeTrustStore(certificates: readonly string[]): Buffer {
  const bags = certificates.map((pem, index) => certificateBag(new X509Certificate(pem).raw, `keyswap-${index}`));
  const safeContents = sequence(...bags);
  const authenticatedSafe = sequence(data(safeContents));
  return encode(sequence(node(Type.INTEGER, "\x03"), data(authenticatedSafe)));
}

function certificateBag(der: Buffer, alias: string): forge.Asn1 {
  const certificate = sequence(oid(oids.x509Certificate), explicit(node(Type.OCTETSTRING, der.toString("latin1"))));
  const attributes = node(Type.SET, [
    // BMPString: two bytes a character, the higher one first.
    attribute(oids.friendlyName, node(Type.BMPSTRING, alias.replaceAll(/./g, "\0$&"))),
    attribute(oids.trustedKeyUsage, oid(oids.anyExtendedKeyUsage)),
  ]);
  return sequence(oid(oids.certificateBag), explicit(certificate), attributes);
}

function attribute(type: string, value: forge.Asn1): forge.Asn1 {
  return sequence(oid(type), node(Type.SET, [value]));
}

/** ContentInfo of the type data. */
function data(content: forge.Asn1): forge.Asn1 {
  return sequence(oid(oids.data), explicit(node(Type.OCTETSTRING, asn1.toDer(content).getBytes())));
}

function explicit(content: forge.Asn1): forge.Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, 0, true, [content]);
}
