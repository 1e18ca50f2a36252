// Whether a proxy can do its work, for `/readyz`. What is not asked: whether destinations can be reached.

import type { Clock, GrantSource } from "../core/ports.ts";
import type { GrantCache } from "../secrets/grant-cache.ts";
import type { Heartbeat } from "../secrets/heartbeat.ts";
import type { Readiness } from "../telemetry/admin-server.ts";

export interface ReadinessParts {
  readonly grants: Pick<GrantSource, "get"> & Pick<GrantCache, "state">;
  readonly heartbeat: Pick<Heartbeat, "tried" | "state" | "heardAt" | "apiCaFingerprint">;
  readonly caFingerprint: () => string;
  /** The fixed sandbox, if there is one. */
  readonly sandboxId: string | undefined;
  readonly maxStaleMs: () => number;
  /** By which the cache and the heartbeat note when they heard the API. */
  readonly clock: Clock;
}

export async function judgeReadiness(parts: ReadinessParts): Promise<Readiness> {
  const { grants, heartbeat, sandboxId } = parts;
  await heartbeat.tried();
  if (sandboxId !== undefined) {
    const answer = await grants.get(sandboxId);
    if (answer.kind === "unknown-sandbox") return notReady("the fixed sandbox is not known");
    if (answer.kind === "unavailable") return notReady(`no grants of the fixed sandbox: ${answer.detail}`);
  }
  const { apiCaFingerprint, state } = heartbeat;
  if (apiCaFingerprint !== undefined && apiCaFingerprint !== parts.caFingerprint()) {
    return notReady(
      "this proxy's CA is not the one that the Secret API tells sandboxes to trust; give both the same ca.pem",
    );
  }
  // With a fixed sandbox its grants have answered: an API in Daytona's form refuses what it does not know.
  if (sandboxId === undefined && state.kind === "failed" && state.reason === "refused") return notReady(state.detail);
  const heardAt = lastHeardAt(parts);
  const { apiFailure } = grants.state;
  const detail = apiFailure ?? (state.kind === "failed" ? state.detail : "no answer");
  if (heardAt === undefined) return notReady(`the Secret API was never heard: ${detail}`);
  const awayMs = parts.clock() - heardAt;
  if (awayMs <= parts.maxStaleMs()) return { ready: true };
  return notReady(`the Secret API has not been heard for ${Math.floor(awayMs / 1000)} s: ${detail}`);
}

/** By whatever way the API gave a sign of life; undefined where it never did. */
export function lastHeardAt({ grants, heartbeat }: Pick<ReadinessParts, "grants" | "heartbeat">): number | undefined {
  const [one, other] = [grants.state.heardAt, heartbeat.heardAt];
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}

function notReady(reason: string): Readiness {
  return { ready: false, reason };
}
