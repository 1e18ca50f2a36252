import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { formatIp, type IpAddress, parseIp } from "../../src/core/authority/ip.ts";
import { connectFirst, interleave } from "../../src/proxy/happy-eyeballs.ts";

function ips(...texts: string[]): IpAddress[] {
  return texts.flatMap((text) => parseIp(text) ?? []);
}

describe("the order", () => {
  test.each([
    [6, ["2001:db8::1", "10.0.0.1", "2001:db8::2", "10.0.0.2", "10.0.0.3"]],
    [4, ["10.0.0.1", "2001:db8::1", "10.0.0.2", "2001:db8::2", "10.0.0.3"]],
  ] as const)("takes families in turn, beginning with IPv%d", (first, expected) => {
    const addresses = ips("10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2");
    expect(interleave(addresses, first).map(formatIp)).toEqual(expected);
  });
});

describe("connecting", () => {
  let server: Server;
  let port: number;
  const accepted = new Set<Socket>();

  beforeEach(async () => {
    server = createServer((socket) => {
      accepted.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => accepted.delete(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address() as AddressInfo; // listening on TCP
    port = address.port;
  });
  afterEach(async () => {
    for (const socket of accepted) socket.destroy();
    server.close();
    await once(server, "close");
  });

  const never = new AbortController().signal;

  test("takes the next address when one refuses", async () => {
    const socket = await connectFirst(ips("127.0.0.7", "127.0.0.8", "127.0.0.1"), port, never);
    expect(socket.remoteAddress).toBe("127.0.0.1");
    expect(socket.listenerCount("error")).toBeGreaterThan(0);
    expect(socket.readableHighWaterMark).toBe(256 * 1024);
    expect(socket.writableHighWaterMark).toBe(256 * 1024);
    socket.destroy();
  });

  test("fails with the refusal when all refuse", async () => {
    await expect(connectFirst(ips("127.0.0.7", "127.0.0.8"), port, never)).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
  });

  test("tries eight addresses at most", async () => {
    const refusing = Array.from({ length: 8 }, (_, index) => `127.0.0.${index + 10}`);
    await expect(connectFirst(ips(...refusing, "127.0.0.1"), port, never)).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
  });

  test("dials nothing for a signal that has fired", async () => {
    const reason = new Error("stop");
    await expect(connectFirst(ips("127.0.0.1"), port, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(accepted.size).toBe(0);
  });

  test("leaves no socket behind when stopped half-way", async () => {
    const stop = new AbortController();
    const connecting = connectFirst(ips("127.0.0.1"), port, stop.signal);
    const reason = new Error("stop");
    stop.abort(reason);
    await expect(connecting).rejects.toBe(reason);
    const later = await connectFirst(ips("127.0.0.1"), port, never);
    later.destroy();
    await once(later, "close");
    while (accepted.size > 0) await new Promise((resolve) => setImmediate(resolve));
    // Bounded by the test's own time.
    while (process.getActiveResourcesInfo().includes("TCPSocketWrap")) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  const python = spawnSync("python3", ["-c", "import socket"]);
  const withPython = python.status === 0 ? test : test.skip;

  withPython("does not wait for an address that stays silent (needs python3 to fill a listener's queue)", async () => {
    // Node takes every connection, so the listener whose queue is full, and who answers nobody, is another program.
    const child = spawn("python3", ["-c", fullListener, String(port)], { stdio: ["pipe", "pipe", "inherit"] });
    try {
      expect(String((await once(child.stdout, "data"))[0])).toMatch(/^full/);
      const socket = await connectFirst(ips("127.0.0.9", "127.0.0.1"), port, never);
      expect(socket.remoteAddress).toBe("127.0.0.1");
      socket.destroy();

      const stop = new AbortController();
      const silent = connectFirst(ips("127.0.0.9"), port, stop.signal);
      const reason = new Error("stop");
      setImmediate(() => stop.abort(reason));
      await expect(silent).rejects.toBe(reason);
    } finally {
      child.kill();
      await once(child, "close");
    }
  });
});

const fullListener = `
import socket, sys
listener = socket.socket()
listener.bind(("127.0.0.9", int(sys.argv[1])))
listener.listen(0)
held = []
for _ in range(64):
    client = socket.socket()
    client.settimeout(0.3)
    try:
        client.connect(("127.0.0.9", int(sys.argv[1])))
        held.append(client)
    except TimeoutError:
        print("full", flush=True)
        break
sys.stdin.read()
`;
