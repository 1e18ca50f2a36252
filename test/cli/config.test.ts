import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { settingKeys } from "../../src/config/settings.ts";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
let file: string;
beforeAll(() => {
  bench = makeWorkbench();
  file = join(bench.env.HOME ?? "", "keyswap.yaml");
});
afterAll(() => bench[Symbol.asyncDispose]());

test("config check accepts what is right and tells all faults of what is not", async () => {
  writeFileSync(file, "note: on\nworkspace: 1\n");
  const wrong = await bench.run(["config", "check", "--config", file, "--buffer-bytes", "none"]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("2 faults");
  expect(wrong.stderr).toContain("workspace in");
  expect(wrong.stderr).toContain("--buffer-bytes");
  writeFileSync(file, "note: on\n");
  const right = await bench.run(["config", "check", "--config", file]);
  expect([right.code, right.stdout]).toEqual([0, expect.stringContaining("keyswap start is in order")]);
});

test("config check knows what a command needs", async () => {
  const { code, stderr } = await bench.run(["config", "check", "--for", "proxy"]);
  expect(code).toBe(2);
  expect(stderr).toContain("KEYSWAP_SECRET_API_URL");
});

test("config show tells values and their origin, and no secret", async () => {
  const key = "never-to-be-seen-0123456789";
  const env = { KEYSWAP_PROXY_KEY: key, KEYSWAP_UPSTREAM_PROXY: "http://me:hush-hush@127.0.0.1:3128" };
  writeFileSync(file, "egress-allow: [a.example, b.example]\n");
  const { code, stdout } = await bench.run(["config", "show", "--json", "--config", file, "--note", "on"], { env });
  expect(code).toBe(0);
  const shown = JSON.parse(stdout);
  expect(Object.keys(shown)).toHaveLength(settingKeys.length);
  expect(shown).toMatchObject({
    note: { value: "on", from: "--note" },
    "data-dir": { value: bench.dataDir, from: "KEYSWAP_DATA_DIR" },
    "egress-allow": { value: "a.example,b.example", from: `egress-allow in ${file}` },
    "proxy-key": { value: "[secret proxy-key]", from: "KEYSWAP_PROXY_KEY" },
    "upstream-proxy": { value: "[secret upstream-proxy]" },
    "cache-ttl-ms": { value: "15000", from: "default" },
    "sandbox-id": { value: null, from: "default" },
  });
  const table = await bench.run(["config", "show", "--config", file], { env });
  expect(table.stdout).toMatch(/^egress-allow +a\.example,b\.example +egress-allow in /m);
  for (const text of [stdout, table.stdout])
    for (const hidden of [key, "hush-hush"]) expect(text).not.toContain(hidden);
});

test("config schema describes every key of the file", async () => {
  const { code, stdout } = await bench.run(["config", "schema"]);
  expect(code).toBe(0);
  const schema = JSON.parse(stdout);
  expect(schema).toMatchObject({ type: "object", additionalProperties: false });
  expect(schema.properties).toMatchObject({
    "on-violation": { type: "string", enum: ["pass", "block"], default: "pass" },
    "proxy-key-file": { type: "string" },
    "egress-allow": { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
    "proxy-listen": { type: "string" },
  });
  for (const property of Object.values(schema.properties)) expect(property).toHaveProperty("description");
});
