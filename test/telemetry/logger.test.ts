import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SecretValue } from "../../src/core/secret-value.ts";
import { LogDestination } from "../../src/telemetry/log-destination.ts";
import { createLogging, describeError, type Logger } from "../../src/telemetry/logger.ts";
import { DescriptorParts, WholeWriter } from "../../src/telemetry/whole-writer.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-log-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function logged(level: "info" | "warn", write: (logger: Logger) => void): Promise<unknown[]> {
  const path = join(folder, `${Math.random()}.log`);
  const { logger, flush } = createLogging({
    level,
    destination: new LogDestination(new WholeWriter(new DescriptorParts(openSync(path, "w")))),
  });
  write(logger);
  await flush();
  return readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

test("lines are JSON with level, time and message; what is below the level is not there", async () => {
  const lines = await logged("warn", (logger) => {
    logger.info("quiet");
    logger.warn({ host: "h" }, "loud");
  });
  expect(lines).toEqual([
    { level: "warn", time: expect.stringMatching(/^\d{4}-.*Z$/), pid: process.pid, host: "h", msg: "loud" },
  ]);
});

test("an error's own properties and a secret's value stay out", async () => {
  const error = Object.assign(new Error("failed", { cause: new Error("below") }), {
    code: "ECONNRESET",
    request: { headers: { authorization: "hunter2" } },
  });
  const lines = await logged("info", (logger) =>
    logger.info({ err: error, secret: new SecretValue("OPENAI", "hunter2") }, "x"),
  );
  expect(JSON.stringify(lines)).not.toContain("hunter2");
  expect(lines).toMatchObject([
    { err: { message: "failed", code: "ECONNRESET", cause: { message: "below" } }, secret: "[secret OPENAI]" },
  ]);
});

test("a chain of causes is cut, and what is no error is not shown", () => {
  let error = new Error("0");
  for (let depth = 1; depth < 50; depth++) error = new Error(String(depth), { cause: error });
  expect(JSON.stringify(describeError(error)).split('"type"').length - 1).toBe(5);
  expect(JSON.stringify(describeError("hunter2"))).not.toContain("hunter2");
});
