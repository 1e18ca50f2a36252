// The proxy's side of the API's worker thread.

import { Worker } from "node:worker_threads";
import type { LogLevel } from "../telemetry/logger.ts";
import { settledWithin } from "../telemetry/settled-within.ts";
import { stderrLog } from "../telemetry/stderr.ts";
import type { ApiReload, ApiService, ApiServiceOptions } from "./api-service.ts";
import { CliError } from "./cli-error.ts";
import { compileCacheFolder } from "./compile-cache.ts";
import { boundThreads } from "./engine.ts";
import { siblingFile } from "./sibling-file.ts";
import { type StartFailure, toCliError } from "./start-failure.ts";

export interface ApiThreadData {
  readonly service: ApiServiceOptions;
  readonly logLevel: LogLevel;
}

export type ToApiThread =
  /** The first. */
  | { readonly type: "start"; readonly data: ApiThreadData }
  | { readonly type: "proxy-url"; readonly url: string }
  | { readonly type: "reload"; readonly next: ApiReload }
  | { readonly type: "close" };

export type FromApiThread =
  /** For stderr, with its line feed. */
  | { readonly type: "log"; readonly line: string }
  | { readonly type: "ready"; readonly url: string }
  | { readonly type: "failed"; readonly failure: StartFailure }
  | { readonly type: "closed" };

export interface ApiThread extends ApiService {
  /** Rejects when the thread ends without having been closed. */
  readonly failed: Promise<never>;
}

const CLOSE_MS = 5_000;

/** A thread that loads what the API is made of, and holds nothing else yet. */
interface SpawnedApiThread {
  readonly worker: Worker;
  /** Resolves with the reason. */
  readonly ended: Promise<Error>;
}

let ahead: SpawnedApiThread | undefined;

/**
 * For a process that will want the thread, before anything else is loaded: the thread takes longest of all at a start, and
 * there are two cores. It does not keep the process alive.
 */
export function spawnApiThreadAhead(): void {
  ahead = spawnApiThread();
}

function spawnApiThread(): SpawnedApiThread {
  boundThreads();
  const worker = new Worker(workerEntry(), { eval: true, name: "secret-api" });
  worker.on("message", (message: FromApiThread) => {
    if (message.type === "log") stderrLog.write(message.line);
  });
  const ended = new Promise<Error>((resolve) => {
    worker.on("error", (error) =>
      resolve(error instanceof Error ? error : new Error("the Secret API's thread failed")),
    );
    worker.on("exit", () => resolve(new Error("the Secret API's thread ended")));
  });
  // After the listeners: one for messages takes it back.
  worker.unref();
  return { worker, ended };
}

/** Resolves when the API listens. Throws CliError. */
export async function startApiThread(data: ApiThreadData): Promise<ApiThread> {
  const { worker, ended } = ahead ?? spawnApiThread();
  ahead = undefined;
  let isClosing = false;
  const failed = ended.then((error): Promise<never> => {
    if (isClosing) return new Promise<never>(() => {});
    throw new CliError(1, `the Secret API failed: ${error.message}`, { cause: error });
  });
  // Whoever listens later still hears of it; nobody has to.
  failed.catch(() => {});
  const send = (message: ToApiThread) => worker.postMessage(message);
  worker.ref();
  send({ type: "start", data });
  const first = await Promise.race([startAnswer(worker), failed]);
  if (first.type !== "ready") {
    await worker.terminate();
    throw toCliError(first.failure);
  }
  return {
    url: first.url,
    failed,
    setProxyUrl: (url) => send({ type: "proxy-url", url }),
    reload: (next) => send({ type: "reload", next }),
    close: async () => {
      isClosing = true;
      send({ type: "close" });
      await settledWithin(ended, CLOSE_MS);
      await worker.terminate();
    },
  };
}

/**
 * The compile cache is a thread's own, and must be on before the thread reads its first file: else that one file brings
 * the type stripper with it, 12 MB and 50 ms for the rest of the thread's life.
 */
function workerEntry(): string {
  const file = siblingFile(import.meta.url, "api-worker").href;
  const cache = process.env.NODE_COMPILE_CACHE ?? compileCacheFolder();
  const enable = cache === undefined ? "" : `require("node:module").enableCompileCache(${JSON.stringify(cache)}); `;
  return `${enable}import(${JSON.stringify(file)});`;
}

type StartAnswer = Extract<FromApiThread, { readonly type: "ready" | "failed" }>;

function startAnswer(worker: Worker): Promise<StartAnswer> {
  return new Promise((resolve) => {
    worker.on("message", (message: FromApiThread) => {
      if (message.type === "ready" || message.type === "failed") resolve(message);
    });
  });
}
