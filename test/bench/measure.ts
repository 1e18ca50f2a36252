// Times a function that is too short to time once.

export interface Timed {
  readonly name: string;
  readonly run: () => void;
  /** Bytes that one run goes through, for a rate. */
  readonly bytes?: number;
}

export interface Timing {
  readonly name: string;
  readonly ns: number;
  readonly mibPerSecond?: number;
}

const rounds = 9;
const roundMs = 40;

/** The median of several rounds, after one that is not counted. */
export function time({ name, run, bytes }: Timed): Timing {
  let perRound = 1;
  // Doubles until a round is long enough; that also has the code compiled.
  for (;;) {
    const took = timeRound(run, perRound);
    if (took > roundMs * 1e6) break;
    perRound *= 2;
  }
  const measured = Array.from({ length: rounds }, () => timeRound(run, perRound) / perRound).sort((a, b) => a - b);
  const ns = measured[rounds >> 1]!;
  return { name, ns, ...(bytes === undefined ? {} : { mibPerSecond: bytes / 1024 / 1024 / (ns / 1e9) }) };
}

function timeRound(run: () => void, times: number): number {
  const from = process.hrtime.bigint();
  for (let i = 0; i < times; i++) run();
  return Number(process.hrtime.bigint() - from);
}
