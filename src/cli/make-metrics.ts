// Metrics where somebody can scrape them; without an admin port loading the library would only cost time.

import type { Config } from "../config/settings.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { readVersion } from "./version.ts";

export async function makeMetrics({ adminListen }: Config): Promise<Metrics | undefined> {
  if (adminListen === undefined) return undefined;
  const { Metrics } = await import("../telemetry/metrics.ts");
  return new Metrics(readVersion());
}
