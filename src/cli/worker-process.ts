// One worker process, as the control process holds it.

import type { Worker } from "node:cluster";
import type { Readable } from "node:stream";
import { variableName } from "../config/settings.ts";
import type { Readiness } from "../telemetry/admin-server.ts";
import type { MetricsJson } from "../telemetry/metrics.ts";
import { stderrLog } from "../telemetry/stderr.ts";
import { CliError } from "./cli-error.ts";
import type { ProxyPart } from "./proxy-part.ts";
import { describeStartFailure, type StartFailure, toCliError } from "./start-failure.ts";
import type { FromWorker, Question, SentConfig, ToWorker } from "./worker-messages.ts";

type Begin = Extract<ToWorker, { readonly type: "begin" }>;

/** A worker that does not answer is not waited for any longer. */
const ANSWER_MS = 5_000;
/** A scrape is content with what it told last. */
const METRICS_MS = 1_000;
/** For what comes after the drain: the last audit events, the last word. */
const CLOSE_MS = 6_000;

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** Where it could not start, or was ended for a fault. */
  readonly reason?: string;
}

/** Why the system made no process, in words for the operator. */
export function describeForkFailure(error: unknown): StartFailure {
  return describeStartFailure(error, "a worker", variableName("workers"));
}

export class WorkerProcess {
  readonly pid: number | undefined;
  /** Resolves with its addresses; rejects with CliError where it could not start. */
  readonly ready: Promise<ProxyPart["addresses"]>;
  /** Never rejects. */
  readonly ended: Promise<WorkerEnd>;
  readonly #worker: Worker;
  readonly #questions = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;
  #isReady = false;
  #reason: string | undefined;
  #metrics: MetricsJson | undefined;

  constructor(worker: Worker, begin: Begin, onAudit: (bytes: Buffer) => Promise<void>) {
    this.#worker = worker;
    this.pid = worker.process.pid;
    const ready = Promise.withResolvers<ProxyPart["addresses"]>();
    this.ready = ready.promise;
    this.ready.catch(() => {});
    const fail = (failure: StartFailure) => {
      this.#reason = failure.message;
      ready.reject(toCliError(failure));
    };
    worker.on("error", (error: unknown) => {
      // Else the channel's, when it ends.
      if (this.pid === undefined) fail(describeForkFailure(error));
    });
    worker.on("message", (message: FromWorker) => {
      switch (message.type) {
        case "ready":
          this.#isReady = true;
          ready.resolve(message.addresses);
          break;
        case "failed":
          fail(message.failure);
          break;
        case "answer":
          this.#settle(message.id)?.resolve(message.value);
          break;
        case "answer-failed":
          this.#settle(message.id)?.reject(toCliError(message.failure));
          break;
        case "audit":
          void onAudit(Buffer.from(message.bytes)).then(
            () => this.send({ type: "audit-written", id: message.id, problem: undefined }),
            (error: unknown) => {
              const problem = error instanceof Error ? error.message : "unknown";
              this.send({ type: "audit-written", id: message.id, problem });
            },
          );
          break;
        case "bye":
          this.#metrics = message.metrics as MetricsJson | undefined; // a worker's own
          break;
        default:
          message satisfies never;
      }
    });
    // setupPrimary asks for a pipe; there is none where there is no process.
    if (worker.process.stderr) relayLines(worker.process.stderr, (lines) => stderrLog.write(lines));
    this.ended = new Promise((done) => {
      // After its exit, and after the last of what it said.
      worker.process.once("close", (code: number | null, signal: string | null) => {
        ready.reject(new CliError(1, `a worker ended at its start (${signal ?? code})`));
        for (const id of [...this.#questions.keys()]) this.#settle(id)?.reject(new CliError(1, "the worker ended"));
        done({ code, signal, ...(this.#reason === undefined ? {} : { reason: this.#reason }) });
      });
    });
    this.send(begin);
  }

  /** Whether it has started. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** As it last told them; undefined where it never did. */
  get metrics(): MetricsJson | undefined {
    return this.#metrics;
  }

  /** Rejects with CliError where the answer does not come within a second. */
  async refreshMetrics(): Promise<void> {
    const answer = await this.#ask((id) => this.send({ type: "ask", id, question: "metrics" }), METRICS_MS);
    this.#metrics = answer as MetricsJson | undefined; // a worker's own
  }

  /** Rejects with CliError, also where the answer does not come in time. */
  async judgeReadiness(): Promise<Readiness> {
    return (await this.ask("readiness")) as Readiness; // the worker's own answer, which it made of a Readiness
  }

  send(message: ToWorker): void {
    if (this.#worker.isConnected()) this.#worker.send(message, () => {});
  }

  /** Rejects with CliError, also where the answer does not come in time. */
  ask(question: Question): Promise<unknown> {
    return this.#ask((id) => this.send({ type: "ask", id, question }));
  }

  prepare(config: SentConfig): Promise<unknown> {
    return this.#ask((id) => this.send({ type: "prepare", id, config }));
  }

  /** Drains, and is killed where it does not end. */
  async close(graceMs: number): Promise<void> {
    this.send({ type: "close", graceMs });
    const timer = setTimeout(() => this.kill(), graceMs + CLOSE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /** `reason`: its fault, where it has one. */
  kill(reason?: string): void {
    this.#reason ??= reason;
    this.#worker.process.kill("SIGKILL");
  }

  async #ask(send: (id: number) => void, withinMs = ANSWER_MS): Promise<unknown> {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#questions.set(id, answer);
    const timer = setTimeout(() => this.#settle(id)?.reject(new CliError(1, "a worker does not answer")), withinMs);
    if (this.#worker.isConnected()) send(id);
    else this.#settle(id)?.reject(new CliError(1, "the worker ended"));
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #settle(id: number): PromiseWithResolvers<unknown> | undefined {
    const question = this.#questions.get(id);
    this.#questions.delete(id);
    return question;
  }
}

/** Of what a worker writes to stderr whole lines go on, so that none ends up in another's. */
function relayLines(from: Readable, write: (lines: string) => void): void {
  let rest = "";
  from.setEncoding("utf8");
  from.on("data", (text: string) => {
    const end = text.lastIndexOf("\n") + 1;
    if (end > 0) write(rest + text.slice(0, end));
    rest = end > 0 ? text.slice(end) : rest + text;
  });
  from.on("end", () => {
    if (rest !== "") write(`${rest}\n`);
  });
}
