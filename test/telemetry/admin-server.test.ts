import { afterEach, expect, test } from "vitest";
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
