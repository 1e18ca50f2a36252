// The register of everything that is open towards clients: for bounds, for draining, and for closing tunnels that would
// not be opened by now.

import type { Way } from "../core/audit.ts";
import type { Authority } from "../core/authority/authority.ts";
import { decideIntercept } from "../core/authority/policy.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { GrantsAnswer } from "../core/ports.ts";
import type { CompiledGrants, Services } from "./services.ts";
import type { Tunnel } from "./tunnel.ts";

/** A client's connection in whatever protocol. */
export interface ClientConnection {
  /** Lets what runs end and closes then. */
  drain(): void;
  destroy(): void;
}

export class Connections {
  readonly #services: Services;
  readonly #clients = new Set<ClientConnection>();
  readonly #tunnels = new Map<string, Set<Tunnel>>();
  /** By sandbox: lets go of its grants, which its tunnels depend on. */
  readonly #release = new Map<string, () => void>();

  constructor(services: Services) {
    this.#services = services;
  }

  addClient(client: ClientConnection): void {
    this.#clients.add(client);
    if (this.#services.draining) client.drain();
  }

  deleteClient(client: ClientConnection): void {
    this.#clients.delete(client);
  }

  addTunnel(tunnel: Tunnel): void {
    const { sandboxId } = tunnel.route;
    let tunnels = this.#tunnels.get(sandboxId);
    if (tunnels === undefined) {
      tunnels = new Set();
      this.#tunnels.set(sandboxId, tunnels);
      this.#release.set(sandboxId, this.#services.parts.grants.hold(sandboxId));
    }
    tunnels.add(tunnel);
  }

  deleteTunnel(tunnel: Tunnel): void {
    const { sandboxId } = tunnel.route;
    const tunnels = this.#tunnels.get(sandboxId);
    tunnels?.delete(tunnel);
    if (tunnels?.size !== 0) return;
    this.#tunnels.delete(sandboxId);
    this.#release.get(sandboxId)?.();
    this.#release.delete(sandboxId);
  }

  /** A sandbox's grants changed: tunnels that would not be opened now have to go, those of a deleted sandbox at once. */
  onGrantsChange(sandboxId: string, answer: GrantsAnswer): void {
    const tunnels = this.#tunnels.get(sandboxId);
    if (tunnels === undefined || answer.kind === "unavailable") return;
    for (const tunnel of tunnels) {
      if (answer.kind === "unknown-sandbox") tunnel.destroy();
      else if (this.#isOutdated(tunnel, this.#services.compile(answer.grants))) tunnel.retire();
    }
  }

  /** The rules changed: tunnels that would not be opened now have to go. */
  onReconfigured(): void {
    for (const [sandboxId, tunnels] of this.#tunnels) {
      // From the cache; what is being fetched comes by onGrantsChange.
      const answer = this.#services.parts.grants.get(sandboxId);
      if (answer instanceof Promise || answer.kind !== "grants") continue;
      const compiled = this.#services.compile(answer.grants);
      for (const tunnel of tunnels) if (this.#isOutdated(tunnel, compiled)) tunnel.retire();
    }
  }

  /** Whether this tunnel would not be opened now, as Opening decides. */
  #isOutdated({ route: { authority, reason } }: Tunnel, { egress, index }: CompiledGrants): boolean {
    if (egress.decide(authority).kind === "denied") return true;
    const { granted } = index.forHost(authority.host);
    const tunnelListed = this.#services.isTunnelListed(authority);
    if (reason === "not-http") return granted && !tunnelListed && !this.#services.isRawListed(authority);
    const { intercept: mode } = this.#services.options;
    const blocks = index.onViolation === "block";
    return decideIntercept({ granted, mode, tunnelListed, blocks }).kind === "intercept";
  }

  recordRefusal(
    way: Way,
    sandbox: string | undefined,
    authority: Authority | undefined,
    error: ErrorCode,
    detail: string | undefined,
  ): void {
    this.#services.parts.audit.record({
      type: "refusal",
      time: this.#services.timeOf(this.#services.clock()),
      id: this.#services.nextId(),
      sandbox,
      way,
      authority: this.#services.describe(authority),
      error,
      ...(detail === undefined ? undefined : { detail }),
    });
  }

  /** Lets running exchanges end and closes what is idle. */
  drain(): void {
    for (const client of [...this.#clients]) client.drain();
  }

  /** Whether nothing is open any more. */
  get empty(): boolean {
    return this.#clients.size === 0 && this.#tunnels.size === 0;
  }

  get counts(): { readonly clients: number; readonly tunnels: number } {
    let tunnels = 0;
    for (const set of this.#tunnels.values()) tunnels += set.size;
    return { clients: this.#clients.size, tunnels };
  }

  destroy(): void {
    for (const client of [...this.#clients]) client.destroy();
    for (const tunnels of [...this.#tunnels.values()]) for (const tunnel of [...tunnels]) tunnel.destroy();
  }
}
