// `npm run simulate`: a fleet on paper. Plays requests, moves of sandboxes between gateways, changes and a failed API
// replica against the rules of the grant cache and the change stream, counts what each part has to do, and multiplies it by
// measured unit costs. docs/scale.md reads the result.
//
//   --gateways 1000 --sandboxes 1000000 --replicas 6 --minutes 3 --requests 0.05 --roaming 0.02
//   --rotations 5 --creations 50 --shared 0.001 --mounted 2000 --json
//
// Rules played: a bounded cache of grants per gateway, fetched on a miss; a change names up to 1,000 sandboxes and goes to every
// stream, gateways fetch anew what they hold of it; beyond that it names the secret: each gateway marks what it holds with that
// secret, fetches it when it is used, and the rest at 4 a second; every gateway reports every 10 s and is greeted every 5 s.
// Left out: the network, audit storage, list pages and the console.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

/** Microseconds of CPU, from `npm run bench` and api-cost.ts (PostgreSQL), and estimates: see docs/scale.md. */
const costs = {
  gateway: { request: requestCost(), fetch: 300, event: 10 },
  api: { fetch: 490, write: 1600, event: 5, report: 700, greeting: 15 },
  postgres: { fetch: 655, write: 1550, report: 150, notify: 25, poll: 30 },
} as const;
/** Bytes in memory: of one sandbox's 5 grants, compiled for one host (measured), and of a gateway with none. */
const grantsBytes = 37 * 1024;
const gatewayBytes = 140 * 1024 * 1024;
const eventBytes = 150;
const cacheMax = 20_000;
const namedAtMost = 1_000;
/** Of what a widely mounted secret made stale and nobody uses, at each gateway: src/secrets/spread-refresh.ts. */
const spreadPerSecond = 4;
const streamsPerReplica = 1_000;

const { values } = parseArgs({
  options: {
    gateways: { type: "string", default: "1000" },
    sandboxes: { type: "string", default: "1000000" },
    replicas: { type: "string", default: "6" },
    minutes: { type: "string", default: "3" },
    requests: { type: "string", default: "0.05" },
    roaming: { type: "string", default: "0.02" },
    rotations: { type: "string", default: "5" },
    creations: { type: "string", default: "50" },
    shared: { type: "string", default: "0.001" },
    mounted: { type: "string", default: "2000" },
    json: { type: "boolean", default: false },
  },
});

function number(name: Exclude<keyof typeof values, "json">, least: number, most: number): number {
  const value = Number(values[name]);
  if (value >= least && value <= most) return value;
  process.stderr.write(`simulate: --${name} is a number from ${least} to ${most}\n`);
  process.exit(2);
}

const gateways = number("gateways", 1, 10_000);
const sandboxes = number("sandboxes", 1, 5_000_000);
const replicas = number("replicas", 1, 1_000);
const seconds = number("minutes", 1, 120) * 60;
/** Requests of one sandbox in a second. */
const requestRate = number("requests", 0, 100);
/** Share of requests that come through another gateway than the sandbox's own. */
const roaming = number("roaming", 0, 1);
/** Secrets rotated in a second, and sandboxes made (and as many deleted). */
const rotationRate = number("rotations", 0, 10_000);
const creationRate = number("creations", 0, 100_000);
/** Share of rotations that concern a secret mounted in more sandboxes than a change names. */
const shared = number("shared", 0, 1);
/** In how many. */
const mounted = Math.min(sandboxes, number("mounted", namedAtMost + 1, 5_000_000));

/** Of one small request through keyswap, as `npm run bench` has it. */
function requestCost(): number {
  const figures = JSON.parse(readFileSync(join(import.meta.dirname, "figures.json"), "utf8")) as {
    rows: { contender: string; unit: string; cpuUs?: number }[];
  }; // written by run.ts
  return figures.rows.find((row) => row.contender === "keyswap" && row.unit === "request")?.cpuUs ?? 150;
}

// A fixed sequence: two runs with the same options say the same (mulberry32).
let state = 20261123;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}
const below = (bound: number): number => Math.floor(random() * bound);
/** How many events of this rate fall into one second: close to Poisson where they are many. */
function arrivals(rate: number): number {
  const deviation =
    Math.sqrt(rate) * (random() + random() + random() + random() + random() + random() - 3) * Math.SQRT2;
  const count = rate < 10 ? rate + random() - 0.5 + (random() < rate % 1 ? 0.5 : -0.5) : rate + deviation;
  return Math.max(0, Math.round(count));
}

/** Sandboxes with a secret in common: mostly a few, now and then hundreds. */
function mountedIn(): number {
  return Math.min(namedAtMost, Math.ceil(1 / (1 - random()) ** 1.2));
}

interface Second {
  requests: number;
  misses: number;
  fetches: number;
  writes: number;
  wide: number;
}

/** At the start each gateway holds its own. The one that came first goes first, near enough to the least recently used. */
const caches = Array.from({ length: gateways }, () => new Set<number>());
for (let sandbox = 0; sandbox < sandboxes; sandbox++) caches[sandbox % gateways]!.add(sandbox);
/** Sandboxes held with a secret that has changed since they were fetched, by gateway; any of those held may be one. */
const stale = new Float64Array(gateways);
let created = 0;
let catchingUp = 0;
let longestCatchUp = 0;

function playSecond(): Second {
  const second: Second = { requests: 0, misses: 0, fetches: 0, writes: 0, wide: 0 };
  second.requests = arrivals(sandboxes * requestRate);
  for (let i = 0; i < second.requests; i++) {
    const sandbox = created + below(sandboxes);
    const at = random() < roaming ? below(gateways) : sandbox % gateways;
    const cache = caches[at]!;
    if (cache.has(sandbox)) {
      if (stale[at]! > 0 && random() * cache.size < stale[at]!) {
        stale[at]! -= Math.min(1, stale[at]!);
        second.fetches += 1;
      }
      continue;
    }
    if (cache.size >= cacheMax) {
      const [oldest] = cache;
      cache.delete(oldest!);
    }
    cache.add(sandbox);
    second.misses += 1;
  }
  second.fetches += second.misses;
  const rotations = arrivals(rotationRate);
  second.writes += rotations;
  for (let i = 0; i < rotations; i++) {
    if (random() < shared) {
      second.wide += 1;
      for (let at = 0; at < gateways; at++) {
        const { size } = caches[at]!;
        stale[at] = Math.min(size, stale[at]! + (size * mounted) / sandboxes);
      }
      continue;
    }
    // Those with the secret in common mostly stand at one gateway's neighbours: any will do for the count.
    for (let n = mountedIn(); n > 0; n--) {
      const sandbox = created + below(sandboxes);
      for (const at of [sandbox % gateways, below(gateways)]) if (caches[at]!.has(sandbox)) second.fetches += 1;
    }
  }
  // Made and deleted: the fleet keeps its size, the oldest go.
  const made = arrivals(creationRate);
  for (let n = 0; n < made; n++) caches[(created + n) % gateways]!.delete(created + n);
  created += made;
  second.writes += 2 * made;
  let busy = false;
  for (let at = 0; at < gateways; at++) {
    const done = Math.min(stale[at]!, spreadPerSecond);
    stale[at]! -= done;
    second.fetches += done;
    busy ||= stale[at]! > 0;
  }
  catchingUp = busy ? catchingUp + 1 : 0;
  longestCatchUp = Math.max(longestCatchUp, catchingUp);
  return second;
}

/** Cores that are busy, of CPU microseconds in one second. */
const cores = (us: number): number => us / 1e6;

function load(second: Second): { gateway: number; api: number; postgres: number; calls: number; fanOut: number } {
  const { gateway, api, postgres } = costs;
  const events = second.writes * gateways;
  const reports = gateways / 10;
  const greetings = gateways / 5;
  const calls = second.fetches + reports;
  return {
    gateway: cores(
      (second.requests * gateway.request + second.fetches * gateway.fetch) / gateways + second.writes * gateway.event,
    ),
    api: cores(
      second.fetches * api.fetch +
        second.writes * api.write +
        events * api.event +
        reports * api.report +
        greetings * api.greeting,
    ),
    postgres: cores(
      second.fetches * postgres.fetch +
        second.writes * (postgres.write + replicas * postgres.notify) +
        reports * postgres.report +
        replicas * postgres.poll,
    ),
    calls,
    fanOut: events * eventBytes,
  };
}

const loads: (ReturnType<typeof load> & Second)[] = [];
for (let at = 0; at < seconds; at++) {
  const second = playSecond();
  loads.push({ ...second, ...load(second) });
}

const mean = (pick: (one: (typeof loads)[number]) => number) =>
  loads.reduce((sum, one) => sum + pick(one), 0) / loads.length;
const peak = (pick: (one: (typeof loads)[number]) => number) => Math.max(...loads.map(pick));
const heldOnAverage = caches.reduce((sum, cache) => sum + cache.size, 0) / gateways;

// What each part has: a gateway and an API replica one thread each, PostgreSQL 16 cores.
const postgresCores = 16;
const shares = {
  "a gateway's thread": { mean: mean((one) => one.gateway), peak: peak((one) => one.gateway) },
  "an API replica's thread": { mean: mean((one) => one.api) / replicas, peak: peak((one) => one.api) / replicas },
  [`PostgreSQL, ${postgresCores} cores`]: {
    mean: mean((one) => one.postgres) / postgresCores,
    peak: peak((one) => one.postgres) / postgresCores,
  },
  "change streams of a replica": {
    mean: gateways / replicas / streamsPerReplica,
    peak: gateways / replicas / streamsPerReplica,
  },
};
const [first] = Object.entries(shares).sort((a, b) => b[1].peak - a[1].peak);
const report = {
  fleet: { gateways, sandboxes, replicas, seconds, requestRate, roaming, rotationRate, creationRate, shared, mounted },
  perSecond: {
    requests: mean((one) => one.requests),
    cacheMissShare:
      mean((one) => one.misses) /
      Math.max(
        1,
        mean((one) => one.requests),
      ),
    apiCalls: mean((one) => one.calls),
    apiCallsPeak: peak((one) => one.calls),
    writes: mean((one) => one.writes),
    eventsSent: mean((one) => one.writes) * gateways,
    fanOutMbit: (mean((one) => one.fanOut) * 8) / 1e6,
  },
  cores: {
    allGateways: mean((one) => one.gateway) * gateways,
    allReplicas: mean((one) => one.api),
    allReplicasPeak: peak((one) => one.api),
    postgres: mean((one) => one.postgres),
    postgresPeak: peak((one) => one.postgres),
  },
  memoryMb: { gateway: (gatewayBytes + heldOnAverage * grantsBytes) / 1024 / 1024, sandboxesHeld: heldOnAverage },
  wideRotations: loads.reduce((sum, one) => sum + one.wide, 0),
  secondsCatchingUp: longestCatchUp,
  shares,
  firstBottleneck: first?.[0],
};

if (values.json) process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
else {
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`.padStart(7);
  const one = (value: number) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 }).padStart(12);
  const { perSecond, cores: busy, memoryMb } = report;
  process.stdout.write(
    `${gateways} gateways, ${sandboxes} sandboxes, ${replicas} API replicas, ${seconds / 60} minutes\n\n` +
      `requests a second            ${one(perSecond.requests)}\n` +
      `  of these not in the cache  ${one(perSecond.cacheMissShare * 100)} %\n` +
      `API calls a second           ${one(perSecond.apiCalls)}, at most ${one(perSecond.apiCallsPeak).trim()}\n` +
      `writes a second              ${one(perSecond.writes)}\n` +
      `events sent a second         ${one(perSecond.eventsSent)}, ${one(perSecond.fanOutMbit).trim()} Mbit/s\n` +
      `widely mounted rotations     ${one(report.wideRotations)}, ` +
      `${one(report.secondsCatchingUp).trim()} s at most until all is fetched\n\n` +
      `cores, all gateways          ${one(busy.allGateways)}\n` +
      `cores, all API replicas      ${one(busy.allReplicas)}, at most ${one(busy.allReplicasPeak).trim()}\n` +
      `cores, PostgreSQL            ${one(busy.postgres)}, at most ${one(busy.postgresPeak).trim()}\n` +
      `MB of a gateway              ${one(memoryMb.gateway)}, with ${one(memoryMb.sandboxesHeld).trim()} sandboxes' grants\n\n` +
      `${"how full".padEnd(30)}   mean    peak\n` +
      Object.entries(shares)
        .map(([name, share]) => `  ${name.padEnd(28)}${percent(share.mean)} ${percent(share.peak)}\n`)
        .join("") +
      `\nfull first: ${report.firstBottleneck}\n`,
  );
}
