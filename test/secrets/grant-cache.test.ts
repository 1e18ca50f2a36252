import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SandboxGrants } from "../../src/core/grants.ts";
import type { GrantsAnswer } from "../../src/core/ports.ts";
import { SecretApiClient } from "../../src/secrets/client.ts";
import { GrantCache, type GrantCacheOptions } from "../../src/secrets/grant-cache.ts";
import { retiredForMs } from "../../src/secrets/retired-grants.ts";
import { meanPauseMs } from "../../src/secrets/spread-refresh.ts";
import { collectGarbage } from "../support/garbage.ts";
import { FakeApi, gate, problem, type WireGrant, wireGrant } from "./fake-api.ts";
import { ManualTime } from "./manual-time.ts";

const ttlMs = 15_000;
const maxStaleMs = 300_000;

let api: FakeApi;
let client: SecretApiClient;
let time: ManualTime;
let cache: GrantCache;

function makeCache(over: Partial<GrantCacheOptions> = {}): GrantCache {
  return new GrantCache({ client, clock: time.clock, timers: time, random: () => 0.5, ...over });
}

beforeEach(async () => {
  api = new FakeApi();
  await api.listen();
  client = new SecretApiClient({ url: api.url, key: api.key, requestTimeoutMs: 2000 });
  time = new ManualTime();
  cache = makeCache();
});

afterEach(async () => {
  await cache.close();
  await client.close();
  await api.close();
});

/** The grants, or an error that says what came instead. */
function granted(answer: GrantsAnswer | Promise<GrantsAnswer>): SandboxGrants {
  if (answer instanceof Promise) throw new Error("not at once");
  if (answer.kind !== "grants") throw new Error(inspect(answer));
  return answer.grants;
}

async function grantedLater(answer: GrantsAnswer | Promise<GrantsAnswer>): Promise<SandboxGrants> {
  return granted(await answer);
}

function valuesOf(grants: SandboxGrants): string[] {
  return grants.grants.map((grant) => grant.value.reveal().toString());
}

/** Waits for what I/O brings; fails after some seconds. */
function eventually(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 5000, interval: 2 });
}

async function goLive(): Promise<void> {
  cache.start();
  await eventually(() => expect(cache.state.stream).toBe("live"));
}

/** Has the stream say something that concerns nobody, and waits until it was heard. */
async function hear(): Promise<void> {
  api.put("nobody-asks-for-this", []);
  await eventually(() => expect(cache.state.version).toBe(String(api.version)));
}

const breakApi = (status: number) => {
  api.fault = (_request, response) => problem(response, status, "fault");
};

describe("on a hit", () => {
  it("gives the same object at once", async () => {
    api.put("sb", [wireGrant("A")]);
    const first = await cache.get("sb");
    const second = cache.get("sb");
    expect(second).toBe(first);
    expect(cache.get("sb")).toBe(second);
    expect(api.asked).toHaveLength(1);
  });

  it("has fetched once for all who came together", async () => {
    api.put("sb", [wireGrant("A")]);
    const answers = await Promise.all(Array.from({ length: 50 }, () => cache.get("sb")));
    expect(new Set(answers).size).toBe(1);
    expect(api.asked).toHaveLength(1);
  });
});

describe("without a change stream", () => {
  it("fetches anew, conditionally, when the TTL is over, before it answers", async () => {
    api.put("sb", [wireGrant("A", { value: "old" })]);
    await cache.get("sb");
    time.pass(ttlMs);
    const confirmed = await grantedLater(cache.get("sb"));
    expect(api.conditions).toEqual([undefined, '"1"']);
    api.put("sb", [wireGrant("A", { value: "new" })]);
    expect(granted(cache.get("sb"))).toBe(confirmed);
    time.pass(ttlMs);
    expect(valuesOf(await grantedLater(cache.get("sb")))).toEqual(["new"]);
  });

  it("fetches in the background near expiry, and nobody waits", async () => {
    api.put("sb", [wireGrant("A", { value: "old" })]);
    await cache.get("sb");
    api.put("sb", [wireGrant("A", { value: "new" })]);
    time.pass(ttlMs - 1000);
    expect(valuesOf(granted(cache.get("sb")))).toEqual(["old"]);
    await eventually(() => expect(valuesOf(granted(cache.get("sb")))).toEqual(["new"]));
    expect(api.asked).toHaveLength(2);
  });

  it("counts the TTL from the fetch's beginning", async () => {
    api.put("sb", []);
    const late = gate();
    api.lateGate = late.promise;
    const answer = cache.get("sb");
    await eventually(() => expect(api.asked).toHaveLength(1));
    time.pass(ttlMs + 1);
    api.lateGate = undefined;
    late.open();
    await answer;
    await cache.get("sb");
    expect(api.asked).toHaveLength(2);
  });

  it("does not believe a clock that ran backwards", async () => {
    api.put("sb", []);
    await cache.get("sb");
    time.now -= 3_600_000;
    await cache.get("sb");
    expect(api.asked).toHaveLength(2);
  });
});

describe("while the API cannot be heard", () => {
  beforeEach(async () => {
    api.put("sb", [wireGrant("A", { value: "kept" })]);
    await cache.get("sb");
  });

  it("serves what it has, up to the bound, then refuses", async () => {
    breakApi(500);
    time.pass(ttlMs);
    expect(valuesOf(await grantedLater(cache.get("sb")))).toEqual(["kept"]);
    // Known to be ill: nobody waits any more.
    expect(valuesOf(granted(cache.get("sb")))).toEqual(["kept"]);
    time.pass(maxStaleMs - ttlMs - 1);
    expect(valuesOf(granted(cache.get("sb")))).toEqual(["kept"]);
    time.pass(1);
    expect(await cache.get("sb")).toEqual({ kind: "unavailable", detail: "the Secret API answered 500" });
  });

  it("serves on when it is down", async () => {
    await api.close();
    time.pass(ttlMs);
    expect(valuesOf(await grantedLater(cache.get("sb")))).toEqual(["kept"]);
    expect(cache.state.apiFailure).toBe("ECONNREFUSED");
  });

  it("does not hammer it: one try, then pauses that grow", async () => {
    breakApi(500);
    time.pass(ttlMs);
    await cache.get("sb");
    const asked = api.asked.length;
    for (let i = 0; i < 100; i++) await cache.get("sb");
    expect(api.asked).toHaveLength(asked);
    time.pass(1000);
    for (let i = 0; i < 100; i++) await cache.get("sb");
    await eventually(() => expect(api.asked).toHaveLength(asked + 1));
  });

  it("asks it for one sandbox at a time once it has failed for several", async () => {
    breakApi(500);
    for (const id of ["a", "b", "c"]) expect((await cache.get(id)).kind).toBe("unavailable");
    const asked = api.asked.length;
    for (let i = 0; i < 50; i++) expect((await cache.get(`other-${i}`)).kind).toBe("unavailable");
    expect(api.asked).toHaveLength(asked);
    api.fault = undefined;
    api.put("a", [], { silent: true });
    time.pass(10_000);
    expect((await cache.get("a")).kind).toBe("grants");
    expect((await cache.get("other-1")).kind).toBe("unknown-sandbox");
  });

  it("recovers", async () => {
    breakApi(503);
    time.pass(ttlMs);
    await cache.get("sb");
    api.fault = undefined;
    api.put("sb", [wireGrant("A", { value: "new" })]);
    time.pass(2000);
    void cache.get("sb");
    await eventually(() => expect(valuesOf(granted(cache.get("sb")))).toEqual(["new"]));
    expect(cache.state.apiFailure).toBeUndefined();
  });

  it("has nothing for a sandbox that it never saw", async () => {
    breakApi(500);
    expect((await cache.get("other")).kind).toBe("unavailable");
    const asked = api.asked.length;
    expect((await cache.get("other")).kind).toBe("unavailable");
    expect(api.asked).toHaveLength(asked);
  });
});

describe("when the API is heard and cannot be followed, nothing old is used", () => {
  it.each([401, 403])("%i", async (status) => {
    api.put("sb", [wireGrant("A")]);
    await cache.get("sb");
    breakApi(status);
    time.pass(ttlMs);
    expect((await cache.get("sb")).kind).toBe("unavailable");
    api.fault = undefined;
    time.pass(5000);
    expect((await cache.get("sb")).kind).toBe("grants");
  });

  it("an answer that cannot be read", async () => {
    api.put("sb", [wireGrant("A")]);
    await cache.get("sb");
    api.put("sb", [wireGrant("A"), wireGrant("B", { hosts: ["*.*"] })]);
    time.pass(ttlMs);
    const answer = await cache.get("sb");
    expect(answer).toEqual({ kind: "unavailable", detail: "the answer is malformed at grants[1].hosts[0]" });
    breakApi(500);
    time.pass(10_000);
    expect((await cache.get("sb")).kind).toBe("unavailable");
  });
});

describe("unknown sandboxes", () => {
  it("are remembered for a second", async () => {
    expect(await cache.get("sb")).toEqual({ kind: "unknown-sandbox" });
    const asked = api.asked.length;
    expect(cache.get("sb")).toEqual({ kind: "unknown-sandbox" });
    expect(api.asked).toHaveLength(asked);
    api.put("sb", []);
    time.pass(1000);
    expect((await cache.get("sb")).kind).toBe("grants");
  });

  it("do not push out known ones, however many", async () => {
    cache = makeCache({ maxSandboxes: 4 });
    api.put("sb", []);
    await cache.get("sb");
    await Promise.all(Array.from({ length: 100 }, (_each, i) => cache.get(`made-up-${i}`)));
    const asked = api.asked.length;
    expect(granted(cache.get("sb")).sandboxId).toBe("sb");
    expect(api.asked).toHaveLength(asked);
  });

  it("are looked up only so many at a time, while known ones are served", async () => {
    api.put("sb", []);
    await cache.get("sb");
    const held = gate();
    api.gate = held.promise;
    const lookups = Array.from({ length: 256 }, (_each, i) => cache.get(`made-up-${i}`));
    expect(cache.get("one-more")).toMatchObject({ kind: "unavailable" });
    expect(cache.get("made-up-1")).toBeInstanceOf(Promise);
    expect(granted(cache.get("sb")).sandboxId).toBe("sb");
    held.open();
    await Promise.all(lookups);
    expect((await cache.get("one-more")).kind).toBe("unknown-sandbox");
  });

  it("were known until they were deleted", async () => {
    const heard: GrantsAnswer[] = [];
    api.put("sb", [wireGrant("A")]);
    await cache.get("sb");
    cache.onChange((_id, answer) => heard.push(answer));
    api.remove("sb");
    time.pass(ttlMs);
    expect(await cache.get("sb")).toEqual({ kind: "unknown-sandbox" });
    expect(heard).toEqual([{ kind: "unknown-sandbox" }]);
    // An API that falls silent does not bring it back.
    breakApi(500);
    time.pass(1000);
    expect((await cache.get("sb")).kind).toBe("unavailable");
  });
});

describe("a placeholder that is not among the cached grants", () => {
  const old = [wireGrant("A")];
  const both = [...old, wireGrant("B")];

  it("is found by a refresh at once after it was mounted", async () => {
    api.put("sb", old);
    await cache.get("sb");
    api.put("sb", both);
    expect((await grantedLater(cache.refresh("sb", "key-b"))).grants).toHaveLength(2);
    expect(granted(cache.get("sb")).grants).toHaveLength(2);
  });

  it("costs one fetch a second at most, whatever keys are used", async () => {
    api.put("sb", old);
    await cache.get("sb");
    await cache.refresh("sb", "k0");
    const asked = api.asked.length;
    for (let i = 1; i < 100; i++) expect(granted(cache.refresh("sb", `k${i}`)).grants).toHaveLength(1);
    expect(api.asked).toHaveLength(asked);
    time.pass(1000);
    await cache.refresh("sb", "k100");
    expect(api.asked).toHaveLength(asked + 1);
  });

  it("is fetched for once by all who come together", async () => {
    api.put("sb", old);
    await cache.get("sb");
    await Promise.all(Array.from({ length: 20 }, (_each, i) => cache.refresh("sb", `k${i}`)));
    expect(api.asked).toHaveLength(2);
  });

  it("is not asked for again until the version changes", async () => {
    api.put("sb", old);
    await cache.get("sb");
    await cache.refresh("sb", "k");
    time.pass(2000);
    granted(cache.refresh("sb", "k"));
    expect(api.asked).toHaveLength(2);
    api.put("sb", both);
    await cache.refresh("sb", "other");
    time.pass(2000);
    await cache.refresh("sb", "k");
    expect(api.asked).toHaveLength(4);
  });

  it("is forgotten as the oldest of very many, so that memory is bounded", async () => {
    api.put("sb", old);
    await cache.get("sb");
    for (let i = 0; i <= 256; i++) {
      time.pass(1000);
      await cache.refresh("sb", `k${i}`);
    }
    time.pass(1000);
    const asked = api.asked.length;
    granted(cache.refresh("sb", "k256"));
    expect(api.asked).toHaveLength(asked);
    await cache.refresh("sb", "k0");
    expect(api.asked).toHaveLength(asked + 1);
  });

  it("is asked for anew after a fetch that failed", async () => {
    api.put("sb", old);
    await cache.get("sb");
    breakApi(500);
    expect((await grantedLater(cache.refresh("sb", "k"))).grants).toHaveLength(1);
    api.fault = undefined;
    api.put("sb", both);
    time.pass(2000);
    expect((await grantedLater(cache.refresh("sb", "k"))).grants).toHaveLength(2);
  });

  it("waits for a fetch that began after it was used", async () => {
    api.put("sb", old);
    await cache.get("sb");
    time.pass(1500);
    const late = gate();
    api.lateGate = late.promise;
    const before = cache.getCurrent("sb");
    await eventually(() => expect(api.asked).toHaveLength(2));
    api.put("sb", both);
    const refreshed = cache.refresh("sb", "key-b");
    late.open();
    await before;
    expect((await grantedLater(refreshed)).grants).toHaveLength(2);
  });

  it("is found although changes are pushed: the push may be on its way", async () => {
    api.put("sb", old);
    await goLive();
    await cache.get("sb");
    api.put("sb", both, { silent: true });
    expect((await grantedLater(cache.refresh("sb", "key-b"))).grants).toHaveLength(2);
  });

  it("costs one fetch a second at most while changes are pushed, too, and none for a key that was asked for", async () => {
    api.put("sb", old);
    await goLive();
    await cache.get("sb");
    const asked = api.asked.length;
    for (let i = 0; i < 100; i++) await cache.refresh("sb", `k${i}`);
    expect(api.asked).toHaveLength(asked + 1);
    time.pass(1000);
    for (let i = 0; i < 5; i++) await cache.refresh("sb", "k0");
    expect(api.asked).toHaveLength(asked + 1);
  });
});

describe("grants that a tunnel depends on", () => {
  it("are looked at once per TTL where nothing is pushed, until they are let go", async () => {
    api.put("sb", []);
    await cache.get("sb");
    const seen: number[] = [];
    cache.onChange((_id, answer) => seen.push(answer.kind === "grants" ? answer.grants.grants.length : -1));
    const [release, releaseOther] = [cache.hold("sb"), cache.hold("sb")];
    api.put("sb", [wireGrant("A")]);
    time.pass(ttlMs);
    await eventually(() => expect(seen).toEqual([1]));
    release();
    release();
    api.put("sb", []);
    time.pass(ttlMs);
    await eventually(() => expect(seen).toEqual([1, 0]));
    releaseOther();
    api.put("sb", [wireGrant("A")]);
    time.pass(ttlMs);
    time.pass(ttlMs);
    expect(time.pending).toBe(0);
    expect(seen).toEqual([1, 0]);
  });

  it("cost nothing while changes are pushed", async () => {
    api.put("sb", []);
    await goLive();
    await cache.get("sb");
    cache.hold("sb");
    const asked = api.asked.length;
    for (let i = 0; i < 5; i++) {
      time.pass(ttlMs - 1000);
      await hear();
    }
    expect(api.asked).toHaveLength(asked);
  });

  it("are looked at also when they fell out of the cache", async () => {
    cache = makeCache({ maxSandboxes: 1 });
    api.put("sb", []);
    api.put("other", []);
    await cache.get("sb");
    cache.hold("sb");
    await cache.get("other");
    const told = vi.fn();
    cache.onChange(told);
    api.put("sb", [wireGrant("A")]);
    time.pass(ttlMs);
    await eventually(() => expect(told).toHaveBeenCalledWith("sb", expect.objectContaining({ kind: "grants" })));
  });
});

describe("before a blind tunnel", () => {
  it("confirms what is over a second old", async () => {
    api.put("sb", []);
    await cache.get("sb");
    time.pass(999);
    granted(cache.getCurrent("sb"));
    expect(api.asked).toHaveLength(1);
    time.pass(1);
    api.put("sb", [wireGrant("A")]);
    expect((await grantedLater(cache.getCurrent("sb"))).grants).toHaveLength(1);
  });

  it("asks nothing while the stream is live", async () => {
    api.put("sb", []);
    await goLive();
    await cache.get("sb");
    time.pass(5000);
    granted(cache.getCurrent("sb"));
    expect(api.asked).toHaveLength(1);
  });

  it("takes what there is while the API is ill, without hammering it", async () => {
    api.put("sb", []);
    await cache.get("sb");
    breakApi(500);
    time.pass(2000);
    await grantedLater(cache.getCurrent("sb"));
    const asked = api.asked.length;
    for (let i = 0; i < 20; i++) granted(cache.getCurrent("sb"));
    expect(api.asked).toHaveLength(asked);
  });
});

describe("with a live change stream", () => {
  it("nothing expires by its TTL", async () => {
    api.put("sb", [wireGrant("A")]);
    await goLive();
    const first = await cache.get("sb");
    for (let i = 0; i < 20; i++) {
      time.pass(10_000);
      await hear();
      expect(cache.get("sb")).toBe(first);
    }
    expect(api.asked).toHaveLength(1);
  });

  it("what was fetched before is fetched again before it is used", async () => {
    api.put("sb", [wireGrant("A", { value: "old" })]);
    await cache.get("sb");
    api.put("sb", [wireGrant("A", { value: "new" })]);
    await goLive();
    expect(valuesOf(await grantedLater(cache.get("sb")))).toEqual(["new"]);
  });

  it("a revoked value is not given out once the change was heard", async () => {
    api.put("sb", [wireGrant("A", { value: "revoked" })]);
    await goLive();
    await cache.get("sb");
    const held = gate();
    api.gate = held.promise;
    api.put("sb", []);
    await eventually(() => expect(cache.get("sb")).toBeInstanceOf(Promise));
    const answer = cache.get("sb");
    held.open();
    expect(valuesOf(await grantedLater(answer))).toEqual([]);
  });

  it("nor when the API fails right then", async () => {
    api.put("sb", [wireGrant("A", { value: "revoked" })]);
    await goLive();
    await cache.get("sb");
    breakApi(500);
    api.put("sb", []);
    await eventually(() => expect(cache.get("sb")).not.toMatchObject({ kind: "grants" }));
    expect((await cache.get("sb")).kind).toBe("unavailable");
    time.pass(1_000);
    expect((await cache.get("sb")).kind).toBe("unavailable");
  });

  it("nor by a fetch that the change overtook", async () => {
    await goLive();
    api.put("sb", [wireGrant("A", { value: "revoked" })]);
    const late = gate();
    api.lateGate = late.promise;
    const answer = cache.get("sb");
    await eventually(() => expect(api.asked).toHaveLength(1));
    // The answer is made and not sent yet; now the value is revoked.
    let heard = false;
    cache.onChange(() => {
      heard = true;
    });
    api.put("sb", []);
    api.send("change", { version: String(api.version), sandboxes: ["marker"], sources: false });
    await eventually(() => expect(cache.state.version).toBe(String(api.version)));
    expect(heard).toBe(false);
    late.open();
    expect(valuesOf(await grantedLater(answer))).toEqual([]);
    expect(api.asked).toHaveLength(2);
  });

  it("nor when its sandbox fell out of the cache meanwhile", async () => {
    cache = makeCache({ maxSandboxes: 1 });
    api.put("sb", [wireGrant("A", { value: "revoked" })]);
    await goLive();
    await cache.get("sb");
    const late = gate();
    api.lateGate = late.promise;
    api.change(["sb"]);
    await eventually(() => expect(api.asked).toHaveLength(2));
    const answer = cache.get("sb");
    api.lateGate = undefined;
    api.put("other", []);
    await cache.get("other");
    api.put("sb", []);
    await eventually(() => expect(cache.state.version).toBe(String(api.version)));
    late.open();
    expect(valuesOf(await grantedLater(answer))).toEqual([]);
  });

  it("a change is fetched before anybody asks, and told", async () => {
    api.put("sb", [wireGrant("A", { value: "old" })]);
    await goLive();
    await cache.get("sb");
    const heard: [string, GrantsAnswer][] = [];
    const off = cache.onChange((id, answer) => heard.push([id, answer]));
    api.put("sb", [wireGrant("A", { value: "new" })]);
    await eventually(() => expect(heard).toHaveLength(1));
    expect(heard[0]?.[1]).toBe(cache.get("sb"));
    expect(valuesOf(granted(cache.get("sb")))).toEqual(["new"]);
    off();
    api.put("sb", []);
    await eventually(() => expect(valuesOf(granted(cache.get("sb")))).toEqual([]));
    expect(heard).toHaveLength(1);
  });

  it("a listener that throws harms nobody", async () => {
    const heard: string[] = [];
    cache.onChange(() => {
      throw new Error("broken listener");
    });
    cache.onChange((id) => heard.push(id));
    api.put("sb", []);
    expect((await cache.get("sb")).kind).toBe("grants");
    expect(heard).toEqual(["sb"]);
  });

  it("only what a change names is fetched", async () => {
    api.put("a", []);
    api.put("b", []);
    await goLive();
    await cache.get("a");
    await cache.get("b");
    api.put("a", [wireGrant("A")]);
    await eventually(() => expect(granted(cache.get("a")).grants).toHaveLength(1));
    expect(api.asked.filter((path) => path.includes("/b/"))).toHaveLength(1);
  });

  it("a sandbox that was unknown a moment ago is found when it is made", async () => {
    await goLive();
    expect((await cache.get("sb")).kind).toBe("unknown-sandbox");
    api.put("sb", []);
    await eventually(() => expect(cache.get("sb")).not.toEqual({ kind: "unknown-sandbox" }));
    expect((await cache.get("sb")).kind).toBe("grants");
  });

  it("a reset has everything fetched again before it is used", async () => {
    api.put("a", [wireGrant("A", { value: "old" })]);
    await goLive();
    await cache.get("a");
    api.put("a", [wireGrant("A", { value: "new" })], { silent: true });
    api.send("reset", { version: String(api.version) });
    await eventually(() => expect(cache.get("a")).not.toMatchObject({ grants: { version: "1" } }));
    expect(valuesOf(await grantedLater(cache.get("a")))).toEqual(["new"]);
  });

  it("many changes at once all arrive", async () => {
    const ids = Array.from({ length: 60 }, (_each, i) => `sb-${i}`);
    for (const id of ids) api.put(id, [wireGrant("A", { value: "old" })]);
    await goLive();
    for (const id of ids) await cache.get(id);
    for (const id of ids) api.put(id, [wireGrant("A", { value: "new" })], { silent: true });
    api.change(ids);
    await eventually(() => {
      for (const id of ids) expect(valuesOf(granted(cache.get(id)))).toEqual(["new"]);
    });
  });
});

describe("a change that names a secret and not its many sandboxes", () => {
  const shared = wireGrant("SHARED", { value: "revoked" });
  const rotated = { ...shared, value: "rotated" };
  const ids = Array.from({ length: 20 }, (_each, i) => `sb-${i}`);

  /** Holds the grants of 20 sandboxes with the secret and of one without. */
  async function holdAll(): Promise<void> {
    for (const id of ids) api.put(id, [wireGrant("OWN"), shared]);
    api.put("bystander", [wireGrant("OWN")]);
    await goLive();
    for (const id of [...ids, "bystander"]) await cache.get(id);
    api.asked.length = 0;
  }

  function rotate(): void {
    for (const id of ids) api.put(id, [rotated], { silent: true });
    api.send("change", {
      version: String(api.version),
      sandboxes: [],
      sources: false,
      placeholder: shared.placeholder,
    });
  }
  const heard = () => eventually(() => expect(cache.state.version).toBe(String(api.version)));

  it("keeps the old value in from the moment it was heard, and has it fetched by whoever is used, alone", async () => {
    await holdAll();
    rotate();
    await heard();
    expect(api.asked).toEqual([]);
    expect(valuesOf(await grantedLater(cache.get("sb-3")))).toEqual(["rotated"]);
    expect(api.asked).toEqual(["/api/sandbox/sb-3/egress"]);
    breakApi(503);
    expect((await cache.get("sb-4")).kind).toBe("unavailable");
  });

  it("leaves alone who does not hold it", async () => {
    await holdAll();
    const before = cache.get("bystander");
    rotate();
    await heard();
    expect(cache.get("bystander")).toBe(before);
  });

  it("overtakes a fetch that may have read the old value", async () => {
    api.put("new", [shared]);
    await goLive();
    const late = gate();
    api.lateGate = late.promise;
    const answer = cache.get("new");
    await eventually(() => expect(api.asked).toHaveLength(1));
    api.put("new", [rotated], { silent: true });
    api.send("change", {
      version: String(api.version),
      sandboxes: [],
      sources: false,
      placeholder: shared.placeholder,
    });
    await heard();
    api.lateGate = undefined;
    late.open();
    expect(valuesOf(await grantedLater(answer))).toEqual(["rotated"]);
  });

  it.each([
    ["a named secret", rotate],
    ["a reset", () => api.send("reset", { version: String(++api.version) })],
  ])("fetches the others one after another with pauses in between: %s", async (_, mark) => {
    await holdAll();
    mark();
    await heard();
    expect(api.asked).toEqual([]);
    const due = mark === rotate ? ids.length : ids.length + 1;
    for (let fetched = 1; fetched <= due; fetched++) {
      await eventually(() => expect(time.pending).toBeGreaterThan(1));
      time.pass(meanPauseMs);
      await eventually(() => expect(api.asked).toHaveLength(fetched));
    }
    await eventually(() => expect(granted(cache.get("sb-0")).version).toBe(api.sandboxes.get("sb-0")?.version));
    time.pass(10 * meanPauseMs);
    await hear();
    expect(new Set(api.asked).size).toBe(due);
    expect(api.asked).toHaveLength(due);
  });
});

describe("when the stream breaks", () => {
  it("TTLs count from when it was last heard, and it goes on from there", async () => {
    api.put("sb", [wireGrant("A", { value: "old" })]);
    await goLive();
    const first = await cache.get("sb");
    time.pass(10_000);
    await hear();
    time.pass(8_000);
    api.endStreams();
    await eventually(() => expect(cache.state.stream).toBe("connecting"));
    // 18 s after the fetch, 8 s after the last word.
    expect(cache.get("sb")).toBe(first);
    expect(api.asked).toHaveLength(1);
    time.pass(10_000);
    await eventually(() => expect(cache.state.stream).toBe("live"));
    expect(api.sinces).toEqual([null, "2"]);
    // Nothing happened in between, so nothing is fetched.
    expect(cache.get("sb")).toBe(first);
    expect(api.asked).toHaveLength(1);
  });

  it("what changed in between is marked by the replay", async () => {
    api.put("sb", [wireGrant("A", { value: "revoked" })]);
    await goLive();
    await cache.get("sb");
    api.endStreams();
    await eventually(() => expect(cache.state.stream).toBe("connecting"));
    api.put("sb", [], { silent: true });
    time.pass(1000);
    await eventually(() => expect(api.streams).toBe(1));
    // Greeted, but not yet told what was missed: not live.
    expect(cache.state.stream).toBe("connecting");
    api.change(["sb"]);
    await eventually(() => expect(cache.state.stream).toBe("live"));
    expect(valuesOf(await grantedLater(cache.get("sb")))).toEqual([]);
  });

  it("silence is death", async () => {
    api.put("sb", []);
    await goLive();
    await cache.get("sb");
    time.pass(14_999);
    expect(cache.state.stream).toBe("live");
    time.pass(1);
    await eventually(() => expect(cache.state.stream).toBe("connecting"));
    time.pass(1000);
    await eventually(() => expect(cache.state.stream).toBe("live"));
  });

  it("a process that was stopped does not believe what it has", async () => {
    api.put("sb", [wireGrant("A")]);
    await goLive();
    await cache.get("sb");
    // No timer has fired yet, as after SIGCONT.
    time.now += 60_000;
    expect(cache.get("sb")).toBeInstanceOf(Promise);
  });

  it("an event that cannot be read counts for everything", async () => {
    api.put("sb", [wireGrant("A", { value: "old" })]);
    await goLive();
    await cache.get("sb");
    api.put("sb", [wireGrant("A", { value: "new" })], { silent: true });
    api.send("change", '{"version":"2","sandboxes":"sb"}');
    await eventually(() => expect(cache.state.stream).toBe("connecting"));
    expect(valuesOf(await grantedLater(cache.get("sb")))).toEqual(["new"]);
  });

  it("an API that is gone is tried again and again, with pauses", async () => {
    api.put("sb", [wireGrant("A")]);
    await goLive();
    await cache.get("sb");
    await api.close();
    for (let i = 0; i < 6; i++) {
      await eventually(() => expect(time.pending).toBe(1));
      time.pass(10_000);
    }
    await api.listen();
    await eventually(() => {
      time.pass(10_000);
      expect(cache.state.stream).toBe("live");
    });
    expect((await cache.get("sb")).kind).toBe("grants");
  });

  it("an API without one is polled", async () => {
    api.hasChanges = false;
    api.put("sb", []);
    cache.start();
    await eventually(() => expect(cache.state.stream).toBe("absent"));
    await cache.get("sb");
    time.pass(ttlMs);
    await cache.get("sb");
    expect(api.asked).toHaveLength(2);
  });

  it("closing ends it at once, in every state", async () => {
    await goLive();
    await cache.close();
    expect(cache.state.stream).toBe("off");
    const held = gate();
    api.gate = held.promise;
    cache = makeCache();
    cache.start();
    await cache.close();
    held.open();
    cache = makeCache();
    await cache.close();
    expect(time.pending).toBe(0);
  });
});

describe("values that a sandbox had lately", () => {
  async function change(grants: WireGrant[]): Promise<SandboxGrants> {
    api.put("sb", grants);
    time.pass(ttlMs);
    return grantedLater(cache.get("sb"));
  }

  it("stay known for an hour after rotation", async () => {
    const grant = wireGrant("A", { value: "old" });
    await change([grant]);
    const rotated = await change([{ ...grant, value: "new" }]);
    expect(valuesOf(rotated)).toEqual(["new"]);
    expect(rotated.retired.map((each) => each.value.reveal().toString())).toEqual(["old"]);
    time.pass(retiredForMs - 1);
    expect((await grantedLater(cache.get("sb"))).retired).toHaveLength(1);
    const heard: GrantsAnswer[] = [];
    cache.onChange((_id, answer) => heard.push(answer));
    time.pass(1);
    const after = granted(cache.get("sb"));
    expect(after.retired).toHaveLength(0);
    expect(valuesOf(after)).toEqual(["new"]);
    expect(heard).toHaveLength(1);
    expect(granted(cache.get("sb"))).toBe(after);
  });

  it("stay known when the secret is detached, and leave when it comes back", async () => {
    const [a, b] = [wireGrant("A"), wireGrant("B")];
    await change([a, b]);
    expect((await change([a])).retired.map((each) => each.name)).toEqual(["B"]);
    expect((await change([a, b])).retired).toEqual([]);
  });

  it("are forgotten in time although confirmed answers stay the same", async () => {
    const grant = wireGrant("A", { value: "old" });
    await change([grant]);
    await change([{ ...grant, value: "new" }]);
    time.pass(retiredForMs + ttlMs);
    expect((await grantedLater(cache.get("sb"))).retired).toEqual([]);
  });

  it("come back with a sandbox that was gone for a moment", async () => {
    await change([wireGrant("A", { value: "old" })]);
    api.sandboxes.delete("sb");
    time.pass(ttlMs);
    expect((await cache.get("sb")).kind).toBe("unknown-sandbox");
    const back = await change([]);
    expect(back.retired.map((each) => each.value.reveal().toString())).toEqual(["old"]);
  });
});

describe("memory", () => {
  it("keeps nothing that was made of the grants of a sandbox that is gone", async () => {
    api.put("sb", [wireGrant("A")]);
    const made = new WeakRef(await grantedLater(cache.get("sb")));
    api.sandboxes.delete("sb");
    time.pass(ttlMs);
    expect((await cache.get("sb")).kind).toBe("unknown-sandbox");
    await collectGarbage();
    expect(made.deref()).toBeUndefined();
  });

  it("of what sandboxes had that are gone is bounded by size", async () => {
    cache = makeCache({ maxCacheBytes: 32 * 1024 });
    for (const id of ["a", "b", "c"]) {
      api.put(id, [wireGrant("A", { value: "v".repeat(4000) })]);
      await cache.get(id);
      api.sandboxes.delete(id);
      time.pass(ttlMs);
      expect((await cache.get(id)).kind).toBe("unknown-sandbox");
    }
    time.pass(ttlMs);
    const retired: number[] = [];
    for (const id of ["a", "c"]) {
      api.put(id, []);
      retired.push((await grantedLater(cache.get(id))).retired.length);
    }
    expect(retired).toEqual([0, 1]);
  });

  it("is bounded by number and by size; what fell out is fetched again", async () => {
    cache = makeCache({ maxSandboxes: 2 });
    for (const id of ["a", "b", "c"]) {
      api.put(id, []);
      await cache.get(id);
    }
    expect(cache.state.sandboxes).toBe(2);
    await cache.get("a");
    expect(api.asked).toHaveLength(4);

    cache = makeCache({ maxCacheBytes: 8 * 1024 });
    for (const id of ["a", "b", "c"]) {
      api.put(id, [wireGrant("A", { value: "v".repeat(4000) })]);
      await cache.get(id);
    }
    expect(cache.state.sandboxes).toBe(1);
  });
});

describe("source addresses", () => {
  it("belong to the sandbox with the longest prefix", async () => {
    api.put("wide", [], { sources: ["10.0.0.0/8"] });
    api.put("one", [], { sources: ["10.0.0.5", "2001:db8::/64"] });
    expect(await cache.sandboxForAddress("10.0.0.5")).toEqual({ kind: "sandbox", sandboxId: "one" });
    expect(cache.sandboxForAddress("10.0.0.6")).toEqual({ kind: "sandbox", sandboxId: "wide" });
    expect(cache.sandboxForAddress("::ffff:10.0.0.5")).toEqual({ kind: "sandbox", sandboxId: "one" });
    expect(cache.sandboxForAddress("2001:db8::17")).toEqual({ kind: "sandbox", sandboxId: "one" });
    expect(cache.sandboxForAddress("192.0.2.1")).toEqual({ kind: "unknown-source" });
    expect(cache.sandboxForAddress("nonsense")).toEqual({ kind: "unknown-source" });
    expect(api.asked).toEqual(["/api/egress/sources"]);
  });

  it("that moved are asked for anew once the change was heard", async () => {
    api.put("a", [], { sources: ["10.0.0.5"] });
    await goLive();
    await cache.sandboxForAddress("10.0.0.5");
    api.put("a", [], { sources: [], silent: true });
    api.put("b", [], { sources: ["10.0.0.5"], silent: true });
    api.change(["a", "b"], true);
    await eventually(() => expect(cache.sandboxForAddress("10.0.0.5")).toBeInstanceOf(Promise));
    expect(await cache.sandboxForAddress("10.0.0.5")).toEqual({ kind: "sandbox", sandboxId: "b" });
  });

  it("are nobody's while the API was never heard", async () => {
    breakApi(500);
    expect(await cache.sandboxForAddress("10.0.0.5")).toMatchObject({ kind: "unavailable" });
  });
});
