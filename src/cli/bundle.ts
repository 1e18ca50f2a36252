// The bundle: keyswap as a few files instead of hundreds of modules, made by tools/bundle.ts and run by a service while it is
// what the sources say. Half of a start was finding and linking modules one by one, and each holds memory as long as the
// process lives.
//
// Invariant: what was changed runs. With one source or installed package that is not as it was, the sources run themselves.

import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
/** Goes with the packages: it holds them. Each bundle is a folder below. */
export const bundlesFolder = join(root, "node_modules/.cache/keyswap-service");
export const manifestFile = join(bundlesFolder, "sources.json");

export interface BundleManifest {
  /** The bundle's name below `bundlesFolder`. */
  readonly folder: string;
  /** Files that it was made of, below the clone's folder, each with its stamp. */
  readonly sources: Readonly<Record<string, string>>;
}

/** Differs where the file was written since. Throws where there is none. */
export function stampOf(path: string): string {
  const { size, mtimeMs } = statSync(join(root, path));
  return `${size} ${mtimeMs}`;
}

/** The last bundle that was made, current or not. */
export function readManifest(): BundleManifest | undefined {
  try {
    // Written by tools/bundle.ts.
    return JSON.parse(readFileSync(manifestFile, "utf8")) as BundleManifest;
  } catch {
    return undefined;
  }
}

/** The bundle's first file; undefined where there is none of the sources as they are now. */
export function currentBundle(): string | undefined {
  const manifest = readManifest();
  if (manifest === undefined) return undefined;
  try {
    const isCurrent = Object.entries(manifest.sources).every(([path, stamp]) => stampOf(path) === stamp);
    return isCurrent ? join(bundlesFolder, manifest.folder, "main.js") : undefined;
  } catch {
    return undefined;
  }
}
