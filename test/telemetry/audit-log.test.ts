import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RefusalEvent } from "../../src/core/audit.ts";
import { AuditFile, type AuditWriter } from "../../src/telemetry/audit-file.ts";
import { AuditLog, openAuditLog } from "../../src/telemetry/audit-log.ts";

let folder: string;
let reports: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-audit-"));
  reports = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const clock = () => Date.UTC(2026, 0, 1);
const report = (message: string) => void reports.push(message);

function event(id: string): RefusalEvent {
  return {
    type: "refusal",
    time: "2026-01-01T00:00:00.000Z",
    id,
    sandbox: "s",
    way: "connect",
    authority: "h:1",
    error: "internal",
  };
}

function linesOf(path: string): { type: string; id?: string; count?: number }[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** Waits for a condition, at most about ten seconds. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1_000 && !condition(); turn++) await new Promise((done) => setTimeout(done, 10));
  expect(condition()).toBe(true);
}

/** Collects what is written; fails or stalls on command. */
class ScriptedWriter implements AuditWriter {
  written = "";
  failure: Error | undefined;
  /** Most bytes taken by one write. */
  step = Number.POSITIVE_INFINITY;
  gate: Promise<void> = Promise.resolve();
  batches = 0;

  async prepare(): Promise<void> {
    this.batches += 1;
    await this.gate;
  }
  async writeSome(bytes: Buffer): Promise<number> {
    if (this.failure !== undefined) throw this.failure;
    const part = bytes.subarray(0, this.step);
    this.written += part.toString();
    return part.length;
  }
  async close(): Promise<void> {}
}

function ids(text: string): (string | undefined)[] {
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { id?: string }).id);
}

describe("a file", () => {
  test("receives every event in order, is private, and its folder is made", async () => {
    const path = join(folder, "deep", "audit.jsonl");
    const log = await openAuditLog({ target: { kind: "file", path }, clock, report });
    const wanted = Array.from({ length: 1_000 }, (_, index) => `${index}`);
    for (const id of wanted) log.record(event(id));
    await log.close();
    expect(linesOf(path).map(({ id }) => id)).toEqual(wanted);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(log.dropped).toBe(0);
    expect(reports).toEqual([]);
  });

  test("is written without close, soon", async () => {
    const path = join(folder, "audit.jsonl");
    const log = await openAuditLog({ target: { kind: "file", path }, clock, report });
    log.record(event("one"));
    await until(() => linesOf(path).length === 1);
    log.record(event("two"));
    await until(() => linesOf(path).length === 2);
    await log.close();
  });

  test("is appended to by the next start", async () => {
    const path = join(folder, "audit.jsonl");
    for (const id of ["one", "two"]) {
      const log = await openAuditLog({ target: { kind: "file", path }, clock, report });
      log.record(event(id));
      await log.close();
    }
    expect(linesOf(path).map(({ id }) => id)).toEqual(["one", "two"]);
  });

  test("that ends in half a line gets it ended, and no event is a part of it", async () => {
    const path = join(folder, "audit.jsonl");
    const half = '{"type":"refusal","id":"ha';
    writeFileSync(path, half);
    for (const id of ["a", "b"]) {
      const log = await openAuditLog({ target: { kind: "file", path }, clock, report });
      log.record(event(id));
      await log.close();
    }
    const [first, ...others] = readFileSync(path, "utf8").split(/(?<=\n)/);
    expect(first).toBe(`${half}\n`);
    expect(ids(others.join(""))).toEqual(["a", "b"]);
    // Where nothing is recorded nothing is written.
    writeFileSync(path, half);
    await (await openAuditLog({ target: { kind: "file", path }, clock, report })).close();
    expect(readFileSync(path, "utf8")).toBe(half);
  });

  test("that is opened anew within a line goes on there", async () => {
    const path = join(folder, "audit.jsonl");
    const file = await AuditFile.open({ path, maxBytes: 1_000, keptFiles: 1, clock });
    expect(await file.writeSome(Buffer.from("first half"))).toBe(10);
    await file.close();
    expect(await file.writeSome(Buffer.from(", second half\n"))).toBe(14);
    await file.close();
    expect(readFileSync(path, "utf8")).toBe("first half, second half\n");
  });

  test("rotates by size and keeps so many old ones; no line is cut", async () => {
    const path = join(folder, "audit.jsonl");
    const log = await openAuditLog({ target: { kind: "file", path }, clock, report, maxBytes: 100_000, keptFiles: 2 });
    for (let index = 0; index < 4_000; index++) log.record(event(String(index)));
    await log.close();
    expect(readdirSync(folder).toSorted()).toEqual(["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]);
    const kept = ["audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"].flatMap((name) => linesOf(join(folder, name)));
    const first = 4_000 - kept.length;
    expect(kept.length).toBeLessThan(4_000);
    expect(kept.map(({ id }) => id)).toEqual(Array.from({ length: kept.length }, (_, index) => String(first + index)));
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(100_000);
  });

  test("is opened anew after somebody else moved it away", async () => {
    const path = join(folder, "audit.jsonl");
    let now = clock();
    const log = await openAuditLog({ target: { kind: "file", path }, clock: () => now, report });
    log.record(event("one"));
    await until(() => linesOf(path).length === 1);
    renameSync(path, `${path}.moved`);
    now += 5_000;
    log.record(event("two"));
    await log.close();
    expect(linesOf(`${path}.moved`).map(({ id }) => id)).toEqual(["one"]);
    expect(linesOf(path).map(({ id }) => id)).toEqual(["two"]);
  });

  test("that cannot be opened rejects with the system's error", async () => {
    const target = { kind: "file", path: folder } as const;
    await expect(openAuditLog({ target, clock, report })).rejects.toMatchObject({ code: "EISDIR" });
  });
});

describe.skipIf(process.platform === "win32")("a named pipe", () => {
  test("that is not read is neither waited for nor moved away, and every line comes once it is read", async () => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    // For both directions: opening it waits for nobody.
    const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const log = await openAuditLog({ target: { kind: "file", path }, clock, report, maxBytes: 40_000 });
    const wanted = Array.from({ length: 2_000 }, (_, index) => String(index));
    for (const id of wanted) log.record(event(id));
    let text = "";
    const block = Buffer.alloc(65_536);
    await until(() => {
      try {
        text += block.toString("latin1", 0, readSync(reader, block));
      } catch {
        // Nothing in it at present.
      }
      return text.split("\n").length > wanted.length;
    });
    await log.close();
    closeSync(reader);
    expect(ids(text)).toEqual(wanted);
    expect(readdirSync(folder)).toEqual(["pipe"]);
    expect(reports).toEqual([]);
  });

  test("that nobody reads is given up at the end", async () => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, constants.O_RDWR);
    const log = await openAuditLog({ target: { kind: "file", path }, clock, report });
    for (let index = 0; index < 2_000; index++) log.record(event(String(index)));
    await log.close();
    closeSync(reader);
    expect(reports).toEqual([`${log.dropped} audit events could not be written before the end`]);
    expect(log.dropped).toBeGreaterThan(0);
  });

  test("without a reader cannot be opened", async () => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    await expect(openAuditLog({ target: { kind: "file", path }, clock, report })).rejects.toMatchObject({
      code: "ENXIO",
    });
  });
});

describe("a writer that fails", () => {
  test("half-way through a line loses and repeats nothing once it works again", async () => {
    const writer = new ScriptedWriter();
    writer.step = 7;
    const log = new AuditLog(writer, { clock, report });
    let writes = 0;
    const writeSome = writer.writeSome.bind(writer);
    writer.writeSome = (bytes) => {
      writes += 1;
      return writes === 5 ? Promise.reject(new Error("ENOSPC")) : writeSome(bytes);
    };
    for (const id of ["a", "b", "c"]) log.record(event(id));
    await until(() => reports.length === 1);
    await until(() => ids(writer.written).length === 3);
    expect(ids(writer.written)).toEqual(["a", "b", "c"]);
    expect(reports).toEqual(["the audit log cannot be written", "the audit log is written again"]);
    await log.close();
  });

  test("is reported once however often it fails, and close gives up on it", async () => {
    const writer = new ScriptedWriter();
    writer.failure = new Error("EIO");
    const log = new AuditLog(writer, { clock, report });
    for (let index = 0; index < 1_000; index++) log.record(event(String(index)));
    await log.close();
    expect(reports.filter((message) => message === "the audit log cannot be written")).toHaveLength(1);
    // Some in the block that failed, the others behind it.
    expect(log.dropped).toBe(1_000);
    expect(writer.written).toBe("");
  });
});

test("a writer that never comes back is given up at the end, and what it holds counts as lost", async () => {
  const writer = new ScriptedWriter();
  let free: () => void = () => {};
  writer.gate = new Promise((done) => {
    free = done;
  });
  const log = new AuditLog(writer, { clock, report });
  for (const id of ["a", "b"]) log.record(event(id));
  await until(() => writer.batches === 1);
  log.record(event("c"));
  await log.close();
  expect(log.dropped).toBe(3);
  expect(reports).toEqual(["3 audit events could not be written before the end"]);
  free();
  await new Promise(setImmediate);
  expect(writer.written).toBe("");
});

test("a full queue drops, counts, and writes the count", async () => {
  const writer = new ScriptedWriter();
  let open: () => void = () => {};
  writer.gate = new Promise((resolve) => {
    open = resolve;
  });
  const log = new AuditLog(writer, { clock, report, maxQueued: 10 });
  for (let index = 0; index < 25; index++) log.record(event(String(index)));
  expect(log.dropped).toBe(15);
  open();
  await log.close();
  const lines = writer.written.trimEnd().split("\n");
  expect(lines).toHaveLength(11);
  expect(JSON.parse(lines[10]!)).toEqual({ type: "dropped", time: "2026-01-01T00:00:00.000Z", count: 15 });
});

test("what comes while something is written waits, and is written together", async () => {
  const writer = new ScriptedWriter();
  const log = new AuditLog(writer, { clock, report });
  // Each batch finds another line that came meanwhile, as under load.
  let recorded = 0;
  let goesOn = true;
  const { prepare } = writer;
  writer.prepare = async () => {
    if (goesOn) log.record(event(String(recorded++)));
    await prepare.call(writer);
  };
  log.record(event("first"));
  await until(() => writer.batches > 0);
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  expect(writer.batches).toBe(1);
  await until(() => writer.batches > 1);
  goesOn = false;
  await log.close();
  expect(ids(writer.written)).toEqual(["first", ...Array.from({ length: recorded }, (_, index) => String(index))]);
});

test("events after close are dropped and counted", async () => {
  const writer = new ScriptedWriter();
  const log = new AuditLog(writer, { clock, report });
  await log.close();
  log.record(event("late"));
  expect(log.dropped).toBe(1);
  expect(writer.written).toBe("");
});

test("switched off, it takes events and writes nothing", async () => {
  const log = await openAuditLog({ target: { kind: "off" }, clock, report });
  log.record(event("x"));
  await log.close();
  expect(log.dropped).toBe(0);
});
