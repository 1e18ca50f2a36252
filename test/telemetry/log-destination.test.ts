import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LogDestination } from "../../src/telemetry/log-destination.ts";
import { DescriptorParts, WholeWriter } from "../../src/telemetry/whole-writer.ts";

let folder: string;
let child: ChildProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-log-"));
});
afterEach(() => {
  child?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

test("writes every line in order; flush waits for the last", async () => {
  const path = join(folder, "log");
  const destination = new LogDestination(new WholeWriter(new DescriptorParts(openSync(path, "w"))));
  const lines = Array.from({ length: 500 }, (_, index) => `line ${index}\n`);
  for (const [index, line] of lines.entries()) {
    destination.write(line);
    if (index % 100 === 0) await new Promise((done) => setImmediate(done));
  }
  await destination.flush();
  expect(readFileSync(path, "utf8")).toBe(lines.join(""));
});

test("a line that comes just when the last one was written is written too", async () => {
  // Some turn of the microtask queue is the moment in which the writer stops.
  for (let turns = 0; turns < 20; turns++) {
    const written: string[] = [];
    const second = Promise.withResolvers<void>();
    const destination = new LogDestination(
      new WholeWriter({
        prepare: async () => {},
        writeSome: async (bytes) => {
          const isFirst = written.push(bytes.toString()) === 1;
          if (isFirst) void writeSecond();
          return bytes.length;
        },
      }),
    );
    const writeSecond = async () => {
      for (let turn = 0; turn < turns; turn++) await undefined;
      destination.write("second\n");
      second.resolve();
    };
    destination.write("first\n");
    await second.promise;
    await destination.flush();
    expect([turns, written.join("")]).toEqual([turns, "first\nsecond\n"]);
  }
});

test.skipIf(process.platform === "win32")("flush gives up what others have given to the same writer, too", async () => {
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const writer = new WholeWriter(new DescriptorParts(fd));
  // More than a pipe holds.
  const givenUp = expect(writer.write(Buffer.alloc(200_000))).rejects.toMatchObject({ code: "EAGAIN" });
  await new LogDestination(writer).flush();
  await givenUp;
  closeSync(fd);
  closeSync(reader);
});

test("gives up on a descriptor that is closed", async () => {
  const destination = new LogDestination(new WholeWriter(new DescriptorParts(1_000_000)));
  destination.write("x\n");
  await expect(destination.flush()).resolves.toBeUndefined();
});

test("a reader that stalls costs lines beyond the bound, not the process; the loss is written", async () => {
  const source = resolve(import.meta.dirname, "../../src/telemetry/stderr.ts");
  const script = `
    const { stderrLog: log } = await import(${JSON.stringify(source)});
    const line = "x".repeat(1023) + "\\n";
    for (let index = 0; index < 4000; index++) log.write(line);
    // Only reached, and said on another descriptor, if the loop still turns while stderr is not read.
    setTimeout(() => process.stdout.write("turning"), 50);
    process.stdin.once("data", async () => { log.write("last\\n"); process.exit(0); });
  `;
  child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "pipe" });
  const { stdin, stdout, stderr } = child as ChildProcess & {
    stdin: NodeJS.WritableStream;
    stdout: NodeJS.ReadableStream;
  };
  await new Promise((done) => stdout.once("data", done));
  let seen = "";
  stderr!.setEncoding("utf8");
  await new Promise<void>((done) => {
    stderr!.on("data", (part: string) => {
      seen += part;
      if (seen.includes("log lines were dropped")) done();
    });
  });
  stdin.write("end");
  const kept = seen.split("\n").filter((line) => line.startsWith("xxx")).length;
  expect(kept).toBeGreaterThan(500);
  expect(kept).toBeLessThan(4_000);
});

test("a reader that never comes back does not keep the process from ending", async () => {
  const source = resolve(import.meta.dirname, "../../src/telemetry/stderr.ts");
  // Touched, as the command does: Node then sets the pipe so that a write to it never waits.
  const script = `
    process.stderr;
    const { stderrLog: log } = await import(${JSON.stringify(source)});
    for (let index = 0; index < 500; index++) log.write("x".repeat(1023) + "\\n");
    await log.flush();
    log.write("after the end\\n");
    await log.flush();
  `;
  child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "pipe" });
  const { promise, resolve: done } = Promise.withResolvers<number | null>();
  child.on("exit", done);
  await expect(promise).resolves.toBe(0);
});
