import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { ceaseData, hearData } from "../../src/proxy/direct-data.ts";
import { waitUntil } from "../support/wait.ts";

const open: { destroy(): void }[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

/** Two ends of one connection. */
async function pair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const far = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [near] = (await once(server, "connection")) as [Socket];
  open.push(near, far);
  server.close();
  return { near, far };
}

/** Begins to read; what was heard so far. */
function hearing(socket: Socket): { text: string } {
  const heard = { text: "" };
  hearData(socket, (bytes) => {
    heard.text += bytes.toString("latin1");
  });
  socket.resume();
  return heard;
}

/** Numbers, so that an order that changed shows. */
const sample = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i).join(","), "latin1");

describe("data past the queue", () => {
  it("comes whole and in order, however often the listener pauses", async () => {
    const { near, far } = await pair();
    const parts: Buffer[] = [];
    let length = 0;
    let pauses = 0;
    hearData(near, (bytes) => {
      parts.push(bytes);
      length += bytes.length;
      if (parts.length % 3 !== 0) return;
      pauses += 1;
      near.pause();
      // In this turn, the next one, or after more has arrived.
      if (pauses % 3 === 0) near.resume();
      else if (pauses % 3 === 1) setImmediate(() => near.resume());
      else setTimeout(() => near.resume(), 2);
    });
    near.resume();
    for (let at = 0; at < sample.length; at += 7_001) {
      far.write(sample.subarray(at, at + 7_001));
      if (at % 5 === 0) await turn();
    }
    await waitUntil(() => expect(length).toBe(sample.length));
    expect(pauses).toBeGreaterThan(3);
    expect(Buffer.concat(parts).equals(sample)).toBe(true);
  });

  it("is not heard while the socket is paused, and what came then comes first", async () => {
    const { near, far } = await pair();
    const heard = hearing(near);
    far.write("one ");
    await waitUntil(() => expect(heard.text).toBe("one "));
    near.pause();
    far.write("two ");
    await waitUntil(() => expect(near.readableLength).toBe(4));
    expect(heard.text).toBe("one ");
    near.resume();
    far.end("three");
    await once(near, "end");
    expect(heard.text).toBe("one two three");
  });

  it("holds the sender back while the socket is paused", async () => {
    const { near, far } = await pair();
    const heard = hearing(near);
    far.write("x");
    await waitUntil(() => expect(heard.text).toBe("x"));
    near.pause();
    const much = 32 * 1_048_576;
    far.end(Buffer.alloc(much));
    await waitUntil(() => expect(near.readableLength).toBeGreaterThanOrEqual(near.readableHighWaterMark));
    for (let i = 0; i < 50; i++) await turn();
    expect(heard.text).toBe("x");
    expect(far.writableLength).toBeGreaterThan(0);
    near.resume();
    await once(near, "end");
    expect(heard.text.length).toBe(1 + much);
  });

  it("goes to the next owner once the listener has ceased", async () => {
    const { near, far } = await pair();
    let first = "";
    const listener = (bytes: Buffer): void => {
      first += bytes.toString("latin1");
    };
    hearData(near, listener);
    near.resume();
    far.write("mine");
    await waitUntil(() => expect(first).toBe("mine"));
    near.pause();
    ceaseData(near, listener);
    far.end("yours");
    let second = "";
    near.on("data", (bytes: Buffer) => {
      second += bytes.toString("latin1");
    });
    near.resume();
    await once(near, "end");
    expect([first, second]).toEqual(["mine", "yours"]);
  });

  it("is counted by the socket", async () => {
    const { near, far } = await pair();
    const heard = hearing(near);
    far.write("12345");
    await waitUntil(() => expect(heard.text).toBe("12345"));
    expect(near.bytesRead).toBe(5);
  });
});
