// Where the exchanges of one connection belong, decided when it was opened, and what follows from it, worked out once.

import type { Way } from "../core/audit.ts";
import { type Authority, formatAuthority, hostHeaderMatches } from "../core/authority/authority.ts";
import { flatten } from "../core/flat-text.ts";

export class Route {
  readonly sandboxId: string;
  readonly way: Way;
  readonly authority: Authority;
  /** The sandbox's token, where each request has to show it. */
  readonly token: string | undefined;
  /** Where it is shown from; see Caller. */
  readonly address: string | undefined;
  /** `host:port`, for audit events. */
  readonly authorityText: string;
  /** Distinguishes upstream connections: no sandbox ever uses one that another one opened. */
  readonly poolKey: string;
  #hostSeen: string | undefined;

  constructor(sandboxId: string, way: Way, authority: Authority, token?: string, address?: string) {
    this.sandboxId = sandboxId;
    this.way = way;
    this.authority = authority;
    this.token = token;
    this.address = address;
    this.authorityText = flatten(formatAuthority(authority));
    this.poolKey = `${sandboxId}\n${authority.scheme}\n${this.authorityText}`;
  }

  /** The same caller and way to another authority. */
  to(authority: Authority): Route {
    return new Route(this.sandboxId, this.way, authority, this.token, this.address);
  }

  /** Whether a Host field names this authority. A connection's requests mostly say the same: the last right one is remembered. */
  hostMatches(host: string): boolean {
    if (host === this.#hostSeen) return true;
    if (!hostHeaderMatches(this.authority, host)) return false;
    this.#hostSeen = host;
    return true;
  }
}
