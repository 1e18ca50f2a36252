// Two gateways on one Secret API behind a balancer, replaced one after the other, and reloaded, under load: no exchange fails. The balancer
// does what balancers do: it asks for readiness, and connects elsewhere where a connection is refused.

import { writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Fleet, type FleetSandbox, logged, makeFleet, makeFleetSandbox, startLoad } from "../support/fleet.ts";
import { waitUntil } from "../support/wait.ts";
import type { RunningKeyswap } from "../support/workbench.ts";

const connections = 8;
let fleet: Fleet;
let api: RunningKeyswap;
let sandbox: FleetSandbox;

beforeAll(async () => {
  fleet = await makeFleet();
  api = await fleet.bench.start(["api"]);
  sandbox = await makeFleetSandbox(fleet, api.ready);
});
afterAll(() => fleet[Symbol.asyncDispose]());

/** A TCP balancer, round robin. */
class Balancer {
  readonly #backends: string[] = [];
  readonly #server: Server;
  #next = 0;

  constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#dial(client, this.#backends.length));
  }

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    return `127.0.0.1:${address.port}`;
  }

  add(address: string): void {
    this.#backends.push(address);
  }

  remove(address: string): void {
    this.#backends.splice(this.#backends.indexOf(address), 1);
  }

  close(): void {
    this.#server.close();
  }

  #dial(client: Socket, tries: number): void {
    client.on("error", () => {});
    const [host, port] = this.#backends[this.#next++ % this.#backends.length]?.split(":") ?? [];
    if (tries <= 0 || port === undefined) {
      client.destroy();
      return;
    }
    const backend = connect({ host: host ?? "", port: Number(port), allowHalfOpen: true });
    backend.once("error", () => this.#dial(client, tries - 1));
    backend.once("connect", () => {
      backend.removeAllListeners("error");
      backend.on("error", () => client.resetAndDestroy());
      client.on("error", () => backend.destroy());
      client.pipe(backend);
      backend.pipe(client);
    });
  }
}

async function startGateway(balancer: Balancer, args: readonly string[] = []): Promise<RunningKeyswap> {
  const gateway = await fleet.bench.start(["proxy", ...args], { env: { KEYSWAP_SECRET_API_URL: api.ready.api } });
  await waitUntil(async () => {
    if ((await fetch(`http://${gateway.ready.admin}/readyz`)).status !== 200) throw new Error("not ready");
  });
  balancer.add(gateway.ready.proxy);
  return gateway;
}

test.each([
  ["HTTP/1.1", false],
  ["HTTP/2", true],
])(
  "a rolling replacement of two gateways under a load of %s: no failed exchange",
  async (_, http2) => {
    const balancer = new Balancer();
    const proxy = await balancer.listen();
    let gateways = [await startGateway(balancer), await startGateway(balancer)];
    const load = startLoad({ fleet, sandbox, proxy, connections, http2 });
    await load.more(200);
    for (const old of gateways) {
      const fresh = await startGateway(balancer);
      gateways = [...gateways, fresh];
      const ending = old.stop();
      // The balancer hears of it while connections are refused already.
      balancer.remove(old.ready.proxy);
      expect((await ending).code).toBe(0);
      await load.more(200);
    }
    await load.stop();
    expect(load.faults).toEqual([]);
    expect(load.right()).toBeGreaterThanOrEqual(600);
    balancer.close();
    for (const gateway of gateways.slice(2)) expect((await gateway.stop()).code).toBe(0);
  },
  180_000,
);

test("SIGHUP to both gateways under load: no failed exchange", async () => {
  const file = join(fleet.bench.env.HOME ?? "", "gateway.yaml");
  writeFileSync(file, "note: off\n");
  const balancer = new Balancer();
  const proxy = await balancer.listen();
  const gateways = [await startGateway(balancer, ["--config", file]), await startGateway(balancer, ["--config", file])];
  const load = startLoad({ fleet, sandbox, proxy, connections });
  for (let round = 1; round <= 3; round++) {
    writeFileSync(file, `note: ${round % 2 === 0 ? "off" : "on"}\ndns-servers: []\nupstream-no-proxy: []\n`);
    for (const gateway of gateways) process.kill(gateway.pid, "SIGHUP");
    for (const gateway of gateways) {
      await waitUntil(() => {
        if (logged(gateway.stderr(), "configuration reloaded").length < round) throw new Error("not reloaded");
      });
    }
    await load.more(100);
  }
  await load.stop();
  expect(load.faults).toEqual([]);
  balancer.close();
}, 120_000);
