// One CA for many proxies: what one exports, another imports; a sandbox that trusts the one trusts the other.

import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { makePki } from "../support/pki.ts";
import { makeWorkbench } from "../support/workbench.ts";

test("two proxies serve under one CA after export and import; the API needs only its certificate", async () => {
  await using one = makeWorkbench();
  await using two = makeWorkbench();
  const first = await one.start(["start"]);
  const bundle = join(one.env.HOME!, "bundle.pem");
  const exported = await one.run(["ca", "export", "--output", bundle]);
  expect([exported.code, exported.stdout, exported.stderr]).toEqual([0, "", ""]);
  expect(statSync(bundle).mode & 0o777).toBe(0o600);
  const imported = await two.run(["ca", "import", bundle]);
  expect([imported.code, imported.stderr]).toEqual([0, ""]);
  // Again, and from stdin: the same CA is there already.
  expect((await two.run(["ca", "import"], { input: readFileSync(bundle) })).code).toBe(0);
  expect(statSync(join(two.certsDir, "ca-key.pem")).mode & 0o777).toBe(0o600);
  const second = await two.start(["start"]);
  expect(readFileSync(second.ready.ca)).toEqual(readFileSync(first.ready.ca));

  await using third = makeWorkbench();
  const certificate = (await one.run(["ca"])).stdout;
  mkdirSync(third.certsDir);
  writeFileSync(join(third.certsDir, "ca.pem"), certificate);
  const api = await third.start(["api"]);
  expect(await (await fetch(`${api.ready.api}/ca`)).text()).toBe(certificate);
});

test("as a Kubernetes Secret it holds the two files under their names", async () => {
  await using bench = makeWorkbench();
  await (await bench.start(["start"])).stop();
  const { stdout } = await bench.run(["ca", "export", "--kubernetes", "keyswap-ca"]);
  expect(parse(stdout)).toEqual({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "keyswap-ca" },
    type: "Opaque",
    stringData: Object.fromEntries(
      ["ca.pem", "ca-key.pem"].map((name) => [name, readFileSync(join(bench.certsDir, name), "utf8")]),
    ),
  });
  expect((await bench.run(["ca", "export", "--kubernetes", "Not A Name"])).code).toBe(2);
});

test("a CA is never replaced, a file never overwritten, and what is no CA is refused", async () => {
  await using bench = makeWorkbench();
  const none = await bench.run(["ca", "export"]);
  expect([none.code, none.stdout]).toEqual([1, ""]);
  expect(none.stderr).toContain("there is no CA");
  await (await bench.start(["start"])).stop();
  const before = readFileSync(join(bench.certsDir, "ca.pem"));

  const pki = makePki();
  const other = await bench.run(["ca", "import"], { input: pki.caPem + pki.caKeyPem });
  expect(other.code).toBe(1);
  expect(other.stderr).toContain("another CA");
  expect(readFileSync(join(bench.certsDir, "ca.pem"))).toEqual(before);

  const file = join(bench.env.HOME!, "there.pem");
  writeFileSync(file, "mine");
  expect((await bench.run(["ca", "export", "--output", file])).stderr).toContain("not overwritten");
  expect(readFileSync(file, "utf8")).toBe("mine");

  await using empty = makeWorkbench();
  const leaf = pki.issue(["a.example"]);
  for (const [input, problem] of [
    ["hello", "not what keyswap ca export writes"],
    [pki.caPem, "not what keyswap ca export writes"],
    [pki.caPem + makePki().caKeyPem, "does not belong to the key"],
    [leaf.certPem + leaf.keyPem, "not a CA's"],
  ] as const) {
    const { code, stderr } = await empty.run(["ca", "import"], { input });
    expect([code, stderr.includes(problem)], stderr).toEqual([2, true]);
    expect(stderr).not.toContain("BEGIN");
  }
  expect((await empty.run(["ca"])).code).toBe(1);
});
