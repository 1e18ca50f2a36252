// The manifests in deploy/: each document against Kubernetes' own schemas, by its models. The compiler refuses fields that do not exist, which
// the schemas let pass; the schemas check what types cannot say. What documents say of each other is checked here.

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import * as apps from "kubernetes-models/apps/v1";
import * as autoscaling from "kubernetes-models/autoscaling/v2";
import * as networking from "kubernetes-models/networking.k8s.io/v1";
import * as policy from "kubernetes-models/policy/v1";
import * as core from "kubernetes-models/v1";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { settingKeys, settingOf, variableName } from "../../src/config/settings.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = join(root, "deploy/kubernetes");

interface Manifest {
  readonly file: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // biome-ignore lint/suspicious/noExplicitAny: documents of any kind; the schemas say what is in them.
  readonly [key: string]: any;
}

function readAll(name: string): Manifest[] {
  return parseAllDocuments(readFileSync(join(folder, name), "utf8")).map((document) => {
    expect(document.errors).toEqual([]);
    return { ...(document.toJS() as Manifest), file: name };
  });
}

const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".yaml"));
const all = files.flatMap(readAll);
const manifests = all.filter(({ kind }) => kind !== "Kustomization");

/** By apiVersion: the module and its exports. */
const modules: Readonly<Record<string, readonly [string, Readonly<Record<string, unknown>>]>> = {
  v1: ["kubernetes-models/v1", core],
  "apps/v1": ["kubernetes-models/apps/v1", apps],
  "autoscaling/v2": ["kubernetes-models/autoscaling/v2", autoscaling],
  "policy/v1": ["kubernetes-models/policy/v1", policy],
  "networking.k8s.io/v1": ["kubernetes-models/networking.k8s.io/v1", networking],
};

const withoutFile = ({ file: _, ...manifest }: Manifest) => manifest;

test("there are manifests of every kind that a gateway needs", () => {
  const kinds = new Set(manifests.map(({ kind }) => kind));
  for (const kind of ["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"]) {
    expect(kinds).toContain(kind);
  }
});

test.each(manifests.map((manifest) => [`${manifest.file}: ${manifest.kind} ${manifest.metadata.name}`, manifest]))(
  "%s holds to Kubernetes' schema",
  (_, manifest) => {
    const Model = modules[manifest.apiVersion]?.[1][manifest.kind] as
      | (new (
          data: object,
        ) => { validate(): void })
      | undefined;
    expect(Model, `${manifest.apiVersion} ${manifest.kind}`).toBeDefined();
    new Model!(withoutFile(manifest)).validate();
  },
);

/** What the compiler says of these documents as literals of their types. */
async function compile(documents: readonly Manifest[]): Promise<string> {
  const output = join(root, "test-output");
  mkdirSync(output, { recursive: true });
  const work = mkdtempSync(join(output, "manifests-"));
  try {
    const lines = documents.map((manifest, index) => {
      const [module] = modules[manifest.apiVersion] ?? [];
      const type = `import("${module}").I${manifest.kind}`;
      return `export const document${index}: ${type} = ${JSON.stringify(withoutFile(manifest))};`;
    });
    writeFileSync(join(work, "documents.ts"), lines.join("\n"));
    const options = { strict: true, noEmit: true, module: "nodenext", target: "esnext", skipLibCheck: true, types: [] };
    writeFileSync(join(work, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["documents.ts"] }));
    const compiler = join(root, "node_modules/.bin/tsc");
    return await promisify(execFile)(compiler, ["-p", work]).then(
      () => "",
      (error: { stdout?: string }) => error.stdout ?? "failed",
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

test("no document has a field that does not exist", async () => {
  expect(await compile(manifests)).toBe("");
  const deployment = manifests.find(({ kind }) => kind === "Deployment")!;
  const mistyped = structuredClone(deployment);
  mistyped.spec.template.spec.containers[0].readinessProb = {};
  expect(await compile([mistyped])).toContain("readinessProb");
});

const podSpecs = manifests
  .filter(({ kind }) => kind === "Deployment")
  .map(({ file, spec }) => ({ file, ...spec.template.spec }));
const containers = podSpecs.flatMap((spec) => [...(spec.initContainers ?? []), ...spec.containers]);
const keyswaps = containers.filter(({ image }) => image === "keyswap");

test("every keyswap runs without root, writes to volumes alone, and is configured by settings that exist", () => {
  expect(keyswaps.length).toBeGreaterThanOrEqual(3);
  const variables = new Set(
    settingKeys.flatMap((key) => {
      const name = variableName(key);
      return settingOf(key).confidential === undefined ? [name] : [name, `${name}_FILE`];
    }),
  );
  for (const { securityContext, env } of keyswaps) {
    expect(securityContext).toMatchObject({
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
    });
    for (const { name } of env) expect([...variables]).toContain(name);
  }
  for (const { securityContext } of podSpecs) expect(securityContext.runAsNonRoot).toBe(true);
});

test("volumes that are mounted are there; the CA's key is in no application's container", () => {
  for (const spec of podSpecs) {
    const names = new Set(spec.volumes.map(({ name }: { name: string }) => name));
    for (const { volumeMounts = [] } of [...(spec.initContainers ?? []), ...spec.containers]) {
      for (const { name } of volumeMounts) expect(names).toContain(name);
    }
    const secrets = spec.volumes.filter(
      (volume: { secret?: { secretName: string } }) => volume.secret?.secretName === "keyswap-ca",
    );
    for (const { volumeMounts = [], image } of [...(spec.initContainers ?? []), ...spec.containers]) {
      const mounted = volumeMounts.map(({ name }: { name: string }) => name);
      if (image !== "keyswap") for (const { name } of secrets) expect(mounted).not.toContain(name);
    }
  }
});

test("selectors find their pods, ports their containers", () => {
  const labelled = manifests.filter(({ kind }) => kind === "Deployment").map(({ spec }) => spec.template);
  for (const { kind, spec, metadata } of manifests) {
    if (kind !== "Service" && kind !== "PodDisruptionBudget") continue;
    const wanted: Record<string, string> = kind === "Service" ? spec.selector : spec.selector.matchLabels;
    const found = labelled.filter(({ metadata: { labels } }) =>
      Object.entries(wanted).every(([name, value]) => labels[name] === value),
    );
    expect(found, metadata.name).toHaveLength(1);
    if (kind !== "Service") continue;
    const ports = found[0].spec.containers.flatMap(
      (container: { ports?: { name: string }[] }) => container.ports ?? [],
    );
    for (const { targetPort } of spec.ports)
      expect(ports).toContainEqual(expect.objectContaining({ name: targetPort }));
  }
  for (const { kind, spec } of manifests) {
    if (kind === "HorizontalPodAutoscaler") {
      const { scaleTargetRef } = spec;
      expect(manifests.map(({ metadata }) => metadata.name)).toContain(scaleTargetRef.name);
    }
  }
});

test("what kustomizations name is there, and everything is named", () => {
  for (const { file, kind, resources } of all) {
    if (kind !== "Kustomization") continue;
    const place = join(folder, file, "..");
    const there = readdirSync(place).filter((name) => name !== "kustomization.yaml");
    expect(resources.toSorted()).toEqual(there.toSorted());
  }
});

test("a sandbox may go to the gateway's proxy port and nowhere else", () => {
  const [sandboxes] = manifests.filter(({ metadata }) => metadata.name === "keyswap-only");
  expect(sandboxes?.spec.policyTypes).toContain("Egress");
  expect(sandboxes?.spec.egress).toHaveLength(1);
  const [rule] = sandboxes?.spec.egress ?? [];
  expect(rule.ports).toEqual([{ protocol: "TCP", port: 8080 }]);
  expect(rule.to).toHaveLength(1);
});
