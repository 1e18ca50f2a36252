// What Prometheus scrapes from a proxy. Every label is from a closed set: no host, no sandbox, no secret.
//
//   audit event ─► AuditTally (plain numbers) ────┐
//   dials, mints, durations ─► Distribution ──────┼─► Registry ─► text, or JSON that another process adds up
//   parts' own counts, asked at a scrape ─────────┘
//
// The library is loaded, and the process's own metrics begin, with the first scrape: a start is quicker by a tenth, and
// who is not scraped holds 8 MB less. docs/operations.md lists them; a test compares.

import type * as Prometheus from "prom-client";
import type { AuditSink } from "../core/ports.ts";
import { Distribution } from "./distribution.ts";
import { AuditTally, type LabelledEntries } from "./tally.ts";

/** What the parts of a proxy know of themselves, asked when somebody scrapes. */
export interface MetricSources {
  readonly connections: () => { readonly sockets: number; readonly clients: number; readonly tunnels: number };
  /** Connections to destinations: open now, of these unused, and how requests came by theirs since the start. */
  readonly pool: () => {
    readonly open: number;
    readonly idle: number;
    readonly reused: number;
    readonly dialled: number;
  };
  readonly grants: () => {
    readonly hits: number;
    readonly misses: number;
    readonly sandboxes: number;
    readonly isLive: boolean;
    readonly isFailing: boolean;
    /** Milliseconds since the Secret API was last heard; undefined before the first time. */
    readonly unheardMs: number | undefined;
  };
  readonly leaves: () => number;
  readonly caNotAfter: () => Date;
  readonly auditDropped: () => number;
}

/** Metrics of a process, or of several added up. */
export interface MetricsText {
  readonly contentType: string;
  text(): Promise<string>;
}

const DURATION_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const MINT_BUCKETS = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05];
/** Of the sampling of the event loop's delay. */
const EVENT_LOOP_PRECISION_MS = 20;

/** Of Prometheus' text format. */
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type Define = (library: typeof Prometheus, registers: [Prometheus.Registry]) => void;

export class Metrics implements MetricsText {
  readonly contentType = CONTENT_TYPE;
  readonly #definitions: Define[] = [];
  readonly #durations = new Distribution(DURATION_BUCKETS);
  readonly #firstBytes = new Distribution(DURATION_BUCKETS);
  readonly #dials = new Distribution(DURATION_BUCKETS, "outcome");
  readonly #mints = new Distribution(MINT_BUCKETS);
  #registry: Promise<Prometheus.Registry> | undefined;

  constructor(version: string) {
    this.#define(({ collectDefaultMetrics, Gauge }, registers) => {
      const [register] = registers;
      collectDefaultMetrics({ register, eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS });
      new Gauge({
        name: "keyswap_build_info",
        help: "1, with the version as a label.",
        labelNames: ["version"],
        registers,
        aggregator: "first",
      }).set({ version }, 1);
    });
    this.#histogram("keyswap_exchange_duration_seconds", "From a request's head to its answer's end.", this.#durations);
    this.#histogram("keyswap_first_byte_seconds", "From a request's head to its answer's head.", this.#firstBytes);
    const dialling = "Resolving, connecting and the TLS handshake with a destination.";
    this.#histogram("keyswap_dial_duration_seconds", dialling, this.#dials);
    const minting = "Making a certificate for a host, and its TLS context.";
    this.#histogram("keyswap_mint_duration_seconds", minting, this.#mints);
  }

  /** An audit log that is counted on its way. Call it once. */
  counted(next: AuditSink): AuditSink {
    const tally = new AuditTally(next, {
      firstByte: (seconds) => this.#firstBytes.observe(seconds),
      exchange: (seconds) => this.#durations.observe(seconds),
    });
    const { exchanges, substitutions, notSubstituted, refusals, tunnels, bytes } = tally;
    this.#countBy(
      "keyswap_exchanges_total",
      "Requests and their answers.",
      ["protocol", "status", "outcome"],
      exchanges,
    );
    this.#countBy("keyswap_substitutions_total", "Values written into requests.", ["surface"], substitutions);
    this.#countBy("keyswap_not_substituted_total", "Placeholders left alone.", ["reason"], notSubstituted);
    this.#countBy("keyswap_refusals_total", "Connections and requests that went nowhere.", ["reason"], refusals);
    this.#countBy("keyswap_tunnels_total", "Blind relays that have ended.", ["reason", "outcome"], tunnels);
    const moved = "Bytes of bodies and of blind relays, as destinations see them.";
    this.#countBy("keyswap_bytes_total", moved, ["kind", "direction"], bytes);
    this.#count("keyswap_scrubs_total", "Secrets whose values were taken out of answers.", () => tally.scrubs);
    return tally;
  }

  /** `outcome`: `ok` or an error code. */
  dialled(seconds: number, outcome: string): void {
    this.#dials.observe(seconds, outcome);
  }

  minted(seconds: number): void {
    this.#mints.observe(seconds);
  }

  /** Adds what the parts tell. Call it once. */
  watch({ connections, pool, grants, leaves, caNotAfter, auditDropped }: MetricSources): void {
    this.#gaugeBy("keyswap_connections", "What is open towards clients.", ["kind"], () => {
      const { sockets, clients, tunnels } = connections();
      return { socket: sockets, http: clients, tunnel: tunnels };
    });
    this.#gaugeBy("keyswap_upstream_connections", "Connections to destinations.", ["state"], () => {
      const { open, idle } = pool();
      return { idle, busy: open - idle };
    });
    const acquisitions = "How requests came by their connection to the destination.";
    this.#countBy("keyswap_upstream_acquisitions_total", acquisitions, ["how"], {
      entries: () => [
        [["reused"], pool().reused],
        [["dialled"], pool().dialled],
      ],
    });
    const lookups = "Lookups of a sandbox's grants: answered from the cache, or by the Secret API.";
    this.#countBy("keyswap_grants_lookups_total", lookups, ["result"], {
      entries: () => [
        [["hit"], grants().hits],
        [["miss"], grants().misses],
      ],
    });
    this.#gauge("keyswap_grants_sandboxes", "Sandboxes whose grants are cached.", "sum", () => grants().sandboxes);
    // The worst of several processes is what matters.
    this.#gauge("keyswap_changes_live", "1 while changes are pushed.", "min", () => (grants().isLive ? 1 : 0));
    const failing = () => (grants().isFailing ? 1 : 0);
    this.#gauge("keyswap_secret_api_failing", "1 while the Secret API does not answer.", "max", failing);
    const unheard = () => (grants().unheardMs ?? Number.NaN) / 1000;
    this.#gauge("keyswap_grants_unheard_seconds", "Since the Secret API was last heard.", "max", unheard);
    this.#gauge("keyswap_leaves", "Certificates of hosts that are cached.", "sum", leaves);
    const expiry = () => caNotAfter().getTime() / 1000;
    this.#gauge("keyswap_ca_expiry_timestamp_seconds", "When the CA's certificate ends.", "min", expiry);
    this.#count("keyswap_audit_dropped_total", "Audit events that could not be written.", auditDropped);
  }

  /** Of a control process with workers. Call it once. */
  watchWorkers(running: () => number, restarts: () => number): void {
    this.#gauge("keyswap_workers", "Worker processes that run.", "sum", running);
    this.#count("keyswap_worker_restarts_total", "Workers that took the place of one that ended.", restarts);
  }

  async text(): Promise<string> {
    return (await this.#load()).metrics();
  }

  /** Plain data, for `addUp`. */
  async json(): Promise<MetricsJson> {
    return (await this.#load()).getMetricsAsJSON();
  }

  #load(): Promise<Prometheus.Registry> {
    this.#registry ??= import("prom-client").then((library) => {
      const register = new library.Registry();
      for (const define of this.#definitions) define(library, [register]);
      return register;
    });
    return this.#registry;
  }

  #define(define: Define): void {
    if (this.#registry !== undefined) throw new TypeError("metrics are defined before the first scrape");
    this.#definitions.push(define);
  }

  #histogram(name: string, help: string, distribution: Distribution): void {
    this.#define((_, [register]) => {
      const described = { name, help, type: "histogram", aggregator: "sum" };
      // All that a registry asks of a metric.
      const metric = { ...described, get: async () => ({ ...described, values: [...distribution.values(name)] }) };
      register.registerMetric(metric as unknown as Prometheus.Histogram);
    });
  }

  #countBy(name: string, help: string, labelNames: readonly string[], counts: LabelledEntries): void {
    this.#define(({ Counter }, registers) => {
      new Counter({
        name,
        help,
        labelNames: [...labelNames],
        registers,
        collect() {
          this.reset();
          for (const [values, count] of counts.entries()) {
            this.inc(Object.fromEntries(labelNames.map((label, index) => [label, values[index] ?? ""])), count);
          }
        },
      });
    });
  }

  #count(name: string, help: string, read: () => number): void {
    this.#define(({ Counter }, registers) => {
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    });
  }

  #gauge(name: string, help: string, aggregator: "sum" | "min" | "max", read: () => number): void {
    this.#define(({ Gauge }, registers) => {
      new Gauge({
        name,
        help,
        aggregator,
        registers,
        collect() {
          this.set(read());
        },
      });
    });
  }

  #gaugeBy(name: string, help: string, [label]: readonly [string], read: () => Readonly<Record<string, number>>): void {
    this.#define(({ Gauge }, registers) => {
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          for (const [value, count] of Object.entries(read())) this.set({ [label]: value }, count);
        },
      });
    });
  }
}

export type MetricsJson = Awaited<ReturnType<Prometheus.Registry["getMetricsAsJSON"]>>;
