// ASN.1 trees by node-forge, shorter to write. Strings hold a byte in each character, as node-forge has it.

import type { asn1 as forge } from "node-forge";
import asn1 from "node-forge/lib/asn1.js";

const { Class, Type } = asn1;

export function sequence(...items: forge.Asn1[]): forge.Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, items);
}

export function oid(dotted: string): forge.Asn1 {
  return node(Type.OID, asn1.oidToDer(dotted).getBytes());
}

export function node(type: forge.Type, value: string | forge.Asn1[]): forge.Asn1 {
  return asn1.create(Class.UNIVERSAL, type, typeof value !== "string", value);
}

export function encode(tree: forge.Asn1): Buffer {
  return Buffer.from(asn1.toDer(tree).getBytes(), "latin1");
}
