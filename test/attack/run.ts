// `npm run attack [promise…] [-- --case TEXT]`: every case of docs/threat-model.md (whose name holds the text) against a
// running keyswap, over real sockets. A line each, `N passed, N failed` at the end; exit code 1 where any failed.

import { parseArgs } from "node:util";
import { type AttackCase, makeWorld } from "./world.ts";

const promises: Readonly<Record<string, () => Promise<{ readonly cases: readonly AttackCase[] }>>> = {
  destination: () => import("./destination.ts"),
  addresses: () => import("./addresses.ts"),
  egress: () => import("./egress.ts"),
  framing: () => import("./framing.ts"),
  disclosure: () => import("./disclosure.ts"),
  callers: () => import("./callers.ts"),
  exhaustion: () => import("./exhaustion.ts"),
  faults: () => import("./faults.ts"),
  stop: () => import("./stop.ts"),
};

const defaultCaseMs = 120_000;

async function within(attack: AttackCase, run: () => Promise<unknown>): Promise<unknown> {
  const late = Promise.withResolvers<never>();
  const { caseMs = defaultCaseMs } = attack;
  const timer = setTimeout(() => late.reject(new Error(`no end within ${caseMs} ms`)), caseMs);
  try {
    return await Promise.race([run(), late.promise]);
  } catch (error) {
    throw new Error(`${attack.name}: ${error instanceof Error ? error.message : "unknown"}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function main(args: string[]): Promise<number> {
  const { values, positionals: chosen } = parseArgs({
    args,
    allowPositionals: true,
    options: { case: { type: "string", default: "" } },
  });
  const unknown = chosen.filter((name) => !(name in promises));
  if (unknown.length > 0) {
    process.stderr.write(`no promise is called ${unknown.join(", ")}; there are ${Object.keys(promises).join(", ")}\n`);
    return 2;
  }
  let [passed, failed, skipped] = [0, 0, 0];
  for (const [promise, load] of Object.entries(promises)) {
    if (chosen.length > 0 && !chosen.includes(promise)) continue;
    const cases = (await load()).cases.filter(({ name }) => name.includes(values.case));
    if (cases.length === 0) continue;
    // Each promise is attacked in a world of its own: what one leaves behind does not help the next.
    const world = await makeWorld();
    try {
      for (const attack of cases) {
        if (attack.skip !== undefined) {
          skipped += 1;
          process.stdout.write(`skip  ${promise}: ${attack.name} (skipped: ${attack.skip})\n`);
          continue;
        }
        try {
          const figure = await within(attack, () => attack.run(world));
          passed += 1;
          process.stdout.write(`pass  ${promise}: ${attack.name}${typeof figure === "string" ? ` (${figure})` : ""}\n`);
        } catch (error) {
          failed += 1;
          process.stdout.write(`FAIL  ${promise}: ${error instanceof Error ? error.message : "unknown"}\n`);
        }
      }
    } finally {
      await world.close();
    }
  }
  process.stdout.write(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}\n`);
  return failed === 0 ? 0 : 1;
}

// A handle that an attack left open must not keep the run from ending.
process.exit(await main(process.argv.slice(2)));
