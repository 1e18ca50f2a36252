import { readdirSync, readFileSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import { describe, expect, test } from "vitest";
import { findImports, findViolations, stripLiterals } from "./support/architecture.ts";

const root = resolve(import.meta.dirname, "..");

function readTree(): Map<string, string> {
  const tree = new Map<string, string>();
  for (const folder of ["src", "test"]) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
      const path = join(entry.parentPath, entry.name);
      tree.set(path.slice(root.length + 1).replaceAll(sep, "/"), readFileSync(path, "utf8"));
    }
  }
  return tree;
}

const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  dependencies: Record<string, string>;
};

test("the source tree keeps every rule", () => {
  const tree = readTree();
  expect([...tree.keys()]).toContain("src/core/errors.ts");
  expect(findViolations(tree, new Set(Object.keys(dependencies)))).toEqual([]);
});

/** A tree in which every rule is kept; a test adds what breaks one. */
function sound(changes: Record<string, string>): readonly string[] {
  const tree = new Map(
    Object.entries({
      "src/main.ts": 'import { run } from "./cli/run.ts";',
      "src/cli/run.ts": 'import { open } from "../proxy/open.ts"; const { x } = await import("../store/store.ts");',
      "src/proxy/open.ts":
        'import { createServer } from "node:net"; import { rule } from "../core/rule.ts"; import lib from "lib/sub";',
      "src/store/store.ts": "export const x = 1;",
      "src/core/rule.ts": 'import type { Word } from "./word.ts"; export const rule = new Date(0);',
      "src/core/word.ts": "export type Word = string;",
      "test/core/rule.test.ts": "",
      "test/core/word.test.ts": "",
      ...changes,
    }),
  );
  return findViolations(tree, new Set(["lib", "@scope/lib"]));
}

describe("a tree", () => {
  test("that keeps every rule has no violation", () => {
    expect(sound({})).toEqual([]);
  });

  test.each([
    ["another folder", "src/proxy/a.ts", 'import { x } from "../store/store.ts";', "proxy may import only core"],
    [
      "another folder's types",
      "src/proxy/a.ts",
      'import type { x } from "../store/store.ts";',
      "proxy may import only core",
    ],
    [
      "another folder, later",
      "src/proxy/a.ts",
      'const a = await import("../store/store.ts");',
      "proxy may import only core",
    ],
    [
      "another folder, to pass it on",
      "src/proxy/a.ts",
      'export * from "../store/store.ts";',
      "proxy may import only core",
    ],
    ["the command line", "src/store/a.ts", 'import "../cli/run.ts";', "store may import only core"],
    ["a folder from core", "src/core/word.ts", 'import { x } from "../store/store.ts";', "core may import only core"],
    ["a test", "src/cli/a.ts", 'import "../../test/core/rule.test.ts";', "outside src"],
    ["what is not there", "src/cli/a.ts", 'import "./b.ts";', "does not exist"],
    ["a package that is not declared", "src/cli/a.ts", 'import x from "other";', "no dependency"],
    [
      "a scoped package that is not declared",
      "src/cli/a.ts",
      'import x from "@scope/other/sub";',
      "@scope/other, which is no",
    ],
    ["a built-in module in core", "src/core/word.ts", 'import { join } from "node:path";', "no imports but its own"],
    ["a package in core", "src/core/word.ts", 'import lib from "lib";', "no imports but its own"],
  ])("that imports %s breaks a rule", (_, path, text, message) => {
    expect(sound({ [path]: text })).toEqual([expect.stringContaining(message)]);
  });

  test.each([
    "const now = Date.now();",
    "const now = new Date();",
    "const now = performance.now();",
    "const chance = Math.random();",
    "const id = crypto.randomUUID();",
    "export async function f() {}",
    "setTimeout(f, 1);",
    "const { env } = process;",
    "const answer = fetch(url);",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a template
    "const text = `at ${Date.now()}`;",
  ])("whose core says %j breaks a rule", (text) => {
    expect(sound({ "src/core/word.ts": text })).toEqual([expect.stringContaining("core is pure")]);
  });

  test.each([
    "// await Date.now()",
    "/* process.exit() */",
    'const text = "await fetch()";',
    'const pattern = /[/"]await/;',
    "const at = new Date(ms).getTime() / 1000; const half = at / 2;",
    "const part = message.process; const o = { process: 1 };",
    "const text = `await`;",
  ])("whose core says %j breaks none", (text) => {
    expect(sound({ "src/core/word.ts": text })).toEqual([]);
  });

  test("with a file of core that has no test breaks a rule", () => {
    expect(sound({ "src/core/room/new.ts": "" })).toEqual(["src/core/room/new.ts has no test/core/room/new.test.ts"]);
  });

  test("with a cycle breaks a rule, however long it is", () => {
    const changes = {
      "src/store/a.ts": 'import "./b.ts";',
      "src/store/b.ts": 'import type { C } from "./c.ts";',
      "src/store/c.ts": 'export { a } from "./a.ts";',
    };
    expect(sound(changes)).toEqual(["cycle: src/store/a.ts → src/store/b.ts → src/store/c.ts → src/store/a.ts"]);
  });
});

test("every form of import is found, and nothing else", () => {
  const text = [
    'import "./a.ts";',
    'import b from "./b.ts";',
    'import {\n  type C,\n  c as d,\n} from "./c.ts";',
    'import type * as d from "./d.ts";',
    'export * from "./e.ts";',
    'export { f, type G } from "./f.ts";',
    'const g = await import("./g.ts");',
    '// import "./comment.ts";',
    "const text = 'import \"./string.ts\"';",
    'const template = `\nimport "./template.ts";\n`;',
    'export const h = "./h.ts";',
    "const url = import.meta.url;",
  ].join("\n");
  expect(findImports(text).map(({ specifier }) => specifier)).toEqual(
    ["a", "b", "c", "d", "e", "f", "g"].map((name) => `./${name}.ts`),
  );
  expect(stripLiterals(text)).toHaveLength(text.length);
});
