// What an exchange costs without its sockets: reading, deciding, substituting, scrubbing, recording; everything on.
//
//   npx node test/bench/micro-exchange.ts [get|post] [thousands of exchanges]

import type { Socket } from "node:net";
import { Writable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { parseAuthority } from "../../src/core/authority/authority.ts";
import type { GrantsAnswer } from "../../src/core/ports.ts";
import { Http1Client } from "../../src/proxy/http1-client.ts";
import { defaultProxyLimits } from "../../src/proxy/options.ts";
import { Route } from "../../src/proxy/route.ts";
import { Services } from "../../src/proxy/services.ts";
import { AuditLog } from "../../src/telemetry/audit-log.ts";
import { EventReporter } from "../../src/telemetry/event-reporter.ts";
import { AuditTally } from "../../src/telemetry/tally.ts";
import { grant, parseLocation } from "../core/substitution/requests.ts";

const CONNECTIONS = 16;
const ROUNDS = 8;
const BODY_BYTES = 32 * 1024;
/** As TLS hands it out. */
const PIECE_BYTES = 16 * 1024;

/** Ends where a socket would begin: what is written is counted, what is read is emitted. */
class Endpoint extends Writable {
  written = 0;
  heard: (() => void) | undefined;

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.written += bytes.length;
    done();
    this.heard?.();
  }
  resume(): void {}
  pause(): void {}
  get destroySoon(): () => void {
    return () => this.destroy();
  }
}

const secret = grant("TOKEN", "not-a-secret-A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8");
const isPost = process.argv[2] === "post";
const thousands = Number(process.argv[3] ?? 20);
const text = "The quick brown fox jumps over the lazy dog; pack my box with five dozen jugs - p_l_c is no token. ";
const half = text.repeat(BODY_BYTES / 2 / text.length);
const body = isPost ? `{"messages":[{"role":"user","content":"${half}${secret.placeholder}${half}"}]}` : "";
const head =
  `${isPost ? "POST /post" : "GET /small"} HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1\r\nAccept: */*\r\n` +
  `Authorization: Bearer ${secret.placeholder}\r\n` +
  `${isPost ? `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n` : ""}\r\n`;
const request = Buffer.from(head + body, "latin1");
const answerBody = JSON.stringify({ auth: "real", pad: "x".repeat(160) });
const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 09:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: ${answerBody.length}\r\n` +
    `Server: bench\r\n\r\n${answerBody}`,
  "latin1",
);

const grants: GrantsAnswer = {
  kind: "grants",
  grants: {
    sandboxId: "sandbox",
    version: "1",
    tokenHash: undefined,
    sources: [],
    onViolation: undefined,
    egress: { allow: [], deny: [] },
    grants: [secret],
    retired: [],
  },
};

const upstreams: Endpoint[] = [];
const log = new AuditLog(
  { prepare: async () => {}, writeSome: async (bytes) => bytes.length, close: async () => {} },
  { clock: Date.now, report: () => {} },
);
const reporter = new EventReporter({ proxy: "p", send: async () => "accepted", log: () => {} });
const both = {
  record: (event: Parameters<typeof log.record>[0]) => {
    log.record(event);
    reporter.record(event);
  },
};
const services = new Services({
  options: {
    listen: { host: "127.0.0.1", port: 0 },
    intercept: "granted",
    egress: { allow: [], deny: [] },
    defaults: {
      locations: ["header", "basic", "path", "query", "body"].map(parseLocation),
      onViolation: "pass",
    },
    bufferBytes: 1024 * 1024,
    note: false,
    tunnelHosts: [],
    plainHttpHosts: [],
    limits: defaultProxyLimits,
  },
  grants: {
    get: () => grants,
    refresh: () => grants,
    getCurrent: () => grants,
    hold: () => () => {},
    onChange: () => () => {},
  },
  leaves: { cached: () => undefined, contextFor: () => Promise.reject(new Error("no leaf is made here")) } as never,
  dialler: {
    connectTls: async () => {
      const endpoint = new Endpoint();
      endpoint.heard = () => {
        // The request's last piece: the destination answers.
        if (endpoint.written < (isPost ? BODY_BYTES : 1)) return;
        endpoint.written = 0;
        setImmediate(() => endpoint.emit("data", answer));
      };
      upstreams.push(endpoint);
      return Object.assign(endpoint, { alpnProtocol: "http/1.1" }) as unknown as TLSSocket;
    },
    connectTcp: async () => Promise.reject(new Error("nothing is dialled here")),
  },
  audit: new AuditTally(both, { firstByte: () => {}, exchange: () => {} }),
  logger: console as never,
  clock: () => Math.floor(performance.timeOrigin + performance.now()),
});

const parsed = parseAuthority("api.example.com:443", "https");
if (parsed.kind !== "authority") throw new Error("the sample authority does not parse");
const route = new Route("sandbox", "connect", parsed.authority);
let answered = 0;
let wanted = 0;

function connect(): Endpoint {
  const endpoint = new Endpoint();
  const client = new Http1Client(services, endpoint as unknown as Socket, {
    route: ({ target }) => ({ kind: "exchange", route, target }),
    onRefused: (code, detail) => {
      throw new Error(`refused: ${code} ${detail}`);
    },
    onClosed: () => {},
  });
  endpoint.heard = () => {
    answered += 1;
    if (answered + CONNECTIONS <= wanted) setImmediate(ask, endpoint);
  };
  void client;
  return endpoint;
}

function ask(endpoint: Endpoint): void {
  for (let at = 0; at < request.length; at += PIECE_BYTES) {
    // A buffer of its own, as a socket reads it.
    endpoint.emit("data", Buffer.from(request.subarray(at, at + PIECE_BYTES)));
  }
}

const clients = Array.from({ length: CONNECTIONS }, connect);
for (let round = 0; round < ROUNDS; round++) {
  answered = 0;
  wanted = thousands * 1000;
  const before = process.cpuUsage();
  for (const client of clients) ask(client);
  while (answered < wanted) await new Promise(setImmediate);
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(`${isPost ? "POST" : "GET"} ${((user + system) / wanted).toFixed(2)} µs of CPU an exchange\n`);
}
await log.close();
await reporter.close();
process.exit(0);
