import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
beforeEach(() => {
  bench = makeWorkbench();
});
afterEach(() => bench[Symbol.asyncDispose]());

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((done, fail) => {
    get(url, { agent: false }, (response) => {
      response.resume();
      done(response.statusCode);
    }).on("error", fail);
  });
}

const isRoot = process.getuid?.() === 0;

describe("keyswap start", () => {
  test("prints the ready line, answers on every address, drains on SIGTERM and ends with 0", async () => {
    const keyswap = await bench.start(["start"]);
    const { ready } = keyswap;
    expect(Object.keys(ready)).toEqual(["event", "proxy", "api", "admin", "ca"]);
    expect(ready).toMatchObject({
      event: "ready",
      proxy: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/),
      api: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d*\/api$/),
      admin: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/),
      ca: join(bench.certsDir, "ca.pem"),
    });
    expect((await fetch(`${ready.api}/health`)).status).toBe(200);
    expect((await fetch(`http://${ready.admin}/healthz`)).status).toBe(200);
    expect((await fetch(`http://${ready.admin}/readyz`)).status).toBe(200);
    const metrics = await fetch(`http://${ready.admin}/metrics`);
    expect([metrics.status, metrics.headers.get("content-type")]).toEqual([200, expect.stringMatching(/^text\/plain/)]);
    expect(await metrics.text()).toMatch(/^keyswap_build_info\{version=/m);
    // Not by fetch, which hides a 407.
    expect(await statusOf(`http://${ready.proxy}/`)).toBe(400);
    const { code, stdout, stderr } = await keyswap.stop();
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    for (const line of stderr.trimEnd().split("\n")) expect(JSON.parse(line)).toHaveProperty("level");
    expect(existsSync(join(bench.dataDir, "run.json"))).toBe(false);
  });

  test("ends with 0 on SIGINT, too", async () => {
    const keyswap = await bench.start(["start"]);
    expect((await keyswap.stop("SIGINT")).code).toBe(0);
  });

  test("makes keys once, for their owner alone, and finds them again", async () => {
    const first = await bench.start(["start"]);
    await first.stop();
    const names = ["api-key", "proxy-key", "master-key"];
    const contents = names.map((name) => readFileSync(join(bench.dataDir, name), "utf8"));
    expect(new Set(contents).size).toBe(3);
    for (const name of [...names, "keyswap.db", "audit.jsonl", "lock"]) {
      expect([name, statSync(join(bench.dataDir, name)).mode & 0o777]).toEqual([name, 0o600]);
    }
    expect(statSync(bench.dataDir).mode & 0o777).toBe(0o700);
    expect(readdirSync(bench.dataDir).filter((name) => name.startsWith("."))).toEqual([]);
    const second = await bench.start(["start"]);
    expect(names.map((name) => readFileSync(join(bench.dataDir, name), "utf8"))).toEqual(contents);
    await second.stop();
  });

  test("leaves a configured API key alone and takes it", async () => {
    const key = "configured-key-of-a-test";
    const { ready } = await bench.start(["start"], { env: { KEYSWAP_API_KEY: key } });
    expect(existsSync(join(bench.dataDir, "api-key"))).toBe(false);
    const call = (bearer: string) => fetch(`${ready.api}/secret`, { headers: { authorization: `Bearer ${bearer}` } });
    expect((await call(key)).status).toBe(200);
    expect((await call(`${key}x`)).status).toBe(401);
  });

  test("puts the address that the proxy got into a sandbox's proxy URL", async () => {
    const { ready } = await bench.start(["start"]);
    const { stdout } = await bench.run(["sandbox", "create", "--json"]);
    const { egress } = JSON.parse(stdout) as { egress: { proxyUrl: string; caCertificate: string } };
    expect(new URL(egress.proxyUrl).host).toBe(ready.proxy);
    expect(egress.caCertificate).toBe(readFileSync(ready.ca, "utf8"));
  });

  test("starts again after it was killed", async () => {
    const first = await bench.start(["start"]);
    await first.stop("SIGKILL");
    const second = await bench.start(["start"]);
    const { code, stdout } = await bench.run(["secret", "list", "--json"]);
    expect([code, JSON.parse(stdout)]).toEqual([0, []]);
    expect((await second.stop()).code).toBe(0);
  });
});

describe("a start that cannot be", () => {
  test("because another keyswap has the data folder says who, and leaves that one alone", async () => {
    const first = await bench.start(["start"]);
    const second = await bench.run(["start"]);
    expect(second.code).toBe(2);
    expect(second.stderr).toContain(`process ${first.pid}`);
    expect(second.stdout).toBe("");
    expect((await fetch(`${first.ready.api}/health`)).status).toBe(200);
    expect((await bench.run(["secret", "list"])).code).toBe(0);
  });

  test.each([
    ["proxy", "KEYSWAP_PROXY_LISTEN"],
    ["api", "KEYSWAP_API_LISTEN"],
    ["admin", "KEYSWAP_ADMIN_LISTEN"],
  ])("because the %s port is taken names the port and the variable", async (_, variable) => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    try {
      const { port } = server.address() as { port: number }; // a TCP server's address
      const { code, stdout, stderr } = await bench.run(["start"], { env: { [variable]: `127.0.0.1:${port}` } });
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain(`127.0.0.1:${port} is taken`);
      expect(stderr).toContain(variable);
      expect(existsSync(join(bench.dataDir, "run.json"))).toBe(false);
    } finally {
      server.close();
    }
  });

  test("because the master key is another one says so and changes nothing", async () => {
    await (await bench.start(["start"])).stop();
    const before = readFileSync(join(bench.dataDir, "master-key"), "utf8");
    const [id] = before.split(":");
    const env = { KEYSWAP_MASTER_KEY: `${id}:${Buffer.alloc(32, 7).toString("base64")}` };
    const { code, stderr } = await bench.run(["start"], { env });
    expect(code).toBe(2);
    expect(stderr).toContain("aster key");
    expect(readFileSync(join(bench.dataDir, "master-key"), "utf8")).toBe(before);
    // The right key still fits.
    expect((await (await bench.start(["start"])).stop()).code).toBe(0);
  });

  test("because the master key is gone makes no new one", async () => {
    await (await bench.start(["start"])).stop();
    const path = join(bench.dataDir, "master-key");
    const key = readFileSync(path);
    rmSync(path);
    const { code, stderr } = await bench.run(["start"]);
    expect(code).toBe(2);
    expect(stderr).toContain(path);
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, key, { mode: 0o600 });
    expect((await (await bench.start(["start"])).stop()).code).toBe(0);
  });

  test.skipIf(isRoot)("because a key file cannot be read says so and overwrites nothing", async () => {
    await (await bench.start(["start"])).stop();
    const path = join(bench.dataDir, "api-key");
    chmodSync(path, 0);
    const { code, stderr } = await bench.run(["start"]);
    expect(code).toBe(2);
    expect(stderr).toContain(path);
  });

  test("because the CA's key is no key says so and overwrites nothing", async () => {
    await (await bench.start(["start"])).stop();
    const path = join(bench.certsDir, "ca-key.pem");
    writeFileSync(path, "no key\n", { mode: 0o600 });
    const { code, stderr } = await bench.run(["start"]);
    expect(code).toBe(2);
    expect(stderr).toContain(path);
    expect(readFileSync(path, "utf8")).toBe("no key\n");
  });

  test("because a key file is empty says so", async () => {
    mkdirSync(bench.dataDir, { recursive: true });
    writeFileSync(join(bench.dataDir, "proxy-key"), "\n", { mode: 0o600 });
    const { code, stderr } = await bench.run(["start"]);
    expect(code).toBe(2);
    expect(stderr).toContain("proxy-key is empty");
  });

  test("because the data folder is a file says so", async () => {
    writeFileSync(bench.dataDir, "");
    const { code, stderr } = await bench.run(["start"]);
    expect(code).toBe(2);
    expect(stderr).toContain(bench.dataDir);
  });

  test("because the audit log cannot be opened says so", async () => {
    const { code, stderr } = await bench.run(["start"], { env: { KEYSWAP_AUDIT: bench.env.HOME! } });
    expect(code).toBe(2);
    expect(stderr).toContain("audit log");
  });

  test("because of its configuration tells every fault at once", async () => {
    const env = { KEYSWAP_ALLOW_PRIVATE: "10.0.0.0/99", KEYSWAP_INTERCEPTS: "all" };
    const { code, stderr } = await bench.run(["start", "--on-violation", "shout"], { env });
    expect(code).toBe(2);
    for (const part of ["3 faults", '"10.0.0.0/99"', "did you mean KEYSWAP_INTERCEPT?", "--on-violation"]) {
      expect(stderr).toContain(part);
    }
    expect(existsSync(bench.dataDir)).toBe(false);
  });
});

test("transparent ports and DNS are in the ready line when they are on", async () => {
  const any = "127.0.0.1:0";
  const env = { KEYSWAP_TLS_LISTEN: any, KEYSWAP_HTTP_LISTEN: any, KEYSWAP_DNS_LISTEN: any };
  const running = await bench.start(["start"], { env });
  expect(Object.keys(running.ready)).toEqual(["event", "proxy", "tls", "http", "dns", "api", "admin", "ca"]);
  expect((await running.stop()).code).toBe(0);
});

describe("keyswap api and keyswap proxy", () => {
  test("run apart, tell only the addresses they have, and work together", async () => {
    const api = await bench.start(["api"]);
    expect(Object.keys(api.ready)).toEqual(["event", "api", "admin"]);
    const proxy = await bench.start(["proxy"], { env: { KEYSWAP_SECRET_API_URL: api.ready.api } });
    expect(Object.keys(proxy.ready)).toEqual(["event", "proxy", "admin", "ca"]);
    expect((await fetch(`http://${proxy.ready.admin}/readyz`)).status).toBe(200);
    expect((await proxy.stop()).code).toBe(0);
    expect((await api.stop()).code).toBe(0);
  });

  test("a proxy whose fixed sandbox is not known is not ready, and says why", async () => {
    const api = await bench.start(["api"]);
    const env = { KEYSWAP_SECRET_API_URL: api.ready.api, KEYSWAP_SANDBOX_ID: "nobody" };
    const proxy = await bench.start(["proxy"], { env });
    const answer = await fetch(`http://${proxy.ready.admin}/readyz`);
    expect([answer.status, await answer.json()]).toEqual([
      503,
      { status: "not ready", reason: "the fixed sandbox is not known" },
    ]);
  });

  test("a proxy without a proxy key says what it needs", async () => {
    const { code, stderr } = await bench.run(["proxy", "--secret-api-url", "http://127.0.0.1:9/api"]);
    expect(code).toBe(2);
    expect(stderr).toContain("KEYSWAP_PROXY_KEY");
  });
});
