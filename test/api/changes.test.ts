// The stream of changes, read by the parser that proxies use.

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { MAX_STREAMS_OF_BOUND_KEY } from "../../src/api/change-routes.ts";
import { type Follower, followChanges } from "../support/change-follower.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await startSecretApi();
});
afterAll(() => api.close());

async function follow(
  options: { key?: string; since?: string; lastEventId?: string; prefer?: string; url?: string } = {},
) {
  const follower = await followChanges(options.url ?? api.url, options.key ?? api.proxyKey, options);
  onTestFinished(() => follower.close());
  expect(follower.status).toBe(200);
  return follower;
}

const version = async () => String(await api.store.changes.version());

it("greets with the current version, then tells of each change", async () => {
  const before = await version();
  const { messages } = await follow();
  await expect.poll(() => messages).toEqual([{ event: "hello", id: undefined, data: { version: before } }]);
  const secret = (await api.call("POST", "/secret", { name: "FOLLOWED", value: "v" })).body;
  const box = (await api.call("POST", "/sandbox", { secrets: [{ A: "FOLLOWED" }], sources: ["10.0.0.1"] })).body;
  await api.call("PATCH", `/secret/${secret.id}`, { value: "w" });
  await expect.poll(() => messages.length).toBe(4);
  const base = Number(before);
  const change = (at: number, sandboxes: string[], sources: boolean) => ({
    event: "change",
    id: String(base + at),
    data: { version: String(base + at), sandboxes, sources },
  });
  expect(messages.slice(1)).toEqual([change(1, [], false), change(2, [box.id], true), change(3, [box.id], false)]);
});

it("resumes after a version, by query or by Last-Event-ID, without a gap", async () => {
  const since = await version();
  for (let at = 0; at < 5; at++) await api.call("POST", "/secret", { name: `RESUMED_${at}`, value: "v" });
  for (const resume of [{ since }, { lastEventId: since }]) {
    const { messages } = await follow(resume);
    await api.call("POST", "/sandbox", {});
    const now = Number(await version());
    await expect.poll(() => messages.at(-1)?.data.version).toBe(String(now));
    expect(messages[0]).toMatchObject({ event: "hello", data: { version: String(now - 1) } });
    const expected = Array.from({ length: now - Number(since) }, (_, at) => String(Number(since) + at + 1));
    expect(messages.slice(1).map((message) => message.data.version)).toEqual(expected);
  }
});

it("loses and repeats nothing for streams that open amid writes", async () => {
  const start = Number(await version());
  const writes = (async () => {
    for (let at = 0; at < 200; at++) await api.call("POST", "/secret", { name: `AMID_${at}`, value: "v" });
  })();
  const streams = await Promise.all(Array.from({ length: 10 }, () => follow({ since: String(start) })));
  await writes;
  const end = Number(await version());
  const expected = Array.from({ length: end - start }, (_, at) => String(start + at + 1));
  for (const { messages } of streams) {
    // Heartbeats may come in between.
    const changes = () => messages.slice(1).filter((message) => message.event !== "heartbeat");
    await expect.poll(() => changes().at(-1)?.data.version, { timeout: 10_000 }).toBe(String(end));
    expect(changes().map((message) => message.data.version)).toEqual(expected);
  }
});

it.each([
  ["from before what is known", () => "1"],
  ["from the future", async () => String(Number(await version()) + 1_000)],
  ["of another kind", () => "abc"],
])("says reset to a version %s", async (_, since) => {
  const { messages } = await follow({ since: await since() });
  await expect.poll(() => messages.map((message) => message.event)).toEqual(["hello", "reset"]);
  expect(messages[1]!.data.version).toBe(await version());
});

it("beats every few seconds with the current version", async () => {
  const { messages } = await follow();
  await expect.poll(() => messages.at(-1)?.event, { timeout: 10_000, interval: 100 }).toBe("heartbeat");
  expect(messages.at(-1)).toMatchObject({ id: undefined, data: { version: await version() } });
});

describe("a secret that is mounted in over 1,000 sandboxes", () => {
  it("is named by its placeholder to who asked for that; others, who would not know it, are reset", async () => {
    const secret = (await api.call("POST", "/secret", { name: "WIDE", value: "v" })).body;
    const mounted = { secrets: [{ A: "WIDE" }] };
    const box = (await api.call("POST", "/sandbox", mounted)).body;
    for (let made = 1; made < 1_001; made += 50)
      await Promise.all(Array.from({ length: 50 }, () => api.call("POST", "/sandbox", mounted)));
    const bound = { name: "bound", permissions: ["resolve:secrets"], sandboxId: box.id };
    const { value: boundKey } = (await api.call("POST", "/api-keys", bound)).body;
    const { body: other } = await api.call("POST", "/organizations", { name: "bystander" });
    const headers = { "x-daytona-organization-id": other.id };
    const resolve = { name: "p", permissions: ["resolve:secrets"] };
    const { value: otherKey } = (await api.call("POST", "/api-keys", resolve, { headers })).body;
    const since = await version();
    const prefer = "wait=5, Secrets-In-Changes";
    const listeners = [{ prefer }, {}, { prefer: "wait=5" }, { prefer, key: boundKey }, { prefer, key: otherKey }];
    const live = await Promise.all(listeners.map((each) => follow(each)));
    await api.call("PATCH", `/secret/${secret.id}`, { value: "w" });
    const late = await Promise.all(listeners.map((each) => follow({ ...each, since })));
    const data = { version: String(Number(since) + 1), sandboxes: [], sources: false };
    const expected = [
      { event: "change", data: { ...data, placeholder: secret.placeholder } },
      { event: "reset", data: { version: data.version } },
      { event: "reset", data: { version: data.version } },
      { event: "change", data: { ...data, sandboxes: [box.id] } },
      { event: "change", data },
    ];
    for (const streams of [live, late]) {
      for (const [at, { messages }] of streams.entries()) {
        await expect.poll(() => messages[1]).toEqual({ id: data.version, ...expected[at] });
      }
    }
  }, 30_000);
});

describe("a credential that sees less", () => {
  it("hears every version, but of its own organization's sandboxes alone", async () => {
    const { body: other } = await api.call("POST", "/organizations", { name: "listener" });
    const headers = { "x-daytona-organization-id": other.id };
    const resolve = { name: "p", permissions: ["resolve:secrets"] };
    const { value: key } = (await api.call("POST", "/api-keys", resolve, { headers })).body;
    const start = Number(await version());
    const { messages } = await follow({ key });
    const foreign = (await api.call("POST", "/sandbox", { sources: ["10.7.0.1"] })).body;
    const own = (await api.call("POST", "/sandbox", {}, { headers })).body;
    await expect.poll(() => messages.length).toBe(3);
    expect(messages.slice(1).map((message) => message.data)).toEqual([
      { version: String(start + 1), sandboxes: [], sources: false },
      { version: String(start + 2), sandboxes: [own.id], sources: false },
    ]);
    expect(JSON.stringify(messages)).not.toContain(foreign.id);
  });

  it("is cut off when it is revoked", async () => {
    const resolve = { name: "revoked", permissions: ["resolve:secrets"] };
    const { value: key } = (await api.call("POST", "/api-keys", resolve)).body;
    const { messages, ended } = await follow({ key });
    await expect.poll(() => messages.length).toBe(1);
    await api.call("DELETE", "/api-keys/revoked");
    await ended;
  });
});

describe("places for streams", () => {
  const makeKey = async (name: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> => {
    const { body } = await api.call("POST", "/api-keys", { name, permissions: ["resolve:secrets"], ...more });
    return body.value;
  };
  /** Opens streams until one is refused, or there are `count`. */
  const take = async (key: string, count: number) => {
    const open: Follower[] = [];
    onTestFinished(() => {
      for (const follower of open) follower.close();
    });
    while (open.length < count) {
      const answers = await Promise.all(
        Array.from({ length: Math.min(25, count - open.length) }, () => followChanges(api.url, key)),
      );
      open.push(...answers.filter(({ status }) => status === 200));
      const refused = answers.filter(({ status }) => status !== 200);
      if (refused.length > 0) return { open, refusals: [...new Set(refused.map(({ status }) => status))] };
    }
    return { open, refusals: [] };
  };

  it("are few for a key that is bound to one sandbox, and free again once a stream has ended", async () => {
    const box = (await api.call("POST", "/sandbox", {})).body;
    const key = await makeKey("one-sandbox", { sandboxId: box.id });
    const { open, refusals } = await take(key, 100);
    expect([open.length, refusals]).toEqual([MAX_STREAMS_OF_BOUND_KEY, [503]]);
    await follow({ key: await makeKey("its-neighbour", { sandboxId: box.id }) });
    open[0]?.close();
    await expect.poll(() => take(key, 1).then((again) => again.open.length)).toBe(1);
  });

  it("are there for the deployment's own proxies, whatever made keys hold", { timeout: 60_000 }, async () => {
    const taken = [await take(await makeKey("one-team"), 1_100), await take(await makeKey("other-team"), 1_100)];
    expect(taken.map(({ refusals }) => refusals)).toEqual([[503], [503]]);
    expect((await take(await makeKey("third-team"), 1)).refusals).toEqual([503]);
    await follow();
  });
});

it("ends streams when the API closes", async () => {
  const brief = await startSecretApi();
  const { ended } = await follow({ url: brief.url, key: brief.proxyKey });
  await brief.close();
  await ended;
});
