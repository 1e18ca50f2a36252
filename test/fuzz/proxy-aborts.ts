// Either side breaks off at any byte: the proxy goes on, later answers belong to their requests, nothing stays open.

import fc from "fast-check";
import { startKeyswap } from "../support/keyswap.ts";
import { type RawConnection, startRawOrigin } from "../support/raw-origin.ts";
import { connectThrough, fieldValue, type WireClient } from "../support/wire-client.ts";
import { type FuzzTarget, waitable } from "./target.ts";

const host = "api.good.test";
const framings = ["length", "chunked"] as const;
/** Below and above the proxy's buffer. */
const sizes = [0, 10, 3000, 100_000];
const bufferBytes = 16 * 1024;

const cases = fc.record({
  sentFraming: fc.constantFrom(...framings),
  sentBytes: fc.constantFrom(...sizes),
  answerFraming: fc.constantFrom(...framings, "close" as const),
  answerBytes: fc.constantFrom(...sizes),
  isJson: fc.boolean(),
  /** Who breaks off, and after how many bytes of what it sends (`origin`, `client`) or receives (`reader`). */
  who: fc.constantFrom("origin", "client", "reader"),
  at: fc.oneof(fc.nat(400), fc.nat(110_000)),
  how: fc.constantFrom("end", "reset"),
});

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function frame(framing: Case["answerFraming"], content: Buffer): readonly [string, Buffer] {
  switch (framing) {
    case "length":
      return [`Content-Length: ${content.length}\r\n`, content];
    case "chunked": {
      const size = Buffer.from(`${content.length.toString(16)}\r\n`);
      const last = Buffer.from(content.length === 0 ? "0\r\n\r\n" : "\r\n0\r\n\r\n");
      return ["Transfer-Encoding: chunked\r\n", Buffer.concat(content.length === 0 ? [last] : [size, content, last])];
    }
    case "close":
      return ["Connection: close\r\n", content];
    default:
      return framing satisfies never;
  }
}

function breakOff(wire: WireClient, how: string): void {
  if (how === "reset") wire.socket.destroy();
  else wire.socket.end();
}

async function open() {
  const keyswap = await startKeyswap({ options: { bufferBytes } });
  const plans = new Map<string, Case>();
  const origin = await startRawOrigin({ pki: keyswap.pki, names: [host] }, (connection) => serve(connection, plans));
  const secret = await keyswap.secret("a value that stays inside", [host]);
  const sandbox = await keyswap.sandbox([secret]);
  let runs = 0;

  const check = waitable(async (made: Case): Promise<void> => {
    runs += 1;
    const id = `case-${runs}`;
    plans.set(id, made);
    const client = await connectThrough(keyswap, sandbox, host, origin.port);
    const [framing, body] = frame(made.sentFraming, Buffer.alloc(made.sentBytes, `${secret.placeholder} `));
    const type = made.isJson ? "application/json" : "text/plain";
    const head = `POST /${id} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: ${type}\r\n${framing}\r\n`;
    const bytes = Buffer.concat([Buffer.from(head), body]);
    if (made.who === "client" && made.at < bytes.length) {
      await client.sendAll(bytes.subarray(0, made.at));
      breakOff(client, made.how);
    } else {
      client.send(bytes);
      if (made.who === "reader") {
        // The answer is longer than its content.
        await client.readExactly(Math.min(made.at, made.answerBytes)).catch(() => {});
        breakOff(client, made.how);
      } else {
        // Whole, or cut off as it was: never the end of another's.
        await client.read("POST").then(
          (answer) => {
            const own = fieldValue(answer, "x-id") === id || fieldValue(answer, "keyswap-error") !== undefined;
            if (!own) throw new Error(`${id}: another answer, ${answer.status}`);
          },
          () => {},
        );
      }
    }
    client.socket.destroy();
    plans.delete(id);
    await canary(`canary-${runs}`);
    keyswap.audit.length = 0;
  });

  /** A request of another connection, on upstream connections that are kept. */
  const canary = async (id: string): Promise<void> => {
    const client = await connectThrough(keyswap, sandbox, host, origin.port);
    client.send(`GET /${id} HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    const answer = await client.read();
    client.close();
    if (fieldValue(answer, "x-id") !== id || answer.body.toString() !== id) throw new Error(`${id}: ${answer.status}`);
  };

  const close = async (): Promise<void> => {
    await check.idle();
    await keyswap.settled();
    const open = origin.connections.filter(({ socket }) => !socket.destroyed).length;
    await keyswap.close();
    await origin.close();
    if (keyswap.errors.length > 0) throw new Error(keyswap.errors.join("\n"));
    // What an idle pool may keep.
    if (open > 64) throw new Error(`${open} connections to the origin`);
  };
  return { property: fc.asyncProperty(cases, check.run), close };
}

async function serve({ wire, readRequest }: RawConnection, plans: ReadonlyMap<string, Case>): Promise<void> {
  while (!wire.isEnded) {
    const { line, fields } = await readRequest();
    const id = /\/(\S+) /.exec(line)?.[1] ?? "";
    const field = (name: string) => fields.find(([key]) => key.toLowerCase() === name)?.[1];
    const plan = plans.get(id);
    if (field("transfer-encoding") !== undefined) {
      while ((await wire.readChunk()) !== undefined);
      await wire.readTrailers();
    } else await wire.readExactly(Number(field("content-length") ?? 0));
    const content = plan === undefined ? Buffer.from(id) : Buffer.alloc(plan.answerBytes, "answer ");
    const [framing, body] = frame(plan?.answerFraming ?? "length", content);
    const type = plan?.isJson ? "application/json" : "text/plain";
    const bytes = Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nX-Id: ${id}\r\n${framing}\r\n`),
      body,
    ]);
    const isCut = plan?.who === "origin" && plan.at < bytes.length;
    await wire.sendAll(isCut ? bytes.subarray(0, plan.at) : bytes);
    if (isCut) breakOff(wire, plan.how);
    else if (plan?.answerFraming === "close") wire.socket.end();
    if (isCut || plan?.answerFraming === "close") return;
  }
}

export const proxyAborts: FuzzTarget = { name: "proxy-aborts", open };
