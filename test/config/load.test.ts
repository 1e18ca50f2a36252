import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigError, type Fault } from "../../src/config/faults.ts";
import { type ConfigSources, loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/settings.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-config-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HOME = "/home/somebody";

function load(
  env: Record<string, string>,
  flags: Record<string, string | string[]> = {},
  rest: Partial<ConfigSources> = {},
): Promise<Config> {
  return loadConfig({
    command: "start",
    flags: new Map(Object.entries(flags)),
    env,
    cwd: folder,
    home: HOME,
    ...rest,
  });
}

async function faultsOf(promise: Promise<Config>): Promise<readonly Fault[]> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return error instanceof ConfigError ? error.faults : [];
}

function writeFile(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("defaults", () => {
  test("are those of the reference", async () => {
    const config = await load({});
    expect(config).toMatchObject({
      dataDir: `${HOME}/.keyswap`,
      certsDir: resolve(import.meta.dirname, "../../certs"),
      proxyListen: { host: "127.0.0.1", port: 8080 },
      apiListen: { host: "127.0.0.1", port: 8181 },
      adminListen: { host: "127.0.0.1", port: 8182 },
      intercept: "granted",
      onViolation: "pass",
      cacheTtlMs: 15_000,
      maxStaleMs: 300_000,
      bufferBytes: 1_048_576,
      audit: { kind: "file", path: `${HOME}/.keyswap/audit.jsonl` },
      note: false,
      logLevel: "info",
    });
    expect(config.surfaces.map(({ surface }) => surface)).toEqual(["header", "basic", "path", "query", "body"]);
    for (const key of ["tlsListen", "httpListen", "dnsListen", "apiKey", "masterKey", "upstreamCa"] as const) {
      expect(config[key]).toBeUndefined();
    }
    for (const key of ["allowPrivate", "plainHttpHosts", "egressAllow", "egressDeny", "tunnelHosts"] as const) {
      expect(config[key]).toEqual([]);
    }
  });

  test("differ by command where the reference says so", async () => {
    expect((await load({}, {}, { command: "api" })).adminListen?.port).toBe(8183);
    expect((await load({}, {}, { command: "run" })).logLevel).toBe("warn");
  });

  test("of the audit log follow the data folder", async () => {
    const config = await load({ KEYSWAP_DATA_DIR: "/srv/data" });
    expect(config.audit).toEqual({ kind: "file", path: "/srv/data/audit.jsonl" });
  });
});

describe("precedence", () => {
  test("is flags, then environment, then file, then default", async () => {
    const file = writeFile(
      "precedence.yaml",
      "proxy-listen: 127.0.0.1:1\napi-listen: 127.0.0.1:2\nadmin-listen: 127.0.0.1:3\n",
    );
    const env = { KEYSWAP_CONFIG: file, KEYSWAP_PROXY_LISTEN: "127.0.0.1:11", KEYSWAP_API_LISTEN: "127.0.0.1:12" };
    const config = await load(env, { "proxy-listen": "127.0.0.1:21" });
    expect(config.proxyListen.port).toBe(21);
    expect(config.apiListen.port).toBe(12);
    expect(config.adminListen?.port).toBe(3);
  });

  test("lets a --config flag replace KEYSWAP_CONFIG", async () => {
    const first = writeFile("first.yaml", "note: on");
    const second = writeFile("second.yaml", "intercept: all");
    const config = await load({ KEYSWAP_CONFIG: first }, { config: second });
    expect(config).toMatchObject({ note: false, intercept: "all" });
  });

  test("takes an empty variable for one that is not set", async () => {
    expect((await load({ KEYSWAP_PROXY_LISTEN: "", KEYSWAP_API_KEY: "" })).proxyListen.port).toBe(8080);
  });

  test("refuses an emptied egress list, which would open everything", async () => {
    expect(await faultsOf(load({ KEYSWAP_EGRESS_ALLOW: "" }))).toMatchObject([{ name: "KEYSWAP_EGRESS_ALLOW" }]);
    expect(await faultsOf(load({ KEYSWAP_EGRESS_ALLOW: " , " }))).toHaveLength(1);
    const file = writeFile("empty-list.yaml", "egress-allow: []");
    expect(await faultsOf(load({}, { config: file }))).toHaveLength(1);
  });

  test("refuses an emptied token, without which nobody would be asked for one", async () => {
    const fixed = { KEYSWAP_SANDBOX_ID: "s1" };
    for (const name of ["KEYSWAP_SANDBOX_TOKEN", "KEYSWAP_SANDBOX_TOKEN_FILE"]) {
      expect(await faultsOf(load({ ...fixed, [name]: "" }))).toMatchObject([
        { name, problem: expect.stringMatching(/^is empty/) },
      ]);
    }
    const file = writeFile("empty-token.yaml", 'sandbox-id: s1\nsandbox-token: ""\n');
    expect(await faultsOf(load({}, { config: file }))).toHaveLength(1);
  });

  test("refuses a key of a file that has no value, and does not take the default for it", async () => {
    const keys = ["egress-allow", "sandbox-token", "sandbox-token-file", "note"];
    const file = writeFile("no-value.yaml", `${keys.map((key) => `${key}:\n`).join("")}sandbox-id: s1\n`);
    const faults = await faultsOf(load({}, { config: file }));
    expect(faults.map(({ name }) => name)).toEqual(keys.map((key) => `${key} in ${file}`));
    for (const { problem } of faults) expect(problem).toBe("has no value; give it one, or remove the line");
    const json = writeFile("no-value.json", '{"egress-allow": null}');
    expect(await faultsOf(load({}, { config: json }))).toHaveLength(1);
  });
});

describe("values", () => {
  test("of every kind are read", async () => {
    const config = await load({
      KEYSWAP_PROXY_LISTEN: "[::1]:0",
      KEYSWAP_TLS_LISTEN: "0.0.0.0:8443",
      KEYSWAP_ADMIN_LISTEN: "off",
      KEYSWAP_PROXY_URL: "http://gate.example:8080/",
      KEYSWAP_ALLOW_PRIVATE: "10.0.0.0/8, 192.168.1.1",
      KEYSWAP_PLAIN_HTTP_HOSTS: "A.example,*.b.example",
      KEYSWAP_EGRESS_DENY: "*.paste.example,x.example:25",
      KEYSWAP_SURFACES: "header,base64",
      KEYSWAP_AUDIT: "stderr",
      KEYSWAP_NOTE: "on",
      KEYSWAP_BUFFER_BYTES: "2048",
    });
    expect(config.proxyListen).toEqual({ host: "::1", port: 0 });
    expect(config.tlsListen).toEqual({ host: "0.0.0.0", port: 8443 });
    expect(config.adminListen).toBeUndefined();
    expect(config.proxyUrl).toBe("http://gate.example:8080");
    expect(config.allowPrivate).toHaveLength(2);
    expect(config.plainHttpHosts.map(({ host, wildcard }) => [host, wildcard])).toEqual([
      ["a.example", false],
      ["b.example", true],
    ]);
    expect(config.egressDeny).toHaveLength(2);
    expect(config.surfaces).toEqual([
      { surface: "header", part: undefined },
      { surface: "base64", part: undefined },
    ]);
    expect(config.audit).toEqual({ kind: "stderr" });
    expect(config.note).toBe(true);
    expect(config.bufferBytes).toBe(2048);
  });

  test("of a file may be lists, numbers and booleans", async () => {
    const file = writeFile(
      "typed.json",
      JSON.stringify({
        "allow-private": ["10.0.0.0/8"],
        "buffer-bytes": 4096,
        note: true,
        "proxy-listen": "127.0.0.1:9",
      }),
    );
    const config = await load({}, { config: file });
    expect(config).toMatchObject({ bufferBytes: 4096, note: true });
    expect(config.allowPrivate).toHaveLength(1);
  });

  test("that are paths are made absolute: against the file's folder there, else the current one", async () => {
    const file = writeFile("paths.yaml", "data-dir: data\ncerts-dir: ~/certs\n");
    const config = await load({ KEYSWAP_AUDIT: "audit.log" }, { config: file });
    expect(config.dataDir).toBe(join(folder, "data"));
    expect(config.certsDir).toBe(`${HOME}/certs`);
    expect(config.audit).toEqual({ kind: "file", path: join(folder, "audit.log") });
  });

  test("of a repeated flag are joined", async () => {
    const config = await load({}, { "tunnel-hosts": ["a.example", "b.example,c.example"] });
    expect(config.tunnelHosts).toHaveLength(3);
  });

  test("of master keys are ids and 32 bytes, first one first", async () => {
    const keys = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)].map((key) => key.toString("base64"));
    const config = await load({ KEYSWAP_MASTER_KEY: `new:${keys[0]},old:${keys[1]}` });
    expect(config.masterKey?.map(({ id, key }) => [id, key.reveal()[0]])).toEqual([
      ["new", 1],
      ["old", 2],
    ]);
  });

  test("of keys come from a named file, without its final newline", async () => {
    const path = writeFile("api-key.txt", "abcdefghijklmnop\n");
    const config = await load({ KEYSWAP_API_KEY_FILE: path });
    expect(config.apiKey?.reveal().toString()).toBe("abcdefghijklmnop");
    const relative = writeFile("key-file.yaml", "api-key-file: api-key.txt");
    expect((await load({}, { config: relative })).apiKey?.byteLength).toBe(16);
  });
});

describe("faults", () => {
  test("are reported all at once, each with its name as given and an example", async () => {
    const file = writeFile("faulty.yaml", "intercept: some\nproxi-listen: 127.0.0.1:1\n");
    const faults = await faultsOf(
      load(
        {
          KEYSWAP_CONFIG: file,
          KEYSWAP_ALLOW_PRIVATE: "10.0.0.0/99,x",
          KEYSWAP_PROXY_LISTEN: "8080",
          KEYSWAP_TYPO: "1",
        },
        { "cache-ttl-ms": "soon" },
      ),
    );
    const names = faults.map(({ name }) => name);
    expect(names.toSorted()).toEqual(
      [
        "--cache-ttl-ms",
        "KEYSWAP_ALLOW_PRIVATE",
        "KEYSWAP_ALLOW_PRIVATE",
        "KEYSWAP_PROXY_LISTEN",
        "KEYSWAP_TYPO",
        `intercept in ${file}`,
        `proxi-listen in ${file}`,
      ].toSorted(),
    );
    const { message } = new ConfigError(faults);
    expect(message).toContain("7 faults");
    expect(message).toContain("for example KEYSWAP_PROXY_LISTEN=127.0.0.1:8080");
    expect(message).toContain("for example --cache-ttl-ms 15000");
    expect(message).toContain("did you mean proxy-listen?");
    expect(message).toContain('"10.0.0.0/99"');
  });

  test.each([
    ["KEYSWAP_PROXY_LISTEN", "localhost"],
    ["KEYSWAP_PROXY_LISTEN", ":8080"],
    ["KEYSWAP_PROXY_LISTEN", "127.0.0.1:65536"],
    ["KEYSWAP_PROXY_LISTEN", "::1:8080"],
    ["KEYSWAP_PROXY_LISTEN", "off"],
    ["KEYSWAP_TLS_LISTEN", "on"],
    ["KEYSWAP_PROXY_URL", "gate:8080"],
    ["KEYSWAP_PROXY_URL", "http://user:pass@gate:8080"],
    ["KEYSWAP_PROXY_URL", "http://gate:8080/path"],
    ["KEYSWAP_API_KEY", "short"],
    ["KEYSWAP_API_KEY", "with blanks in the key"],
    ["KEYSWAP_MASTER_KEY", "AAAA"],
    ["KEYSWAP_MASTER_KEY", `k1:${Buffer.alloc(31).toString("base64")}`],
    ["KEYSWAP_MASTER_KEY", `k1:${Buffer.alloc(32).toString("base64")},k1:${Buffer.alloc(32).toString("base64")}`],
    ["KEYSWAP_SANDBOX_ID", "a/b"],
    ["KEYSWAP_DATABASE_URL", "mysql://db/x"],
    ["KEYSWAP_UPSTREAM_CA", "/does/not/exist.pem"],
    ["KEYSWAP_UPSTREAM_PROXY", "ftp://proxy"],
    ["KEYSWAP_ALLOW_PRIVATE", "10.0.0.0/33"],
    ["KEYSWAP_PLAIN_HTTP_HOSTS", "http://a.example"],
    ["KEYSWAP_TUNNEL_HOSTS", "*"],
    ["KEYSWAP_EGRESS_DENY", "a..b"],
    ["KEYSWAP_INTERCEPT", "ALL"],
    ["KEYSWAP_SURFACES", "header,cookie"],
    ["KEYSWAP_ON_VIOLATION", "warn"],
    ["KEYSWAP_CACHE_TTL_MS", "-1"],
    ["KEYSWAP_MAX_STALE_MS", "1e3"],
    ["KEYSWAP_BUFFER_BYTES", "1"],
    ["KEYSWAP_NOTE", "yes"],
    ["KEYSWAP_LOG_LEVEL", "loud"],
  ])("%s=%s is one", async (name, value) => {
    expect(await faultsOf(load({ [name]: value }))).toMatchObject([{ name }]);
  });

  test("never show a key, a token or a URL that may hold a password", async () => {
    const hidden = "hunter2-hunter2-hunter2 ";
    const faults = await faultsOf(
      load({
        KEYSWAP_API_KEY: hidden,
        KEYSWAP_PROXY_KEY: hidden,
        KEYSWAP_MASTER_KEY: hidden,
        KEYSWAP_SANDBOX_TOKEN: hidden,
        KEYSWAP_DATABASE_URL: `mysql://u:${hidden}@h/`,
        KEYSWAP_UPSTREAM_PROXY: `ftp://u:${hidden}@h/`,
        KEYSWAP_PROXY_URL: `http://u:${hidden}@h/`,
      }),
    );
    expect(faults).toHaveLength(7);
    expect(new ConfigError(faults).message).not.toContain("hunter2");
  });

  test("of a file's syntax show the place, never the text", async () => {
    const file = writeFile("broken.yaml", "note: on\napi-key: *hunter2\n");
    const broken = await faultsOf(load({}, { config: file }));
    expect(broken).toMatchObject([{ name: file }]);
    expect(JSON.stringify(broken)).not.toContain("hunter2");
    const twice = writeFile("twice.yaml", "note: on\nnote: off\n");
    expect((await faultsOf(load({}, { config: twice })))[0]?.problem).toContain("line 2");
    expect(await faultsOf(load({}, { config: writeFile("list.yaml", "- a\n") }))).toHaveLength(1);
    expect((await faultsOf(load({}, { config: join(folder, "none.yaml") })))[0]?.problem).toContain("no such file");
  });

  test("are a key and its file form in one layer, and a file that cannot be read", async () => {
    const both = { KEYSWAP_API_KEY: "abcdefghijklmnop", KEYSWAP_API_KEY_FILE: "/x" };
    expect((await faultsOf(load(both)))[0]?.problem).toContain("KEYSWAP_API_KEY_FILE");
    expect(await faultsOf(load({ KEYSWAP_API_KEY_FILE: join(folder, "none") }))).toMatchObject([
      { name: "KEYSWAP_API_KEY_FILE" },
    ]);
  });

  test("are numbers where text is due: YAML would lose leading zeros of a key", async () => {
    const file = writeFile("number.yaml", "api-key: 0123456789012345\n");
    expect((await faultsOf(load({}, { config: file })))[0]?.problem).toContain("quotes");
  });

  test("lie between settings, too", async () => {
    expect(await faultsOf(load({ KEYSWAP_SANDBOX_TOKEN: "0123456789abcdef" }))).toHaveLength(1);
    expect(await faultsOf(load({}, {}, { command: "proxy" }))).toMatchObject([{ name: "KEYSWAP_SECRET_API_URL" }]);
    expect(await faultsOf(load({ KEYSWAP_SECRET_API_URL: "http://h/api" }))).toHaveLength(1);
    const clash = { KEYSWAP_PROXY_LISTEN: "127.0.0.1:8181" };
    expect((await faultsOf(load(clash)))[0]?.problem).toContain("same address");
    const free = { KEYSWAP_PROXY_LISTEN: "127.0.0.1:0", KEYSWAP_API_LISTEN: "127.0.0.1:0" };
    expect((await load(free)).proxyListen.port).toBe(0);
  });
});

test("variables that Kubernetes makes for a service named keyswap are none of ours", async () => {
  const config = await load({
    KEYSWAP_SERVICE_HOST: "10.0.0.1",
    KEYSWAP_SERVICE_PORT: "8080",
    KEYSWAP_SERVICE_PORT_PROXY: "8080",
    KEYSWAP_PORT: "tcp://10.0.0.1:8080",
    KEYSWAP_API_PORT_8181_TCP_ADDR: "10.0.0.1",
    OTHER: "x",
  });
  expect(config.proxyListen.port).toBe(8080);
});

test("a printed configuration shows no key", async () => {
  const key = "hunter2-hunter2-hunter2";
  const config = await load({
    KEYSWAP_API_KEY: key,
    KEYSWAP_DATABASE_URL: `postgres://u:${key}@h/d`,
    KEYSWAP_MASTER_KEY: `k1:${Buffer.alloc(32, 7).toString("base64")}`,
  });
  expect(config.apiKey?.reveal().toString()).toBe(key);
  expect(inspect(config, { depth: 9 }) + JSON.stringify(config)).not.toContain("hunter2");
});
