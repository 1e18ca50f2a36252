// What a small request costs where there is more of something: secrets in the organization, grants of the sandbox, open
// connections, requests at the same time, worker processes. Each pair is measured in turns within one run; ratios are medians
// over rounds. Linux.

import { makePki } from "../support/pki.ts";
import { Connection, type Target } from "./load.ts";
import { startPeer } from "./peers.ts";
import { requestHead } from "./phases.ts";
import { childrenOf, median, readProcess } from "./process-cost.ts";
import { hostName, secretValue } from "./scenario.ts";
import { type OriginPeer, type Subject, startSubject } from "./subject.ts";

const connections = 16;
const manySecrets = 10_000;
const manyGrants = 1_000;
const manyConnections = 2_000;
const manyAtOnce = 200;
const workers = 2;

export interface Growth {
  readonly what: string;
  /** Microseconds of CPU for a request, medians. */
  readonly cpuUs: readonly [few: number, many: number];
  /** Of the second to the first, in the same round: median, lowest, highest. */
  readonly ratio: readonly [median: number, lowest: number, highest: number];
  readonly aim: string;
}

export interface GrowthOptions {
  readonly rounds: number;
  readonly seconds: number;
}

interface Side {
  readonly subject: Subject;
  readonly target: Target;
  /** Closed with the subject. */
  readonly open: readonly Connection[];
  /** How many of them are busy at a time. */
  readonly busy: number;
}

/** `tell` hears of each pair once it is measured. */
export async function measureGrowth(options: GrowthOptions, tell: (row: Growth) => void): Promise<readonly Growth[]> {
  const pki = makePki();
  const { certPem: cert, keyPem: key } = pki.issue([hostName]);
  const { child, port } = await startPeer("origin-peer.ts", { cert, key });
  const origin = { port, caPem: pki.caPem };
  try {
    const rows: Growth[] = [];
    const pairs = [
      () => bySecrets(origin, options),
      () => byGrants(origin, options, "other hosts'", (at) => `host-${at}.example.com`),
      () => byGrants(origin, options, "the same host's", () => hostName),
      () => byConnections(origin, options),
      () => byRequestsAtOnce(origin, options),
      () => byWorkers(origin, options),
    ];
    for (const pair of pairs) {
      const row = await pair();
      rows.push(row);
      tell(row);
    }
    return rows;
  } finally {
    child.kill();
  }
}

export function formatGrowth({ what, cpuUs: [few, many], ratio: [middle, lowest, highest], aim }: Growth): string {
  const cpu = `${few.toFixed(0)} -> ${many.toFixed(0)} us`;
  return `${what.padEnd(54)}${cpu.padEnd(18)}x ${middle.toFixed(2)} (${lowest.toFixed(2)}-${highest.toFixed(2)}), aimed at ${aim}\n`;
}

async function bySecrets(origin: OriginPeer, options: GrowthOptions): Promise<Growth> {
  await using few = await startSubject(origin);
  await using many = await startSubject(origin);
  await addSecrets(many, manySecrets - 1, (at) => `host-${at}.example.com`);
  const sides = [await sideOf(few), await sideOf(many)] as const;
  return await compare(`1 -> ${manySecrets} secrets of the organization`, sides, options, "1.05");
}

async function byGrants(
  origin: OriginPeer,
  options: GrowthOptions,
  whose: string,
  hostOf: (at: number) => string,
): Promise<Growth> {
  // Two processes: what one sandbox leaves in the heap would be collected on the other's account.
  await using few = await startSubject(origin);
  await using many = await startSubject(origin);
  const mounts = await addSecrets(many, manyGrants - 1, hostOf);
  const sides = [await sideOf(few), await sideOf(many, mounts)] as const;
  return await compare(`1 -> ${manyGrants} grants of the sandbox, ${whose}`, sides, options, "1.05");
}

async function byConnections(origin: OriginPeer, options: GrowthOptions): Promise<Growth> {
  const bounds = { KEYSWAP_MAX_CONNECTIONS: "10000", KEYSWAP_MAX_SANDBOX_CONNECTIONS: "10000" };
  await using few = await startSubject(origin, bounds);
  await using many = await startSubject(origin, bounds);
  const sides = [await sideOf(few), await sideOf(many, [], manyConnections)] as const;
  return await compare(
    `${connections} -> ${manyConnections} connections, ${connections} of them busy in turns`,
    sides,
    options,
    "1.20",
  );
}

async function byRequestsAtOnce(origin: OriginPeer, options: GrowthOptions): Promise<Growth> {
  await using few = await startSubject(origin);
  await using many = await startSubject(origin);
  const sides = [await sideOf(few), await sideOf(many, [], manyAtOnce, manyAtOnce)] as const;
  return await compare(`${connections} -> ${manyAtOnce} requests at the same time`, sides, options, "1.20");
}

/**
 * With as many busy connections for each worker as a lone process has elsewhere here, on both sides: what writes of one turn
 * share would otherwise count against workers.
 *
 * What the worker that has most to do, and all processes together, spend on a request: with a free core for each worker that is what
 * bounds the rate, whatever else this machine is busy with. The "ratio" is of rates.
 */
async function byWorkers(origin: OriginPeer, { rounds, seconds }: GrowthOptions): Promise<Growth> {
  await using one = await startSubject(origin);
  await using several = await startSubject(origin, { KEYSWAP_WORKERS: String(workers) });
  const busy = connections * workers;
  const sides = [await sideOf(one, [], busy, busy), await sideOf(several, [], busy, busy)] as const;
  const pids = [[one.pid], [several.pid, ...childrenOf(several.pid)]] as const;
  for (const side of sides) await measure(side, [side.subject.pid], seconds);
  const samples: { readonly alone: number; readonly together: number; readonly rate: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const [alone = Number.NaN] = await measure(sides[0], pids[0], seconds);
    const each = await measure(sides[1], pids[1], seconds);
    const together = each.reduce((sum, cost) => sum + cost, 0);
    samples.push({ alone, together, rate: alone / Math.max(...each, together / workers) });
  }
  const rates = samples.map(({ rate }) => rate);
  return {
    what: `1 -> ${workers} workers: CPU, and rate on as many free cores`,
    cpuUs: [median(samples.map(({ alone }) => alone)), median(samples.map(({ together }) => together))],
    ratio: [median(rates), Math.min(...rates), Math.max(...rates)],
    aim: "at least 1.70",
  };
}

/** Makes secrets, a few at a time, and answers the mounts of all. */
async function addSecrets(
  subject: Subject,
  count: number,
  hostOf: (at: number) => string,
): Promise<readonly Readonly<Record<string, string>>[]> {
  let next = 0;
  const add = async (): Promise<void> => {
    while (next < count) {
      const at = next++;
      await subject.post("/secret", {
        name: `OTHER_${at}`,
        value: `another-value-${at}-of-the-bench`,
        hosts: [hostOf(at)],
      });
    }
  };
  await Promise.all(Array.from({ length: 8 }, add));
  return Array.from({ length: count }, (_, at) => ({ [`OTHER_${at}`]: `OTHER_${at}` }));
}

async function sideOf(
  subject: Subject,
  mounts: readonly Readonly<Record<string, string>>[] = [],
  count = connections,
  busy = connections,
): Promise<Side> {
  // The API's own documented answer.
  const secret = (await subject.post("/secret", { name: "BENCH", value: secretValue, hosts: [hostName] })) as {
    placeholder: string;
  };
  const target = await subject.sandbox([{ BENCH: "BENCH" }, ...mounts], secret.placeholder);
  return { subject, target, open: await openConnections(target, count), busy };
}

async function compare(
  what: string,
  sides: readonly [Side, Side],
  { rounds, seconds }: GrowthOptions,
  aim: string,
): Promise<Growth> {
  // A round that does not count: compiled code, pools.
  for (const side of sides) await measure(side, [side.subject.pid], seconds);
  const samples: (readonly [number, number])[] = [];
  for (let round = 0; round < rounds; round++) {
    const sample: [number, number] = [Number.NaN, Number.NaN];
    for (const at of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const side = sides[at];
      sample[at] = (await measure(side, [side.subject.pid], seconds))[0] ?? Number.NaN;
    }
    samples.push(sample);
  }
  const ratios = samples.map(([few, many]) => many / few);
  return {
    what,
    cpuUs: [median(samples.map(([few]) => few)), median(samples.map(([, many]) => many))],
    ratio: [median(ratios), Math.min(...ratios), Math.max(...ratios)],
    aim,
  };
}

/** Opened a few at a time, each with a request: who stays silent from the beginning is sent away. */
async function openConnections(target: Target, count: number): Promise<readonly Connection[]> {
  const head = requestHead(target, "GET", "/small");
  const openOne = async (): Promise<Connection> => {
    const connection = await Connection.open(target);
    await connection.exchange(head);
    return connection;
  };
  const open: Connection[] = [];
  while (open.length < count) {
    const some = Math.min(connections, count - open.length);
    open.push(...(await Promise.all(Array.from({ length: some }, openOne))));
  }
  return open;
}

/** Microseconds of CPU that each process spends on a request; some connections are busy at a time, in turns. */
async function measure(
  { target, open, busy }: Side,
  pids: readonly number[],
  seconds: number,
): Promise<readonly number[]> {
  const head = requestHead(target, "GET", "/small");
  const cpu = () => pids.map((pid) => readProcess(pid)?.cpu ?? Number.NaN);
  const before = cpu();
  const until = performance.now() + seconds * 1000;
  let amount = 0;
  const run = async (first: number): Promise<void> => {
    let at = first;
    do {
      const answer = await open[at]!.exchange(head);
      at = at + busy < open.length ? at + busy : first;
      if (amount % 100 === 0 && !answer.includes('"header":"real"')) throw new Error("another credential arrived");
      amount += 1;
    } while (performance.now() < until);
  };
  await Promise.all(Array.from({ length: busy }, (_, first) => run(first)));
  const after = cpu();
  return pids.map((_, at) => (((after[at] ?? Number.NaN) - (before[at] ?? Number.NaN)) / amount) * 1e6);
}
