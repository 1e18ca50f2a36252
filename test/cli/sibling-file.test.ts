import { expect, test } from "vitest";
import { siblingFile } from "../../src/cli/sibling-file.ts";

test.each([
  ["file:///a/src/cli/workers.ts", "file:///a/src/cli/worker.ts"],
  ["file:///a.b/dist/cli/workers.js", "file:///a.b/dist/cli/worker.js"],
  ["file:///a/chunk-5f.js", "file:///a/worker.js"],
])("beside %s", (from, wanted) => {
  expect(siblingFile(from, "worker").href).toBe(wanted);
});
