// Who is signed in to the console: a random id in a cookie that scripts cannot read, and here, by the id's hash, the hash
// of the API key it stands for. In memory: sessions end with the process, and each API process has its own.
//
// A cookie is sent whoever makes the browser ask, and SameSite holds off other sites but not other ports of this machine.
// So a request by session must also carry a header of our own, which a page of another origin cannot set without asking
// first, and we answer no such question.

import { createHash, randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { LRUCache } from "lru-cache";
import type { Clock } from "../core/ports.ts";
import { Problem } from "./problem.ts";

const COOKIE = "keyswap_session";
export const SESSION_MS = 12 * 3_600_000;
const MAX_SESSIONS = 10_000;
/** The console sends it with every request; the value does not matter. */
export const CONSOLE_HEADER = "x-keyswap-console";

interface Session {
  readonly keyHash: string;
  readonly expiresAt: number;
}

export class Sessions {
  readonly #clock: Clock;
  readonly #byHash = new LRUCache<string, Session>({ max: MAX_SESSIONS });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The cookie's value for the holder of the key with this hash. */
  open(keyHash: string): string {
    const id = randomBytes(32).toString("base64url");
    this.#byHash.set(hashOf(id), { keyHash, expiresAt: this.#clock() + SESSION_MS });
    return id;
  }

  /** The hash of the key that the cookies stand for. */
  find(cookies: string | undefined): string | undefined {
    const id = idIn(cookies);
    if (id === undefined) return undefined;
    const session = this.#byHash.get(hashOf(id));
    if (session === undefined) return undefined;
    if (session.expiresAt > this.#clock()) return session.keyHash;
    this.#byHash.delete(hashOf(id));
    return undefined;
  }

  close(cookies: string | undefined): void {
    const id = idIn(cookies);
    if (id !== undefined) this.#byHash.delete(hashOf(id));
  }
}

/** `id` undefined: takes the cookie away. */
export function sessionCookie(id: string | undefined, isSecure: boolean): string {
  const life = id === undefined ? 0 : SESSION_MS / 1000;
  return `${COOKIE}=${id ?? ""}; Path=/api; Max-Age=${life}; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}`;
}

/** Throws 403 for what a page of another origin could have made a browser send. */
export function requireSameOrigin(headers: IncomingHttpHeaders): void {
  const site = headers["sec-fetch-site"];
  const { origin, host } = headers;
  const isOurs =
    headers[CONSOLE_HEADER] !== undefined &&
    (site === undefined || site === "same-origin") &&
    (origin === undefined || (URL.canParse(origin) && new URL(origin).host === host));
  if (!isOurs) throw new Problem(403, "A session is for the console's own requests; use an API key");
}

function idIn(cookies: string | undefined): string | undefined {
  for (const pair of cookies?.split(";") ?? []) {
    const [name, value = ""] = pair.trim().split("=", 2);
    if (name === COOKIE && /^[\w-]{43}$/.test(value)) return value;
  }
  return undefined;
}

function hashOf(id: string): string {
  return createHash("sha256").update(id).digest("base64");
}
