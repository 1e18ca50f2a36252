// Makes dist/ for publishing and the image: JavaScript and types, since Node does not strip types under node_modules.

import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const out = join(root, "dist");

// What an earlier build left would be published, too.
rmSync(out, { recursive: true, force: true });
const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
for (const args of [
  ["-p", join(root, "tsconfig.build.json")],
  // The console's modules are a browser's, with types of its own.
  ["-p", join(root, "src/console"), "--noEmit", "false"],
]) {
  const { status } = spawnSync(process.execPath, [compiler, ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
for (const file of ["index.html", "console.css", "icon.svg"]) {
  cpSync(join(root, "src/console", file), join(out, "console", file));
}

const main = join(out, "main.js");
if (!readFileSync(main, "utf8").startsWith("#!/usr/bin/env node\n")) {
  process.stderr.write(`${main} has lost its first line, without which it cannot be run as a command\n`);
  process.exit(1);
}
chmodSync(main, 0o755);
