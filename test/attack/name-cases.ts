// Exhaustion: a sandbox that walks through names. `ATTACK_NAMES` says through how many: twenty thousand if absent, a million by
// hand (ten minutes of CPU).

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Host, parseHost } from "../../src/core/authority/host.ts";
import { ScrubberCache } from "../../src/core/substitution/scrubber-cache.ts";
import { NameResolver } from "../../src/proxy/dns.ts";
import { CertificateAuthority } from "../../src/tls/authority.ts";
import { LeafCache } from "../../src/tls/leaf-cache.ts";
import { grant, indexOf } from "../core/substitution/requests.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { collectGarbage } from "../support/garbage.ts";
import { dial } from "../support/wire-client.ts";
import { assertSubstitutes } from "./ways.ts";
import { type AttackCase, goodHost, holds, rssMib, same, type World } from "./world.ts";

const count = Number(process.env.ATTACK_NAMES ?? 20_000);
/** On a busy machine a million takes half an hour. */
const patience = { caseMs: 120_000 + count * 4 };
/** A tenth of the service's: soon full. */
const maxLeaves = 1_000;
/** What the second half of the names may leave, in MiB: garbage of an allocator, no copy of each name (100 bytes × 500,000). */
const maxLeftMib = 48;

/** Heap and buffers once nothing dead is counted, and what the process has. */
async function memory(): Promise<{ readonly heldMib: number; readonly residentMib: number }> {
  await collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heldMib: (heapUsed + external) / 2 ** 20, residentMib: rss / 2 ** 20 };
}

async function walkComponents(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-names-"));
  const dns = await startDnsServer();
  try {
    const leaves = new LeafCache(await CertificateAuthority.open(folder, Date.now), { maxLeaves, clock: Date.now });
    const names = new NameResolver({ clock: Date.now, servers: [dns.address], useSystem: false });
    const index = indexOf([grant("WILD", "a value for every name", { hosts: ["*.flood.test"] })]);
    const scrubbers = new ScrubberCache();
    const meet = async (at: number): Promise<void> => {
      const host = hostOf(`n${at}.flood.test`);
      leaves.contextFor(host);
      const view = index.forHost(host);
      holds(view.granted && !scrubbers.forView(view).empty, "the wildcard does not match");
      // There is no such name; that is what is remembered. A question over a socket costs more than all else here.
      if (at % 10 === 0) await Promise.resolve(names.resolve(host)).catch(() => {});
    };
    const walk = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; at += 8) {
        await Promise.all(Array.from({ length: Math.min(8, to - at) }, (_, more) => meet(at + more)));
        dns.questions.length = 0;
      }
    };
    await walk(0, count / 2);
    const before = await memory();
    await walk(count / 2, count);
    const after = await memory();
    same(leaves.minted, count, "leaves minted");
    holds(leaves.size <= maxLeaves, `${leaves.size} leaves are kept`);
    holds(after.heldMib - before.heldMib < maxLeftMib, `${after.heldMib - before.heldMib} MiB more are held`);
    const line = (pick: "heldMib" | "residentMib"): string =>
      `${before[pick].toFixed()} → ${after[pick].toFixed()} MiB`;
    return `after half and all: held ${line("heldMib")}, resident ${line("residentMib")}`;
  } finally {
    dns.close();
    rmSync(folder, { recursive: true });
  }
}

function hostOf(text: string): Host {
  const parsed = parseHost(text);
  if (parsed.kind !== "host") throw new Error(parsed.detail);
  return parsed.host;
}

async function walkSockets(world: World): Promise<string> {
  const secret = await world.secret("the neighbour's real value", [goodHost]);
  const neighbour = await world.sandbox([secret]);
  const walker = await world.sandbox([]);
  const walk = async (from: number, to: number): Promise<void> => {
    let next = from;
    const worker = async (): Promise<void> => {
      while (next < to) {
        const client = await dial(world.port);
        const name = `w${next++}.nowhere.test`;
        client.send(
          `CONNECT ${name}:443 HTTP/1.1\r\nHost: ${name}\r\nProxy-Authorization: ${walker.credentials}\r\n\r\n`,
        );
        await client.readHead();
        client.close();
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  };
  await walk(0, walked / 2);
  const before = rssMib(world);
  await walk(walked / 2, walked);
  const after = rssMib(world);
  holds(after - before < 64, `${Math.round(after - before)} MiB more for the second half`);
  await assertSubstitutes(world, neighbour, secret, "/neighbour");
  return `resident ${before.toFixed()} → ${after.toFixed()} MiB`;
}

/** Over sockets a name costs a connection and a DNS look-up of its own, and audit events. */
const walked = Math.min(count, 20_000);

export const nameCases: readonly AttackCase[] = [
  {
    name: `${walked} distinct names over one sandbox's connections leave memory flat`,
    ...patience,
    run: walkSockets,
  },
  {
    name: `${count} distinct names through leaf cache, host patterns and scrubbers, a tenth of them through the DNS cache, leave memory flat`,
    ...patience,
    run: walkComponents,
  },
];
