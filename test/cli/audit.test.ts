// `keyswap audit`: both sources, their filters, and following them.

import { appendFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
beforeAll(async () => {
  bench = makeWorkbench();
  await bench.start(["api"]);
});
afterAll(() => bench[Symbol.asyncDispose]());

async function audit(...args: string[]) {
  const { code, stdout, stderr } = await bench.runHere(["audit", "--json", ...args]);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout.trim() === ""
    ? []
    : stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
}

describe("of changes", () => {
  beforeAll(async () => {
    for (const name of ["ONE", "TWO", "THREE"]) {
      await bench.runHere(["secret", "create", name, "--host", "a.example", "--value-stdin"], { input: "hunter2" });
    }
    await bench.runHere(["secret", "update", "ONE", "--value-stdin", "--host", "b.example"], {
      input: "hunter2 again",
    });
    await bench.runHere(["secret", "delete", "THREE"]);
  });

  test("lists who did what, oldest first, the latest so many, and never a value", async () => {
    const all = await audit();
    expect(all.map(({ action, targetName }) => `${action} ${targetName}`)).toEqual([
      "secret.create ONE",
      "secret.create TWO",
      "secret.create THREE",
      "secret.update ONE",
      "secret.delete THREE",
    ]);
    expect((await audit("--limit", "2")).map(({ action }) => action)).toEqual(["secret.update", "secret.delete"]);
    const { stdout } = await bench.runHere(["audit"]);
    expect(stdout).toMatch(/Z {2}bootstrap {2}secret\.update {2}ONE {2}.*b\.example/);
    expect(stdout + JSON.stringify(all)).not.toContain("hunter2");
  });

  test("filters by action, target and time", async () => {
    expect(await audit("--action", "secret.create")).toHaveLength(3);
    const [first] = await audit("--action", "secret.update");
    expect((await audit("--target", first.targetId)).map(({ action }) => action)).toEqual([
      "secret.create",
      "secret.update",
    ]);
    expect(await audit("--from", "1h")).toHaveLength(5);
    expect(await audit("--to", "1h")).toEqual([]);
    expect(await audit("--from", first.time, "--action", "secret.create")).toEqual([]);
  });

  test("follows what comes", async () => {
    const following = bench.launch(["audit", "--follow", "--limit", "1", "--json"]);
    await following.firstLine();
    await bench.runHere(["secret", "create", "FOLLOWED", "--host", "a.example", "--value-stdin"], { input: "hunter2" });
    await vi.waitFor(() => expect(following.stdout().trim().split("\n")).toHaveLength(2), { timeout: 15_000 });
    expect(following.stdout()).toContain('"FOLLOWED"');
    following.child.kill("SIGINT");
    await following.ended;
  });
});

describe("of exchanges", () => {
  const path = () => join(bench.dataDir, "audit.jsonl");
  const exchange = (at: number, more: object = {}) => ({
    type: "exchange",
    time: new Date(Date.UTC(2026, 0, 1, 0, at)).toISOString(),
    id: String(at),
    sandbox: "box",
    way: "connect",
    authority: "api.example.com:443",
    protocol: "h2",
    method: "GET",
    path: `/${at}`,
    status: 200,
    requestBytes: 0,
    responseBytes: 2,
    durationMs: 1,
    substituted: [],
    notSubstituted: [],
    scrubbed: [],
    ...more,
  });
  const used = { substituted: [{ secret: "OPENAI", surface: "header" }] };
  const withheld = { notSubstituted: [{ secret: "OPENAI", surface: "header", reason: "host-not-allowed" }] };
  const lines = (...events: object[]) => events.map((event) => `${JSON.stringify(event)}\n`).join("");
  const ids = (events: { id: string }[]) => events.map(({ id }) => id);

  beforeEach(() => {
    mkdirSync(bench.dataDir, { recursive: true, mode: 0o700 });
    writeFileSync(`${path()}.2`, lines(exchange(1, used), exchange(2)));
    writeFileSync(
      `${path()}.1`,
      lines(exchange(3, { ...withheld, authority: "evil.example:443" }), exchange(4, { sandbox: "other" })),
    );
    // A crash left half a line.
    writeFileSync(
      path(),
      `${lines(exchange(5, { error: "egress-denied" }))}{"type":"exch\n${lines({ type: "tunnel", time: exchange(6).time, id: "6", sandbox: "box", way: "connect", authority: "t.example:443", reason: "host-not-granted", sentBytes: 1, receivedBytes: 1, durationMs: 1 })}`,
    );
  });

  test("lists the latest through rotated files, oldest first", async () => {
    expect(ids(await audit("--of", "exchanges"))).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(ids(await audit("--of", "exchanges", "--limit", "3"))).toEqual(["4", "5", "6"]);
  });

  test.each([
    [
      ["--secret", "OPENAI"],
      ["1", "3"],
    ],
    [["--sandbox", "other"], ["4"]],
    [["--host", "evil.example"], ["3"]],
    [["--host", "EVIL.example:443"], ["3"]],
    [["--host", "evil.example:8443"], []],
    [
      ["--host", "*.example.com:443", "--limit", "2"],
      ["4", "5"],
    ],
    [
      ["--host", "*.example"],
      ["3", "6"],
    ],
    [["--host", "*.evil.example"], ["3"]],
    [
      ["--outcome", "withheld", "--outcome", "tunnelled"],
      ["3", "6"],
    ],
    [["--outcome", "refused"], ["5"]],
    [
      ["--from", "2026-01-01T00:03:00Z", "--to", "2026-01-01T00:05:00Z"],
      ["3", "4"],
    ],
    [["--secret", "OPENAI", "--limit", "1"], ["3"]],
  ])("filters by %j", async (filters, wanted) => {
    expect(ids(await audit("--of", "exchanges", ...filters))).toEqual(wanted);
  });

  test("a sandbox is meant by its id, and by its name where a keyswap runs that knows it", async () => {
    const of = (...args: string[]) => bench.runHere(["audit", "--of", "exchanges", "--json", "--sandbox", ...args]);
    const { stdout } = await bench.runHere(["sandbox", "create", "--name", "agent", "--json"]);
    const { id } = JSON.parse(stdout) as { id: string };
    appendFileSync(path(), lines(exchange(7, { sandbox: id })));
    for (const wanted of [id, "agent"]) {
      const found = await of(wanted);
      expect([wanted, found.code, found.stderr, JSON.parse(found.stdout).id]).toEqual([wanted, 0, "", "7"]);
    }
    const unknown = await of("agnet");
    expect([unknown.code, unknown.stdout]).toEqual([0, ""]);
    expect(unknown.stderr).toMatch(/^keyswap: note: there is no sandbox called "agnet", nor .* with this id/);
    // Nobody can be asked: only ids are known.
    const alone = await of("agent", "--audit", path(), "--data-dir", join(bench.env.HOME!, "elsewhere"));
    expect([alone.code, alone.stdout]).toEqual([0, ""]);
    expect(alone.stderr).toMatch(/^keyswap: note: no exchange is of a sandbox with the id "agent".*names/);
  });

  test("says in words what was decided", async () => {
    const { stdout } = await bench.runHere(["audit", "--of", "exchanges", "--secret", "OPENAI"]);
    expect(stdout).toContain("substituted  box  GET api.example.com:443/1 200  OPENAI was written into a header\n");
    expect(stdout).toContain("host evil.example is not on OPENAI's list");
  });

  test("follows new lines through a rotation, each once, and only those that match", async () => {
    const following = bench.launch(["audit", "--of", "exchanges", "--follow", "--json", "--sandbox", "box"]);
    await following.firstLine();
    const seen = () =>
      ids(
        following
          .stdout()
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line)),
      );
    const half = lines(exchange(7));
    appendFileSync(path(), half.slice(0, 20));
    appendFileSync(path(), half.slice(20) + lines(exchange(8, { sandbox: "other" })));
    await vi.waitFor(() => expect(seen().at(-1)).toBe("7"), { timeout: 15_000 });
    appendFileSync(path(), lines(exchange(9)));
    renameSync(path(), `${path()}.1`);
    writeFileSync(path(), lines(exchange(10)));
    await vi.waitFor(() => expect(seen().at(-1)).toBe("10"), { timeout: 15_000 });
    appendFileSync(path(), lines(exchange(11)));
    await vi.waitFor(() => expect(seen()).toEqual(["1", "2", "3", "5", "6", "7", "9", "10", "11"]), {
      timeout: 15_000,
    });
    following.child.kill("SIGINT");
    await following.ended;
  });

  test("says what is wrong", async () => {
    const run = (...args: string[]) => bench.runHere(["audit", ...args]);
    for (const [args, part] of [
      [["--of", "everything"], "changes or exchanges"],
      [["--secret", "X"], "--of exchanges"],
      [["--of", "exchanges", "--action", "x"], "--of changes"],
      [["--of", "exchanges", "--outcome", "good"], "withheld"],
      [["--of", "exchanges", "--host", "https://a.example"], "--host: remove the scheme"],
      [["--action", "secret.updated"], "secret.update,"],
      [["--limit", "0"], "--limit"],
      [["--from", "yesterday"], "15m"],
      [["--follow", "--to", "1h"], "--to"],
      [["--of", "exchanges", "--audit", "off"], "KEYSWAP_AUDIT"],
    ] as const) {
      const { code, stdout, stderr } = await run(...args);
      expect([code, stdout], stderr).toEqual([2, ""]);
      expect(stderr).toContain(part);
    }
    const missing = await run("--of", "exchanges", "--audit", join(bench.env.HOME!, "none.jsonl"));
    expect([missing.code, missing.stderr.includes("KEYSWAP_AUDIT")]).toEqual([1, true]);
  });
});
