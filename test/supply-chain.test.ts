// What comes in with `npm ci`: exact, the same everywhere, and nothing that runs on the way in.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");

interface Locked {
  readonly version?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly integrity?: string;
}

const read = (name: string): unknown => JSON.parse(readFileSync(resolve(root, name), "utf8"));
// Both files' forms are npm's.
const manifest = read("package.json") as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};
const { packages } = read("package-lock.json") as { packages: Record<string, Locked> };

describe("the lock file", () => {
  const runtime = Object.entries(packages).filter(([path, entry]) => path.startsWith("node_modules/") && !entry.dev);

  it("has every dependency of the runtime", () => {
    const paths = runtime.map(([path]) => path);
    for (const name of Object.keys(manifest.dependencies)) expect(paths).toContain(`node_modules/${name}`);
  });

  it("lets nothing that is needed at run time run a script when it is installed", () => {
    expect(runtime.filter(([, entry]) => entry.hasInstallScript).map(([path]) => path)).toEqual([]);
  });

  it("pins each package by a hash of its content", () => {
    const unpinned = Object.entries(packages).filter(
      ([path, entry]) => path.startsWith("node_modules/") && !entry.link && !entry.integrity,
    );
    expect(unpinned.map(([path]) => path)).toEqual([]);
  });
});

it("dependencies are named by exact versions", () => {
  const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
  );
  expect(loose).toEqual([]);
});

it("npm run sbom writes CycloneDX with every dependency of the runtime", () => {
  const text = execFileSync("npm", ["run", "--silent", "sbom"], { cwd: root, encoding: "utf8" });
  // CycloneDX's form.
  const sbom = JSON.parse(text) as {
    bomFormat: string;
    components: { name: string; group?: string; version: string }[];
  };
  expect(sbom.bomFormat).toBe("CycloneDX");
  const names = sbom.components.map(({ name, group }) => (group === undefined ? name : `${group}/${name}`));
  for (const name of Object.keys(manifest.dependencies)) expect(names).toContain(name);
});
