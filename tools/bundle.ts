// Makes the bundle that services run (src/cli/bundle.ts): `npm ci` does so in a clone, `npm run bundle` after a change.
//
// Each is a folder of its own, and the last one stays: a service may have started from it just now, and loads parts later.

import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import {
  type BundleManifest,
  bundlesFolder,
  currentBundle,
  manifestFile,
  readManifest,
  stampOf,
} from "../src/cli/bundle.ts";

const root = resolve(import.meta.dirname, "..");
/** Found by their names when a thread or a process is started, from the two that start them. */
const [starters, started] = [
  ["src/cli/api-thread.ts", "src/cli/workers.ts"],
  ["src/cli/api-worker.ts", "src/cli/worker.ts"],
];
/** What else it is made of: this file, and the one that is written when an installed package changes. */
const others = ["tools/bundle.ts", "node_modules/.package-lock.json"];
/** Fastify would load them for schemas and tests, of which there are none: a megabyte of text that nobody runs. */
const unused = ["@fastify/ajv-compiler", "@fastify/fast-json-stringify-compiler", "light-my-request"];
/** How far each of the bundle's files is below the clone's folder: all are in `cli`, as if they were commands. */
const upwards = "../../../../..";

const library = await import("rolldown").catch(() => undefined);
if (library === undefined) process.stdout.write("bundle: left out, the packages for development are not there\n");
else if (currentBundle() === undefined) await makeBundle(library);

async function makeBundle({ rolldown }: typeof import("rolldown")): Promise<void> {
  const last = readManifest()?.folder;
  const folder = Date.now().toString(36);
  const place = join(bundlesFolder, folder);
  const entries = [...starters, ...started].map((path) => [path.replace(/^src\/|\.ts$/g, ""), join(root, path)]);
  const bundle = await rolldown({
    input: { main: join(root, "src/main.ts"), ...Object.fromEntries(entries) },
    platform: "node",
    external: [/^node:/, ...unused],
    // Its warnings are about packages.
    logLevel: "silent",
    plugins: [{ name: "places", transform: placed }],
  });
  const { output } = await bundle.generate({
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "cli/[name].js",
    comments: false,
  });
  await bundle.close();
  const chunks = output.filter((file) => file.type === "chunk");
  if (chunks.some(({ fileName, code }) => !fileName.startsWith("cli/") && code.includes(upwards))) {
    throw new Error("bundle: the main file has taken in a module that looks for files beside itself");
  }
  mkdirSync(join(place, "cli"), { recursive: true });
  for (const { fileName, code } of chunks) writeFileSync(join(place, fileName), inAscii(code));
  // No other package.json is found from below node_modules.
  writeFileSync(join(place, "package.json"), '{ "type": "module" }\n');
  const sources = chunks
    .flatMap(({ moduleIds }) => moduleIds)
    .map((id) => relative(root, id))
    .filter((path) => path.startsWith("src/"));
  const stamps = Object.fromEntries([...sources, ...others].map((path) => [path, stampOf(path)]));
  const manifest: BundleManifest = { folder, sources: stamps };
  // The last of all, and at once: without it there is no bundle.
  writeFileSync(`${manifestFile}.new`, JSON.stringify(manifest));
  renameSync(`${manifestFile}.new`, manifestFile);
  // Compiled code is kept by a file's name: that of older ones is of no use.
  rmSync(join(root, "node_modules/.cache/keyswap"), { recursive: true, force: true });
  for (const { name } of readdirSync(bundlesFolder, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
    if (name !== folder && name !== last) rmSync(join(bundlesFolder, name), { recursive: true, force: true });
  }
}

/**
 * With one letter beyond Latin-1 the whole text of a file takes two bytes for each, as long as the process lives. Comments are
 * gone, so that what is left stands in literals, which know this escape (but for String.raw, of which there is none with such).
 */
function inAscii(code: string): string {
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A module that looks for files beside itself is told the place of its source. */
function placed(code: string, id: string): string | undefined {
  const path = relative(root, id);
  if (!path.startsWith("src/") || starters.includes(path) || !code.includes("import.meta.")) return undefined;
  const [files, urls] = ["node:path", "node:url"].map((name) => `process.getBuiltinModule("${name}")`);
  const own: Readonly<Record<string, string>> = {
    filename: `${files}.resolve(import.meta.dirname, "${upwards}/${path}")`,
    dirname: `${files}.resolve(import.meta.dirname, "${upwards}/${path}/..")`,
    url: `${urls}.pathToFileURL(${files}.resolve(import.meta.dirname, "${upwards}/${path}")).href`,
  };
  return code.replace(/\bimport\.meta\.(filename|dirname|url)\b/g, (whole, word: string) => own[word] ?? whole);
}
