// Numbers behind a histogram: plain increments on the hot path, read when somebody scrapes.

/** Observations counted by upper bounds, for each value of one label by itself. */
export class Distribution {
  readonly #bounds: readonly number[];
  readonly #label: string | undefined;
  readonly #series = new Map<string, Series>();

  /** `bounds`: of the buckets, ascending; `label`: its name, if there is one. */
  constructor(bounds: readonly number[], label?: string) {
    this.#bounds = bounds;
    this.#label = label;
    // Without a label there is one series, and it is told before anything happened.
    if (label === undefined) this.#seriesOf("");
  }

  /** `labelValue` is of a closed set. */
  observe(value: number, labelValue = ""): void {
    const series = this.#seriesOf(labelValue);
    series.sum += value;
    series.count += 1;
    const at = this.#bounds.findIndex((bound) => value <= bound);
    if (at >= 0) series.counts[at] = (series.counts[at] ?? 0) + 1;
  }

  /** As Prometheus has them: each bucket counts all that is not above its bound. */
  *values(name: string): Generator<DistributionValue> {
    for (const [labelValue, { counts, sum, count }] of this.#series) {
      const labels = this.#label === undefined ? {} : { [this.#label]: labelValue };
      let below = 0;
      for (const [at, bound] of this.#bounds.entries()) {
        below += counts[at] ?? 0;
        yield { metricName: `${name}_bucket`, labels: { le: bound, ...labels }, value: below };
      }
      yield { metricName: `${name}_bucket`, labels: { le: "+Inf", ...labels }, value: count };
      yield { metricName: `${name}_sum`, labels, value: sum };
      yield { metricName: `${name}_count`, labels, value: count };
    }
  }

  #seriesOf(labelValue: string): Series {
    let series = this.#series.get(labelValue);
    if (series === undefined) {
      series = { counts: new Array<number>(this.#bounds.length).fill(0), sum: 0, count: 0 };
      this.#series.set(labelValue, series);
    }
    return series;
  }
}

export interface DistributionValue {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

interface Series {
  /** For each bound, what is above the one before and not above it. */
  readonly counts: number[];
  sum: number;
  count: number;
}
