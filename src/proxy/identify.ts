// Who is calling: the sandbox's id and token (HTTP's Proxy-Authorization by RFC 7617, SOCKS5 by RFC 1929), checked
// against the hash that the Secret API knows, or on transparent ports the source address. Nothing is cached beyond the
// connection.

import { hash, timingSafeEqual } from "node:crypto";
import { neighbourhoodOf } from "../core/authority/neighbourhood.ts";
import type { ErrorCode } from "../core/errors.ts";
import { type Field, findField, type RequestHead } from "../core/message.ts";
import type { GrantsAnswer } from "../core/ports.ts";
import type { Services } from "./services.ts";

export interface Credentials {
  readonly sandboxId: string;
  readonly token: string;
}

/** Who is calling, before the token was checked. */
export interface Caller {
  readonly sandboxId: string;
  /** Undefined where none has to be shown. */
  readonly token: string | undefined;
  /** Where it was shown from: wrong ones are counted there. */
  readonly address?: string;
}

/** Whose request this is; undefined where it must say so and does not. */
export function identify(head: RequestHead, services: Services, address: string): Caller | ErrorCode {
  return openCaller(services) ?? callerFor(readCredentials(head.fields), services, address);
}

/** The caller where nobody has to show anything: one fixed sandbox without a token. */
export function openCaller(services: Services): Caller | undefined {
  const fixed = services.options.fixedSandbox;
  return fixed === undefined || fixed.token !== undefined ? undefined : { sandboxId: fixed.id, token: undefined };
}

/**
 * The caller that these credentials name; an error code without any, or where they are not the fixed sandbox's. Once too
 * many from this address were wrong, nobody is looked up for it any more: only who is known already may be right.
 */
export function callerFor(
  credentials: Credentials | undefined,
  services: Services,
  address: string,
): Caller | ErrorCode {
  const fixed = services.options.fixedSandbox;
  if (credentials === undefined) return "proxy-auth-required";
  const { sandboxId, token } = credentials;
  if (fixed === undefined) {
    if (services.logins.isEmpty(neighbourhoodOf(address)) && services.parts.grants.knows?.(sandboxId) === false)
      return "too-many-logins";
    return { sandboxId, token, address };
  }
  if (sandboxId !== fixed.id || !tokenMatches(token, services.fixedTokenHash)) return failedLogin(services, address);
  return { sandboxId: fixed.id, token: undefined };
}

/** Wrong credentials, counted where it is known who showed them. */
export function failedLogin(services: Services, address: string | undefined): ErrorCode {
  if (address === undefined || services.logins.take(neighbourhoodOf(address))) return "proxy-auth-required";
  return "too-many-logins";
}

/**
 * The caller on a transparent port, where no token can be shown: the fixed sandbox, or whose source address this is. A
 * fixed sandbox with a token is known by its address alone.
 */
export async function identifySource(address: string, services: Services): Promise<Caller | ErrorCode> {
  const open = openCaller(services);
  if (open !== undefined) return open;
  const answer = await services.parts.sources?.sandboxForAddress(address);
  switch (answer?.kind) {
    case "sandbox": {
      const fixed = services.options.fixedSandbox;
      if (fixed !== undefined && fixed.id !== answer.sandboxId) return "source-unknown";
      return { sandboxId: answer.sandboxId, token: undefined };
    }
    case "unavailable":
      return "grants-unavailable";
    case "unknown-source":
    case undefined:
      return "source-unknown";
    default:
      return answer satisfies never;
  }
}

/** The grants, or why there are none for this caller. A wrong token and an unknown sandbox look the same. */
export function admit(
  answer: GrantsAnswer,
  caller: Caller,
  services: Services,
): Extract<GrantsAnswer, { kind: "grants" }> | ErrorCode {
  switch (answer.kind) {
    case "grants":
      if (caller.token !== undefined && !tokenMatches(caller.token, answer.grants.tokenHash))
        return failedLogin(services, caller.address);
      return answer;
    case "unknown-sandbox":
      return failedLogin(services, caller.address);
    case "unavailable":
      return "grants-unavailable";
    default:
      return answer satisfies never;
  }
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
