import { connect, type Socket } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { AdminServer, type Readiness } from "../../src/telemetry/admin-server.ts";

let server: AdminServer | undefined;
afterEach(() => server?.close());

async function listen(readiness: () => Readiness): Promise<string> {
  server = await AdminServer.listen({ host: "127.0.0.1", port: 0, readiness });
  return `http://127.0.0.1:${server.address.port}`;
}

test("/healthz answers 200 whether or not the process is ready", async () => {
  const url = await listen(() => ({ ready: false, reason: "no grants yet" }));
  const answer = await fetch(`${url}/healthz`);
  expect([answer.status, await answer.json()]).toEqual([200, { status: "ok" }]);
});

test("/readyz follows readiness and says what is missing", async () => {
  let readiness: Readiness = { ready: false, reason: "no grants yet" };
  const url = await listen(() => readiness);
  const before = await fetch(`${url}/readyz`);
  expect([before.status, await before.json()]).toEqual([503, { status: "not ready", reason: "no grants yet" }]);
  readiness = { ready: true };
  const after = await fetch(`${url}/readyz?x=1`);
  expect([after.status, await after.json()]).toEqual([200, { status: "ready" }]);
});

test("other paths and methods are refused", async () => {
  const url = await listen(() => ({ ready: true }));
  expect((await fetch(`${url}/secret`)).status).toBe(404);
  expect((await fetch(`${url}/healthz`, { method: "POST", body: "x" })).status).toBe(405);
});

test("a taken port rejects with the system's error", async () => {
  await listen(() => ({ ready: true }));
  const { port } = server!.address;
  const second = AdminServer.listen({ host: "127.0.0.1", port, readiness: () => ({ ready: true }) });
  await expect(second).rejects.toMatchObject({ code: "EADDRINUSE" });
});

test("a crowd that says nothing keeps no probe out", async () => {
  const url = await listen(() => ({ ready: true }));
  const { port } = server!.address;
  const crowd = await Promise.all(
    Array.from({ length: 300 }, () => {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      return new Promise<Socket>((resolve) => socket.once("connect", () => resolve(socket)));
    }),
  );
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  await vi.waitFor(() => expect(crowd.filter(({ closed }) => closed).length).toBeGreaterThanOrEqual(100));
  for (const socket of crowd) socket.destroy();
});
