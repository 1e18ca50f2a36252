// The metrics of a control process and its workers as one: counts are added up, of delays and the like the worst is told. What a worker that
// ended had counted stays counted, or every restart would look like a reset.

import type { Metrics, MetricsJson, MetricsText } from "./metrics.ts";

export class JoinedMetrics implements MetricsText {
  readonly #own: Metrics;
  readonly #collect: () => Promise<readonly MetricsJson[]>;
  #former: MetricsJson = [];

  /** `collect`: those of the workers that run. */
  constructor(own: Metrics, collect: () => Promise<readonly MetricsJson[]>) {
    this.#own = own;
    this.#collect = collect;
  }

  get contentType(): string {
    return this.#own.contentType;
  }

  /** What a worker had counted when it ended. */
  async retire(metrics: MetricsJson): Promise<void> {
    // What was open or cached in it is gone with it.
    const counts = metrics.filter(({ type }) => ["counter", "histogram"].includes(String(type)));
    const { AggregatorRegistry } = await import("prom-client");
    this.#former = await AggregatorRegistry.aggregate([this.#former, counts]).getMetricsAsJSON();
  }

  async text(): Promise<string> {
    const { AggregatorRegistry } = await import("prom-client");
    const [own, workers] = await Promise.all([this.#own.json(), this.#collect()]);
    // An idle event loop says nothing of those that work.
    const ours = own.filter(({ name }) => !name.startsWith("nodejs_eventloop"));
    return AggregatorRegistry.aggregate([ours, ...workers, this.#former]).metrics();
  }
}
