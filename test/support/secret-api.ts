// A real Secret API on loopback, over a store in a directory of its own.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecretApi, type SecretApi, type SecretApiOptions } from "../../src/api/server.ts";
import type { Store } from "../../src/core/store.ts";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { openStore } from "../../src/store/open.ts";

export interface TestApi {
  readonly api: SecretApi;
  readonly store: Store;
  readonly url: string;
  readonly apiKey: string;
  readonly proxyKey: string;
  readonly directory: string;
  /** A request with the bootstrap key unless another credential is given; null sends none. */
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed where it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers and fail where they are not as expected.
  readonly body: any;
}

export async function startSecretApi(
  options: Partial<SecretApiOptions> & { openStore?: (directory: string) => Promise<Store> } = {},
): Promise<TestApi> {
  const directory = await mkdtemp(join(tmpdir(), "keyswap-api-"));
  const masterKeys = formatMasterKey(makeMasterKey());
  const store = await (options.openStore?.(directory) ??
    openStore({ path: join(directory, "keyswap.db"), masterKeys, clock: options.clock }));
  const apiKey = `dtn_${randomBytes(32).toString("hex")}`;
  const proxyKey = randomBytes(32).toString("base64url");
  const api = await createSecretApi({
    store,
    apiKey,
    proxyKey,
    proxyUrl: () => "http://127.0.0.1:8080",
    caCertificate: () => "-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n",
    ...options,
  });
  const { url } = await api.listen("127.0.0.1", 0);
  return {
    api,
    store,
    url,
    apiKey,
    proxyKey,
    directory,
    call: (method, path, body, callOptions) => call(url, apiKey, method, path, body, callOptions),
    close: async () => {
      await api.close();
      await store.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function call(
  url: string,
  apiKey: string,
  method: string,
  path: string,
  body?: unknown,
  { key = apiKey, headers = {} }: CallOptions = {},
): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") === true && text !== "";
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
}
