// The image without a container engine: its root file system is built by the Dockerfile's steps and run in namespaces.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";

const root = resolve(import.meta.dirname, "../..");

/** Why it is not run here; undefined where it is. */
function findObstacle(): string | undefined {
  if (process.env.KEYSWAP_TEST_IMAGE !== "1")
    return "takes a minute: KEYSWAP_TEST_IMAGE=1 runs it, as does npm run image:check";
  if (process.getuid?.() !== 0) return "needs root";
  const trial = spawnSync("unshare", ["--mount", "--net", "--pid", "--fork", "true"], { encoding: "utf8" });
  return trial.status === 0 ? undefined : "no namespaces here";
}

const obstacle = findObstacle();
test.skipIf(obstacle !== undefined)(
  `the image is small, runs read-only and without root, and answers its health check${obstacle === undefined ? "" : ` (${obstacle})`}`,
  { timeout: 300_000 },
  () => {
    const { status, stdout, stderr } = spawnSync(join(root, "deploy/image/check"), { encoding: "utf8" });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("health check       answered");
    expect(stdout).toContain("read-only, uid     65532");
  },
);

test("the Dockerfile's last stage has no shell to run anything with", () => {
  const text = readFileSync(join(root, "Dockerfile"), "utf8");
  const last = text.slice(text.lastIndexOf("\nFROM ")).trim();
  expect(last).toMatch(/^FROM scratch\n/);
  expect(last).not.toMatch(/^RUN /m);
  expect(last).toMatch(/^USER 65532:65532$/m);
  for (const word of ["HEALTHCHECK[^[]*", "ENTRYPOINT ", "CMD "]) expect(last).toMatch(new RegExp(`${word}\\[`));
});

test("the compose example gives the application the certificate alone, and no way out but keyswap", () => {
  const { services, networks } = parse(readFileSync(join(root, "deploy/compose/compose.yaml"), "utf8"));
  expect(services.keyswap).toMatchObject({ read_only: true, cap_drop: ["ALL"] });
  expect(services.app.networks).toEqual(["sandboxes"]);
  expect(networks.sandboxes).toEqual({ internal: true });
  expect(JSON.stringify(services.app.volumes)).not.toMatch(/certs|data/);
});
