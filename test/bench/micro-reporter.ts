// What reporting traffic costs a proxy: the call in an exchange, and all CPU an event, at two rates.
//
//   npx node test/bench/micro-reporter.ts

import { EventReporter } from "../../src/telemetry/event-reporter.ts";
import { exchange } from "../console/stage.ts";

const ROUNDS = 60;
/** Longer than a flush, so that each round is one report. */
const PAUSE_MS = 5;

for (const perReport of [500, 5_000]) {
  const reporter = new EventReporter({ proxy: "p", send: async () => "accepted", log: () => {}, flushMs: 1 });
  const more = { substituted: [{ secret: "OPENAI", surface: "header" }] } as const;
  const events = Array.from({ length: perReport }, (_, at) => exchange("sandbox", `host-${at % 20}.example`, more));
  const before = process.cpuUsage();
  let recordNs = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (const event of events) reporter.record(event);
    recordNs += Number(process.hrtime.bigint() - start);
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
  const { user, system } = process.cpuUsage(before);
  const count = ROUNDS * perReport;
  const [call, all] = [(recordNs / count).toFixed(0), ((user + system) / count).toFixed(2)];
  process.stdout.write(`${perReport} events a report: record ${call} ns, in all ${all} µs of CPU an event\n`);
  await reporter.close();
}
