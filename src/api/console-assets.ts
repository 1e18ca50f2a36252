// The console's files as a browser takes them. There is no bundle: its modules and the few of its packages are served as
// they are, types stripped by Node in a clone, compiled in the package; what is reachable from its main module, and nothing
// else. Imports are rewritten to addresses on this server, so the page needs no inline script.
//
//   index.html ─► main ─► modules of src/console and src/core, packages by name ─► one content hash ─► /assets/<hash>/…

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire, stripTypeScriptTypes } from "node:module";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

export interface Asset {
  readonly type: string;
  readonly plain: Buffer;
  readonly gzip: Buffer;
  readonly br: Buffer;
}

export interface ConsoleAssets {
  /** The page. Not to be cached without asking. */
  readonly index: Asset;
  readonly etag: string;
  /** By path below `/assets/`; may be cached for ever. */
  readonly files: ReadonlyMap<string, Asset>;
}

/** The module that stands for a package's name, and where the package is found: as a dependency of another one. */
const packages: Readonly<Record<string, { readonly main: string; readonly via?: string }>> = {
  lit: { main: "index.js" },
  "@lit/reactive-element": { main: "reactive-element.js", via: "lit" },
  "lit-element": { main: "index.js", via: "lit" },
  "lit-html": { main: "lit-html.js", via: "lit" },
  "eventsource-parser": { main: "dist/index.js" },
};

const here = fileURLToPath(import.meta.url);
/** `src` in a clone, `dist` in the package. */
const root = dirname(dirname(here));
const MAIN = "console/main.js";
const STATIC: Readonly<Record<string, string>> = {
  "console/console.css": "text/css; charset=utf-8",
  "console/icon.svg": "image/svg+xml",
};

let made: ConsoleAssets | undefined;

/** Made once, at the first call. Throws where the installation lacks files. */
export function consoleAssets(): ConsoleAssets {
  made ??= makeAssets();
  return made;
}

function makeAssets(): ConsoleAssets {
  const modules = collectModules();
  const statics = new Map(Object.keys(STATIC).map((path) => [path, readFileSync(join(root, path))]));
  const hash = createHash("sha256");
  for (const [path, text] of [...modules, ...statics]) hash.update(`${path}\0`).update(text).update("\0");
  const base = hash.digest("base64url").slice(0, 16);
  const files = new Map<string, Asset>();
  for (const [path, text] of modules) {
    files.set(`${base}/${path}`, asset("text/javascript; charset=utf-8", Buffer.from(placed(text, path), "utf8")));
  }
  for (const [path, bytes] of statics) files.set(`${base}/${path}`, asset(STATIC[path]!, bytes));
  const preloads = [...modules.keys()].map((path) => `<link rel="modulepreload" href="/assets/${base}/${path}" />`);
  const page = readFileSync(join(root, "console/index.html"), "utf8")
    .replaceAll("{assets}", `/assets/${base}`)
    .replace("{preloads}", preloads.join("\n    "));
  return { index: asset("text/html; charset=utf-8", Buffer.from(page, "utf8")), etag: `"${base}"`, files };
}

function asset(type: string, plain: Buffer): Asset {
  const br = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });
  return { type, plain, gzip: gzipSync(plain, { level: 6 }), br };
}

/** `from "…"`, `import "…"` and `import("…")`, as the formatter and the packages' minifier write them. */
const importPattern = /(\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'\n]+)\2/g;

/** The text of every module that the main one needs, by the path under which it is served. */
function collectModules(): ReadonlyMap<string, string> {
  const modules = new Map<string, string>();
  const pending = [MAIN];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (modules.has(path)) continue;
    const text = readModule(path);
    modules.set(path, text);
    for (const match of text.matchAll(importPattern)) {
      const target = resolveImport(match[3]!, path);
      if (target !== undefined) pending.push(target);
    }
  }
  return modules;
}

/** The text with each import as a path relative to where the module is served. */
function placed(text: string, path: string): string {
  return text.replace(importPattern, (whole, keyword: string, quote: string, specifier: string) => {
    const target = resolveImport(specifier, path);
    if (target === undefined) return whole;
    const relative = posix.relative(posix.dirname(path), target);
    return `${keyword}${quote}${relative.startsWith(".") ? relative : `./${relative}`}${quote}`;
  });
}

/** The served path of an import; undefined for what is none (a comment's words, say). */
function resolveImport(specifier: string, from: string): string | undefined {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier.replace(/\.ts$/, ".js"));
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const known = packages[name];
  if (known === undefined) return undefined;
  return specifier === name ? `${name}/${known.main}` : specifier;
}

function readModule(path: string): string {
  const name = Object.keys(packages).find((each) => path.startsWith(`${each}/`));
  if (name !== undefined) {
    const file = join(folderOf(name), path.slice(name.length + 1));
    return readFileSync(file, "utf8").replace(/^\/\/# sourceMappingURL=.*$/m, "");
  }
  const file = join(root, path);
  if (existsSync(file)) return readFileSync(file, "utf8");
  return stripTypes(readFileSync(file.replace(/\.js$/, ".ts"), "utf8"));
}

/**
 * Node warns once that this is experimental, in the middle of our log of JSON lines. It is what runs this very file in a
 * clone; the wrapping can go when Node calls it stable.
 */
function stripTypes(text: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}

const folders = new Map<string, string>();

/** The folder of an installed package. Its exports need not name its package.json. */
function folderOf(name: string): string {
  const known = folders.get(name);
  if (known !== undefined) return known;
  const via = packages[name]?.via;
  const require = createRequire(via === undefined ? here : join(folderOf(via), "index.js"));
  let folder = dirname(require.resolve(name));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  folders.set(name, folder);
  return folder;
}
