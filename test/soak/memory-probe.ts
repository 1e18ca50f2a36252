// Loaded into the proxy of a soak (`--import`, with `--expose-gc`): on SIGUSR2 it collects garbage and writes what is left.

import { appendFileSync } from "node:fs";

const { SOAK_PROBE: path } = process.env;

if (path !== undefined && globalThis.gc !== undefined) {
  process.on("SIGUSR2", () => {
    // Twice: the first may only finish a collection that was under way.
    globalThis.gc?.();
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    appendFileSync(path, `${JSON.stringify({ heldMib: (heapUsed + external) / 2 ** 20 })}\n`);
  });
}
