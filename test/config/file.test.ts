// What is said of a configuration file that is not well-formed: where and why, and nothing of its text but setting names.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseYaml, readConfigFile } from "../../src/config/file.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-config-file-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function problemOf(source: string): Promise<string> {
  const path = join(folder, "keyswap.yaml");
  writeFileSync(path, source);
  const outcome = await readConfigFile(path);
  return outcome.kind === "fault" ? outcome.fault.problem : "";
}

describe("a file that is not well-formed", () => {
  test.each([
    // The end of the file is where its last line ends.
    ['note: on\napi-key: "hunter2\n', /a closing quote.* is missing.* \(line 2, column 18\)$/],
    ["note: on\negress-allow: [hunter2\n\n\n", /bracket or brace is not closed \(line 2, column 23\)$/],
    ["note: on\nhunter2: 1\nnote: off\n", /the key note stands there twice \(line 3, column 1\)$/],
    ['{"api-key-file": "a", "api-key-file": "b"}', /the key api-key-file stands there twice/],
    ["hunter2: 1\nhunter2: 2\n", /a key stands there twice \(line 2, column 1\)$/],
    ["api-key: *hunter2\n", /begins with \* .*quotes/],
    ["note: on\nproxy-listen 127.0.0.1:1\n", /colon and blank after a key \(line 2, column 1\)$/],
    ["note: hunter2: off\n", /quotes/],
    ["note:\n\t- hunter2\n", /tab/],
    ["api-key: @hunter2\n", /quotes/],
  ])("%j: %s", async (source, wanted) => {
    const problem = await problemOf(source);
    expect(problem).toMatch(/^is not well-formed YAML or JSON: /);
    expect(problem).toMatch(wanted);
    expect(problem).not.toMatch(/hunter2|[A-Z]_[A-Z]/);
  });

  test("of other contents shows none of its keys", async () => {
    expect(await parseYaml("note: 1\nnote: 2\n")).toMatchObject({ problem: expect.stringContaining("a key stands") });
  });
});
