// What the stores cost with much in them: 100,000 secrets and 10,000 sandboxes, then list pages, resolves and updates.
// Run by hand: node test/bench/secret-store.ts [secrets] [sandboxes]. PostgreSQL is measured where it is found. The same
// questions are asked of a nearly empty store, to see that a resolve does not depend on what else there is.

import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SecretValue } from "../../src/core/secret-value.ts";
import type { Actor, Store } from "../../src/core/store.ts";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { openStore } from "../../src/store/open.ts";
import { postgresMissing, startCluster } from "../support/postgres.ts";

const secretCount = Number(process.argv[2] ?? 100_000);
const sandboxCount = Number(process.argv[3] ?? 10_000);
const mountsPerSandbox = 5;
const actor: Actor = { kind: "system", name: "bench" };
const masterKeys = formatMasterKey(makeMasterKey());

function report(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs `work` in waves, as concurrent requests would. */
async function inWaves(count: number, width: number, work: (at: number) => Promise<unknown>): Promise<number> {
  const start = performance.now();
  for (let at = 0; at < count; at += width)
    await Promise.all(Array.from({ length: Math.min(width, count - at) }, (_, lane) => work(at + lane)));
  return performance.now() - start;
}

async function oneByOne(count: number, work: (at: number) => Promise<unknown>): Promise<string> {
  const times: number[] = [];
  for (let at = 0; at < count; at++) {
    const start = performance.now();
    await work(at);
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => (times[Math.ceil(times.length * share) - 1] ?? Number.NaN).toFixed(2);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

async function fill(store: Store, secrets: number, sandboxes: number): Promise<{ ids: string[]; boxes: string[] }> {
  const organizationId = store.organizations.defaultId;
  const ids: string[] = [];
  const boxes: string[] = [];
  const took = await inWaves(secrets, 64, async (at) => {
    const name = `SECRET_${at}`;
    const outcome = await store.secrets.create(
      {
        organizationId,
        name,
        value: new SecretValue(name, randomBytes(24).toString("hex")),
        description: null,
        hosts: ["api.example.com"],
        locations: null,
        onViolation: null,
        placeholder: `dtn_secret_${randomBytes(24).toString("hex")}`,
        ownPlaceholder: false,
      },
      actor,
    );
    if (outcome.kind === "created") ids.push(outcome.secret.id);
  });
  if (secrets > 1_000) report(`  creates, 64 at a time: ${Math.round((secrets / took) * 1000)}/s`);
  await inWaves(sandboxes, 64, async (at) => {
    const id = randomUUID();
    boxes.push(id);
    await store.sandboxes.create(
      {
        id,
        organizationId,
        name: `box-${at}`,
        tokenHash: "sha256:0",
        labels: {},
        attributes: {},
        onViolation: null,
        egress: { allow: [], deny: [] },
        sources: [],
        mounts: Array.from({ length: mountsPerSandbox }, (_, mount) => ({
          env: `ENV_${mount}`,
          secretName: `SECRET_${(at * mountsPerSandbox + mount) % secrets}`,
        })),
        expiresAt: null,
      },
      actor,
    );
  });
  return { ids, boxes };
}

async function measure(store: Store, secrets: number, sandboxes: number): Promise<void> {
  report(`  ${secrets} secrets, ${sandboxes} sandboxes`);
  const organizationId = store.organizations.defaultId;
  const { ids, boxes } = await fill(store, secrets, sandboxes);
  const pick = <T>(list: readonly T[], at: number): T => list[(at * 7_919) % list.length] as T;
  const resolve = (at: number) => store.egress.resolve(pick(boxes, at), 0);
  const value = new SecretValue("S", "rotated");
  const list = (name?: string) =>
    store.secrets.list(organizationId, { limit: 100, sort: "createdAt", order: "desc", name });
  report(`  resolve ${mountsPerSandbox} grants: ${await oneByOne(1_000, resolve)}`);
  report(`  version check: ${await oneByOne(1_000, (at) => store.egress.find(pick(boxes, at), 0))}`);
  report(`  list page of 100: ${await oneByOne(100, () => list())}`);
  report(`  list page by name: ${await oneByOne(50, () => list("secret_99"))}`);
  report(
    `  update, one by one: ${await oneByOne(300, (at) => store.secrets.update(organizationId, pick(ids, at), { value }, actor))}`,
  );
  const took = await inWaves(2_000, 64, (at) => store.secrets.update(organizationId, pick(ids, at), { value }, actor));
  report(`  updates, 64 at a time: ${Math.round((2_000 / took) * 1000)}/s`);
}

const directory = await mkdtemp(join(tmpdir(), "keyswap-bench-"));
report("SQLite");
for (const [secrets, sandboxes] of [
  [100, 20],
  [secretCount, sandboxCount],
] as const) {
  const store = await openStore({ path: join(directory, `${secrets}.db`), masterKeys });
  await measure(store, secrets, sandboxes);
  await store.close();
}
await rm(directory, { recursive: true, force: true });

const missing = postgresMissing();
if (missing !== undefined) report(`PostgreSQL: not measured (${missing})`);
else {
  report("PostgreSQL");
  const cluster = await startCluster();
  for (const [secrets, sandboxes] of [
    [100, 20],
    [secretCount, sandboxCount],
  ] as const) {
    const databaseUrl = await cluster.createDatabase(`bench_${secrets}`);
    const store = await openStore({ databaseUrl, masterKeys });
    await measure(store, secrets, sandboxes);
    await store.close();
  }
  await cluster.remove();
}
