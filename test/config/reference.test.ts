import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { writeReference } from "../../src/config/reference.ts";
import { settingKeys, variableName } from "../../src/config/settings.ts";

const document = readFileSync(resolve(import.meta.dirname, "../../docs/configuration.md"), "utf8");

test("docs/configuration.md is what the settings table says (npm run docs)", () => {
  expect(document).toBe(writeReference());
});

test("it names every variable", () => {
  for (const key of settingKeys) expect(document).toContain(`\`${variableName(key)}\``);
});

test("its example is a configuration", async () => {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-reference-"));
  try {
    const file = join(folder, "keyswap.yaml");
    writeFileSync(file, /```yaml\n([\s\S]*?)```/.exec(document)?.[1] ?? "missing");
    const config = await loadConfig({ command: "start", flags: new Map([["config", file]]), env: {} });
    expect(config.onViolation).toBe("block");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
