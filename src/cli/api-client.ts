// Calls of the Secret API for the commands. On node:http with an agent of its own: `fetch` and the global agent would
// follow proxy variables, which in a sandbox point at keyswap itself.

import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { getCACertificates } from "node:tls";
import type { SecretValue } from "../core/secret-value.ts";
import { CliError, type FailureCode } from "./command.ts";

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 64 * 1_048_576;

/** The API heard the call and said no. The message is the API's, which never holds what was sent. */
export class ApiError extends CliError {
  readonly status: number;

  constructor(status: number, exitCode: FailureCode, message: string, hint?: string) {
    super(exitCode, message, hint === undefined ? {} : { hint });
    this.name = "ApiError";
    this.status = status;
  }
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export interface ApiClientOptions {
  /** With `/api`, without a final slash. */
  readonly url: string;
  readonly key: SecretValue;
  /** PEM, trusted besides the usual roots. */
  readonly extraCa?: string | undefined;
  /** Id of the organization in which the bootstrap key acts; absent: the default one. */
  readonly organization?: string | undefined;
}

export class ApiClient {
  /** With `/api`, without a final slash. */
  readonly url: string;
  readonly #key: SecretValue;
  readonly #organization: string | undefined;
  readonly #agent: HttpAgent;

  constructor({ url, key, extraCa, organization }: ApiClientOptions) {
    this.url = url;
    this.#key = key;
    this.#organization = organization;
    // `ca` replaces the roots, so they are named too.
    const trust = extraCa === undefined ? {} : { ca: [...getCACertificates("default"), extraCa] };
    this.#agent = url.startsWith("https:")
      ? new HttpsAgent({ keepAlive: true, ...trust })
      : new HttpAgent({ keepAlive: true });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The parsed answer; undefined where it has no body. Throws CliError for everything but 2xx. */
  async call(
    method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
    path: string,
    body?: JsonObject,
    timeoutMs = TIMEOUT_MS,
  ): Promise<Json | undefined> {
    const answer = await this.#send(method, path, body, timeoutMs);
    const json = parse(answer.text);
    if (answer.status >= 200 && answer.status < 300) return json;
    throw failureOf(answer.status, messageOf(json), this.url);
  }

  #send(
    method: string,
    path: string,
    body: JsonObject | undefined,
    timeoutMs: number,
  ): Promise<{ status: number; text: string }> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const send = this.url.startsWith("https:") ? requestHttps : requestHttp;
    return new Promise((resolve, reject) => {
      const request = send(
        this.url + path,
        {
          method,
          agent: this.#agent,
          signal: AbortSignal.timeout(timeoutMs),
          headers: {
            authorization: `Bearer ${this.#key.reveal().toString()}`,
            accept: "application/json",
            ...(this.#organization === undefined ? {} : { "x-daytona-organization-id": this.#organization }),
            ...(payload === undefined ? {} : { "content-type": "application/json", "content-length": payload.length }),
          },
        },
        (response) => {
          readText(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), fail);
        },
      );
      const fail = (error: unknown) => {
        const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
        const reason =
          error instanceof Error && error.name === "TimeoutError" ? `no answer in ${timeoutMs / 1000} s` : code;
        const hint = /CERT|SIGNATURE|ISSUER/.test(code)
          ? { hint: "Its certificate is not trusted here; KEYSWAP_SECRET_API_CA names the authority that signed it." }
          : {};
        reject(
          new CliError(1, `the Secret API at ${this.url} cannot be reached (${reason})`, { cause: error, ...hint }),
        );
      };
      request.on("error", fail);
      request.end(payload);
    });
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    // Without an encoding set, a response's parts are buffers.
    parts.push(part as Buffer);
    length += parts.at(-1)!.length;
    if (length > MAX_ANSWER_BYTES) throw new Error("the answer is too long");
  }
  return Buffer.concat(parts).toString("utf8");
}

function parse(text: string): Json | undefined {
  if (text === "") return undefined;
  try {
    // What JSON.parse gives is Json by definition.
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function messageOf(json: Json | undefined): string | undefined {
  return isObject(json) && typeof json.message === "string" ? json.message : undefined;
}

/** What keyswap's own API says of a path that it does not serve. */
const NO_ROUTE = "There is no such route";

function failureOf(status: number, message: string | undefined, url: string): ApiError {
  const text = message ?? `the Secret API at ${url} answered with status ${status}`;
  if (status === 401 || status === 403) {
    return new ApiError(status, 2, text, `The API key is not right for ${url}; set KEYSWAP_API_KEY.`);
  }
  if (status === 404 && !url.endsWith("/api") && (message === undefined || message === NO_ROUTE)) {
    return new ApiError(status, 1, text, `The URL of a Secret API ends in /api, and ${url} does not.`);
  }
  // With 400 and 413 what the user gave was wrong.
  return new ApiError(status, status === 400 || status === 413 ? 2 : 1, text);
}

export function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** An object that the API promised. */
export function expectObject(json: Json | undefined): JsonObject {
  if (isObject(json)) return json;
  throw new CliError(1, "the Secret API's answer is not what was expected");
}

/** The objects of a list that the API promised. */
export function expectList(json: Json | undefined): readonly JsonObject[] {
  if (Array.isArray(json)) return json.map(expectObject);
  throw new CliError(1, "the Secret API's answer is not what was expected");
}

/** A field of an answer as text; empty where it is absent. */
export function textOf(object: JsonObject, field: string): string {
  const value = object[field];
  return value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value);
}
