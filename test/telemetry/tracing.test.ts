// Spans of a real keyswap process as a real OTLP/HTTP receiver gets them.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isTracingWanted } from "../../src/telemetry/tracing.ts";
import { type Fleet, fleetHost, fleetValue, makeFleet, makeFleetSandbox, startLoad } from "../support/fleet.ts";

describe("tracing is wanted", () => {
  test.each([
    [{}, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" }, true],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4318/v1/traces" }, true],
    [{ OTEL_TRACES_EXPORTER: "otlp" }, true],
    [{ OTEL_TRACES_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" }, false],
    [{ OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" }, false],
    [{ OTEL_SERVICE_NAME: "x" }, false],
  ])("%j: %s", (env, wanted) => {
    expect(isTracingWanted(env)).toBe(wanted);
  });
});

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

class Receiver {
  readonly bodies: string[] = [];
  readonly paths: string[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      this.paths.push(`${request.method} ${request.url}`);
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        this.bodies.push(Buffer.concat(parts).toString("utf8"));
        response.writeHead(200, { "content-type": "application/json" }).end("{}");
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get spans(): readonly OtlpSpan[] {
    return this.bodies.flatMap((body) =>
      JSON.parse(body).resourceSpans.flatMap((resource: { scopeSpans: { spans: OtlpSpan[] }[] }) =>
        resource.scopeSpans.flatMap(({ spans }) => spans),
      ),
    );
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

let fleet: Fleet;
let receiver: Receiver;
let endpoint: string;
beforeEach(async () => {
  fleet = await makeFleet();
  receiver = new Receiver();
  endpoint = await receiver.listen();
});
afterEach(async () => {
  receiver.close();
  await fleet[Symbol.asyncDispose]();
});

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };

test("each exchange is a span in the caller's trace, without a value", async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: "gateway-7", OTEL_BSP_SCHEDULE_DELAY: "100" };
  const keyswap = await fleet.bench.start(["start"], { env });
  const sandbox = await makeFleetSandbox(fleet, keyswap.ready);
  const load = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy, connections: 1, headers });
  await load.more(3);
  await load.stop();
  // What waits is sent at the end.
  expect((await keyswap.stop()).code).toBe(0);
  expect(load.faults).toEqual([]);
  expect(new Set(receiver.paths)).toEqual(new Set(["POST /v1/traces"]));
  expect(receiver.spans).toHaveLength(load.right());
  const [span] = receiver.spans;
  expect(span).toMatchObject({ name: "GET", traceId, parentSpanId: "00f067aa0ba902b7" });
  const attributes = new Map(span?.attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
  expect(attributes.get("server.address")).toBe(fleetHost);
  expect(attributes.get("http.response.status_code")).toBe(200);
  expect(attributes.get("keyswap.sandbox")).toBe(sandbox.id);
  expect(JSON.stringify(attributes.get("keyswap.substituted"))).toContain("KEY header");
  const sent = receiver.bodies.join("\n");
  expect(sent).toContain("gateway-7");
  for (const hidden of [fleetValue, sandbox.placeholder, sandbox.credentials]) expect(sent).not.toContain(hidden);
  // The origin was told the trace as the caller told it.
  expect(fleet.origin.last().headers.traceparent).toBe(headers.traceparent);
}, 60_000);

test("without the variables nothing is sent", async () => {
  const keyswap = await fleet.bench.start(["start"], { env: { OTEL_SERVICE_NAME: "x" } });
  const sandbox = await makeFleetSandbox(fleet, keyswap.ready);
  const load = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy, connections: 1, headers });
  await load.more(3);
  await load.stop();
  expect((await keyswap.stop()).code).toBe(0);
  expect(receiver.paths).toEqual([]);
}, 60_000);
