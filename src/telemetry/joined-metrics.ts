// The metrics of a control process and its workers as one: counts are added up, of delays and the like the worst is told. What a worker that
// ended had counted stays counted, or every restart would look like a reset.
//
// Invariant: a worker is either among those that run or among those that ended, at any moment and in any answer.

import type { Metrics, MetricsJson, MetricsText } from "./metrics.ts";

/** As their control process knows them. */
export interface RunningWorkers {
  /** Asks them anew; never rejects. */
  refresh(): Promise<void>;
  /** What each that runs last told. */
  latest(): readonly MetricsJson[];
}

export class JoinedMetrics implements MetricsText {
  readonly #own: Metrics;
  readonly #workers: RunningWorkers;
  /** Of those that ended: added up, one after the other. */
  #former: Promise<readonly MetricsJson[]> = Promise.resolve([]);

  constructor(own: Metrics, workers: RunningWorkers) {
    this.#own = own;
    this.#workers = workers;
  }

  get contentType(): string {
    return this.#own.contentType;
  }

  /** What a worker had counted when it ended. To be called in the turn in which it leaves those that run. */
  retire(metrics: MetricsJson): void {
    // What was open or cached in it is gone with it.
    const counts = metrics.filter(({ type }) => ["counter", "histogram"].includes(String(type)));
    this.#former = this.#former.then(async (former) => {
      const all = [...former, counts];
      // Where the library cannot be loaded just now, they are added up later.
      return addUp(all).then(
        (sum) => [sum],
        () => all,
      );
    });
  }

  async text(): Promise<string> {
    const { AggregatorRegistry } = await import("prom-client");
    const own = await this.#own.json();
    await this.#workers.refresh();
    // In one turn, or a worker that ends meanwhile would be counted twice or not at all.
    const [running, ended] = [this.#workers.latest(), this.#former];
    // An idle event loop says nothing of those that work.
    const ours = own.filter(({ name }) => !name.startsWith("nodejs_eventloop"));
    return AggregatorRegistry.aggregate([ours, ...running, ...(await ended)]).metrics();
  }
}

async function addUp(all: readonly MetricsJson[]): Promise<MetricsJson> {
  const { AggregatorRegistry } = await import("prom-client");
  return AggregatorRegistry.aggregate([...all]).getMetricsAsJSON();
}
