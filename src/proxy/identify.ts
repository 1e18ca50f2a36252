// Who is calling: the sandbox's id and token from Proxy-Authorization (RFC 7617), checked against the hash that the
// Secret API knows. Nothing is cached beyond the connection.

import { hash, timingSafeEqual } from "node:crypto";
import { type Field, findField } from "../core/message.ts";

export interface Credentials {
  readonly sandboxId: string;
  readonly token: string;
}

/** Reads `Basic base64(id:token)`; undefined where there is none or it is not well-formed. */
export function readCredentials(fields: readonly Field[]): Credentials | undefined {
  const field = findField(fields, "proxy-authorization");
  if (field === undefined) return undefined;
  const match = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(field.value);
  if (match === null) return undefined;
  const text = Buffer.from(match[1] ?? "", "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon <= 0 || colon > maxIdLength) return undefined;
  return { sandboxId: text.slice(0, colon), token: text.slice(colon + 1) };
}

/** Compares in constant time. `tokenHash` is `sha256:<hex>`; without one no token is right. */
export function tokenMatches(token: string, tokenHash: string | undefined): boolean {
  const actual = Buffer.from(`sha256:${hash("sha256", token, "hex")}`, "latin1");
  const expected = Buffer.from(tokenHash ?? "", "latin1");
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

const maxIdLength = 256;
