// The Secret API as a proxy sees it: who a sandbox is and what it may use, which source address is whose, and what changes.
//
// It speaks keyswap's form (`/sandbox/{id}/egress`, `/egress/sources`, `/changes`) and falls back to the one call that
// Daytona's own API has (`/sandbox/{id}/secrets`). Outcomes are values. A failure says whether the API could not be heard
// ("unreachable": what is cached may serve on, up to its bound) or was heard and cannot be followed ("refused",
// "malformed": then nothing old may serve either). Details name places and codes, never contents.

import { createHmac, randomBytes } from "node:crypto";
import type { SandboxGrants } from "../core/grants.ts";
import type { ConnectionCounts } from "../core/ports.ts";
import { ApiTransport, type Reply } from "./transport.ts";
import {
  isNotFoundAnswer,
  type Parsed,
  parseEgressAnswer,
  parseReportAnswer,
  parseResolveAnswer,
  parseSourcesAnswer,
  type SourceEntry,
  sandboxIdPattern,
} from "./wire.ts";

export type ApiForm = "keyswap" | "daytona";

export interface SecretApiClientOptions {
  /** Base URL with its path: `http://127.0.0.1:8181/api`. */
  readonly url: string;
  /** The credential with which a proxy resolves grants. */
  readonly key: string;
  /** Default "auto": found out by the first answers. */
  readonly form?: ApiForm | "auto";
  /** PEM, added to the trusted roots. */
  readonly extraCa?: string;
  /** Default 3000. */
  readonly connectTimeoutMs?: number;
  /** Whole deadline of one call. Default 5000. */
  readonly requestTimeoutMs?: number;
  /** Default 16. */
  readonly connections?: number;
}

export interface Failure {
  readonly kind: "failed";
  readonly reason: "unreachable" | "refused" | "malformed";
  /** Safe to show. */
  readonly detail: string;
}

/** `bytes` is the answer's size on the wire. */
export type ApiAnswer<T> =
  | { readonly kind: "answer"; readonly value: T; readonly etag: string | undefined; readonly bytes: number }
  | { readonly kind: "not-modified" }
  | { readonly kind: "absent" }
  | Failure;

/** What a proxy says of itself. */
export interface ProxyReport {
  readonly id: string;
  readonly name: string;
  /** SHA-256 in lower-case hex. */
  readonly caFingerprint: string;
  /** Everything up to this version of the changes was heard; null while they are not. */
  readonly heardVersion: string | null;
  /** Versions of the grants it holds, by sandbox id. */
  readonly grants: Readonly<Record<string, string>>;
  /** The grants are all that it holds. */
  readonly isComplete: boolean;
  readonly connections?: ConnectionCounts;
  /** The proxy ends. */
  readonly isLeaving?: true;
}

export interface ReportAnswer {
  /** Of the CA that sandboxes are told to trust; undefined where they are told none. */
  readonly caFingerprint: string | undefined;
}

export type ChangesAnswer =
  | { readonly kind: "open"; readonly chunks: AsyncIterable<Uint8Array>; close(): void }
  | { readonly kind: "absent" }
  | Failure;

/** Bound on the size of an answer. */
export const maxAnswerBytes = 8 * 1024 * 1024;

export class SecretApiClient {
  readonly #transport: ApiTransport;
  /** Stands in for a version where the API gives none. Keyed, since it is a digest of values that gets logged. */
  readonly #digestKey = randomBytes(32);
  #form: ApiForm | "auto";

  /** Throws a TypeError with a safe message if the URL or the key cannot be used. */
  constructor(options: SecretApiClientOptions) {
    this.#form = options.form ?? "auto";
    this.#transport = new ApiTransport({
      url: options.url,
      key: options.key,
      extraCa: options.extraCa,
      connectTimeoutMs: options.connectTimeoutMs ?? 3000,
      requestTimeoutMs: options.requestTimeoutMs ?? 5000,
      connections: options.connections ?? 16,
      maxAnswerBytes,
    });
  }

  /** "auto" until an answer has shown it. */
  get form(): ApiForm | "auto" {
    return this.#form;
  }

  /** `etag`: of the answer that is held; then "not-modified" is a possible answer. Never rejects. */
  async fetchGrants(sandboxId: string, etag?: string): Promise<ApiAnswer<SandboxGrants>> {
    // Whoever connects names the sandbox: nothing odd gets into a path.
    if (!sandboxIdPattern.test(sandboxId)) return { kind: "absent" };
    if (this.#form === "daytona") return this.#resolve(sandboxId, etag);
    const answer = await this.#egress(sandboxId, etag);
    if (answer.kind === "answer" || answer.kind === "not-modified") this.#form = "keyswap";
    if (answer.kind !== "absent" || this.#form !== "auto") return answer;
    return this.#detectForm(sandboxId, etag);
  }

  /** The map of source addresses; "absent" where the API has none. Never rejects. */
  async fetchSources(etag?: string): Promise<ApiAnswer<readonly SourceEntry[]>> {
    if (this.#form === "daytona") return { kind: "absent" };
    return readReply(await this.#transport.get("/egress/sources", etag), etag, parseSourcesAnswer);
  }

  /** Tells what this proxy holds; "absent" where the API takes no reports. Never rejects. */
  async report(report: ProxyReport): Promise<ApiAnswer<ReportAnswer>> {
    if (this.#form === "daytona") return { kind: "absent" };
    const reply = await this.#transport.post("/egress/proxies", JSON.stringify(report));
    return readReply(reply, undefined, parseReportAnswer);
  }

  /** Tells the API of traffic: the JSON of a TrafficReport. Never rejects. */
  async reportTraffic(report: string): Promise<"accepted" | "absent" | "refused" | "unreachable"> {
    if (this.#form === "daytona") return "absent";
    const reply = await this.#transport.post("/egress/events", report);
    if (reply.kind !== "reply" || reply.status >= 500) return "unreachable";
    if (reply.status < 300) return "accepted";
    return reply.status === 404 || reply.status === 405 ? "absent" : "refused";
  }

  /** Opens the change stream; "absent" where the API has none. `signal` ends the opening. Never rejects; `chunks` may throw. */
  async openChanges(since: string | undefined, signal: AbortSignal): Promise<ChangesAnswer> {
    if (this.#form === "daytona") return { kind: "absent" };
    const query = since === undefined ? "" : `?since=${encodeURIComponent(since)}`;
    const opening = await this.#transport.open(`/changes${query}`, "text/event-stream", "secrets-in-changes", signal);
    if (opening.kind === "open") {
      this.#form = "keyswap";
      return opening;
    }
    if (opening.kind === "unreachable") return failed("unreachable", opening.detail);
    return readStatus(opening.status, opening.isJson, opening.body);
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #egress(sandboxId: string, etag: string | undefined): Promise<ApiAnswer<SandboxGrants>> {
    const reply = await this.#transport.get(`/sandbox/${encodeURIComponent(sandboxId)}/egress`, etag);
    return readReply(reply, etag, (body) => parseEgressAnswer(body, sandboxId));
  }

  async #resolve(sandboxId: string, etag: string | undefined): Promise<ApiAnswer<SandboxGrants>> {
    const reply = await this.#transport.get(`/sandbox/${encodeURIComponent(sandboxId)}/secrets`);
    // No ETag is promised there, so a digest of the body serves as one.
    const version =
      reply.kind === "reply" ? createHmac("sha256", this.#digestKey).update(reply.body).digest("hex") : "";
    const answer = readReply(reply, undefined, (body) => parseResolveAnswer(body, sandboxId, version));
    if (answer.kind !== "answer") return answer;
    return version === etag ? { kind: "not-modified" } : { ...answer, etag: version };
  }

  /**
   * `egress` answered 404: an unknown sandbox, or an API without that route. Only if the resolve call knows the sandbox, and
   * `egress` still does not, it is Daytona's form: the second look keeps a sandbox that was made in between from passing for
   * it, for in Daytona's form there are no tokens to check.
   */
  async #detectForm(sandboxId: string, etag: string | undefined): Promise<ApiAnswer<SandboxGrants>> {
    const resolved = await this.#resolve(sandboxId, etag);
    if (resolved.kind !== "answer" && resolved.kind !== "not-modified") {
      return resolved.kind === "failed" && resolved.reason !== "refused" ? resolved : { kind: "absent" };
    }
    const again = await this.#egress(sandboxId, undefined);
    if (again.kind !== "absent") return again;
    // Another call may have shown the opposite while this one waited.
    if (this.#form !== "auto") return this.#form === "daytona" ? resolved : again;
    this.#form = "daytona";
    return resolved;
  }
}

function readReply<T>(reply: Reply, etag: string | undefined, parse: (body: Buffer) => Parsed<T>): ApiAnswer<T> {
  if (reply.kind === "unreachable") return failed("unreachable", reply.detail);
  if (reply.kind === "oversized") return failed("malformed", `the answer is larger than ${maxAnswerBytes} bytes`);
  if (reply.status === 304 && etag !== undefined) return { kind: "not-modified" };
  if (reply.status !== 200) return readStatus(reply.status, reply.isJson, reply.body);
  if (!reply.isJson) return failed("unreachable", "the answer is not JSON: is this a Secret API?");
  const parsed = parse(reply.body);
  if (parsed.kind === "malformed") return failed("malformed", `the answer is ${parsed.detail}`);
  return { kind: "answer", value: parsed.value, etag: reply.etag, bytes: reply.body.length };
}

/** Any answer but 200 and 304. */
function readStatus(status: number, isJson: boolean, body: Buffer): { readonly kind: "absent" } | Failure {
  if (status === 404 && isJson && isNotFoundAnswer(body)) return { kind: "absent" };
  if (status === 401 || status === 403) return failed("refused", `the Secret API refuses the proxy key (${status})`);
  // For the moment, and for the key: what is cached may serve on.
  if (status === 429)
    return failed(
      "unreachable",
      "the Secret API answered 429: too many wrong credentials from here; is the proxy key right?",
    );
  // Everything else is a server that is ill or one that stands in the API's place: a balancer's 404, a login page's 302.
  return failed("unreachable", `the Secret API answered ${status}`);
}

function failed(reason: Failure["reason"], detail: string): Failure {
  return { kind: "failed", reason, detail };
}
