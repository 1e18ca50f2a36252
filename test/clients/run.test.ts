// Real clients, each started by `keyswap run` alone: the value reaches the host, the client never sees it.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serveRepository } from "../support/git-origin.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";
import { makeWorkbench, type Outcome, type Workbench } from "../support/workbench.ts";

const VALUE = "hunter2/hunter2+hunter2";
/** Every client here leaves `*.localhost` out unless these are empty. */
const throughProxy = "unset NO_PROXY no_proxy;";

let bench: Workbench;
let origin: Origin;
let repositories: string;

beforeAll(async () => {
  const pki = makePki();
  repositories = mkdtempSync(join(tmpdir(), "keyswap-git-"));
  const serveGit = serveRepository(repositories, "me", VALUE);
  origin = await startOrigin({
    pki,
    names: ["api.localhost", "other.localhost"],
    handler: (request, response, seen) => {
      if (seen.url.startsWith("/repo.git")) serveGit(request, response, seen);
      else response.end(JSON.stringify({ told: seen.headers.authorization, body: seen.body.toString() }));
    },
  });
  bench = makeWorkbench({ KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8,::1" });
  const ca = join(bench.env.HOME!, "upstream-ca.pem");
  writeFileSync(ca, pki.caPem);
  Object.assign(bench.env, { KEYSWAP_UPSTREAM_CA: ca });
  const created = await bench.run(["secret", "create", "API", "--host", "api.localhost", "--value-stdin"], {
    input: `${VALUE}\n`,
  });
  expect(created.code).toBe(0);
});

afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  await origin.close();
  rmSync(repositories, { recursive: true, force: true });
});

function runSandboxed(script: string): Promise<Outcome> {
  return bench.run(["run", "--secret", "TOKEN=API", "--", "sh", "-c", `${throughProxy} ${script}`]);
}

/** The host saw the value; the client, which prints placeholder and answer, did not. */
function expectSwapped({ code, stdout, stderr }: Outcome): void {
  expect([code, stderr]).toEqual([0, ""]);
  expect(origin.last().headers.authorization).toBe(`Bearer ${VALUE}`);
  const [placeholder, answer] = stdout.trimEnd().split("\n");
  expect(placeholder).toMatch(/^dtn_secret_[a-z0-9]{25,}$/);
  expect(JSON.parse(answer ?? "")).toMatchObject({ told: `Bearer ${placeholder}` });
}

function missing(check: () => void): boolean {
  try {
    check();
    return false;
  } catch {
    return true;
  }
}

// Debian's Python, which has Debian's packages.
const python = "/usr/bin/python3";
const noPython = missing(() => statSync(python));
const noRequests = noPython || missing(() => execFileSync(python, ["-c", "import requests"], { stdio: "ignore" }));
const noJava = missing(() => execFileSync("javac", ["-version"], { stdio: "ignore" }));
const noGit = missing(() => execFileSync("git", ["--version"], { stdio: "ignore" }));

test("curl", async () => {
  expectSwapped(
    await runSandboxed(`echo $TOKEN; curl -sS -H "Authorization: Bearer $TOKEN" https://api.localhost:${origin.port}/`),
  );
});

test("curl posts a form and a JSON body", async () => {
  const url = `https://api.localhost:${origin.port}/`;
  const form = await runSandboxed(`curl -sS --data-urlencode "key=$TOKEN" ${url}`);
  expect(form.code).toBe(0);
  expect(origin.last().body.toString()).toBe(`key=${encodeURIComponent(VALUE)}`);
  const json = await runSandboxed(`curl -sS -H 'Content-Type: application/json' -d "{\\"key\\":\\"$TOKEN\\"}" ${url}`);
  expect(json.code).toBe(0);
  expect(JSON.parse(origin.last().body.toString())).toEqual({ key: VALUE });
  expect(form.stdout + json.stdout).not.toContain(VALUE);
});

test("Node's fetch", async () => {
  const script = `console.log(process.env.TOKEN);
    const answer = await fetch("https://api.localhost:${origin.port}/", { headers: { authorization: "Bearer " + process.env.TOKEN } });
    console.log(await answer.text());`;
  expectSwapped(await runSandboxed(`exec "${process.execPath}" --input-type=module -e '${script}'`));
});

test.skipIf(noPython)(`Python's urllib${noPython ? " (skipped: no /usr/bin/python3)" : ""}`, async () => {
  const script = `import os, urllib.request as u
print(os.environ["TOKEN"])
r = u.Request("https://api.localhost:${origin.port}/", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
print(u.urlopen(r).read().decode())`;
  expectSwapped(await runSandboxed(`exec ${python} -c '${script}'`));
});

test.skipIf(noRequests)(
  `Python's requests${noRequests ? " (skipped: python3-requests is not installed)" : ""}`,
  async () => {
    const script = `import os, requests
print(os.environ["TOKEN"])
r = requests.get("https://api.localhost:${origin.port}/", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
print(r.text)`;
    expectSwapped(await runSandboxed(`exec ${python} -c '${script}'`));
  },
);

describe.skipIf(noJava || process.platform !== "linux")(`Java${noJava ? " (skipped: no JDK)" : ""}`, () => {
  const clients = {
    URLConnection: `
    var connection = uri.toURL().openConnection();
    connection.setRequestProperty("Authorization", credentials);
    System.out.println(new String(connection.getInputStream().readAllBytes()));`,
    HttpClient: `
    var request = java.net.http.HttpRequest.newBuilder(uri).header("Authorization", credentials).build();
    var client = java.net.http.HttpClient.newHttpClient();
    System.out.println(client.send(request, java.net.http.HttpResponse.BodyHandlers.ofString()).body());`,
  };
  test.each(Object.entries(clients))("%s", async (name, code) => {
    const source = join(bench.env.HOME!, `${name}Test.java`);
    writeFileSync(
      source,
      `public class ${name}Test {
  public static void main(String[] args) throws Exception {
    var uri = java.net.URI.create("https://api.localhost:${origin.port}/");
    var credentials = "Bearer " + System.getenv("TOKEN");
    System.out.println(System.getenv("TOKEN"));${code}
  }
}`,
    );
    const outcome = await runSandboxed(`exec java ${source}`);
    // The JVM says on stderr which options it found.
    expect(outcome.stderr).toMatch(/^Picked up JAVA_TOOL_OPTIONS: [^\n]*\n$/);
    expectSwapped({ ...outcome, stderr: "" });
  });
});

test.skipIf(noGit)(`git with Basic credentials${noGit ? " (skipped: no git)" : ""}`, async () => {
  const helper = `credential.helper=!f() { echo username=me; echo "password=$TOKEN"; }; f`;
  const url = `https://api.localhost:${origin.port}/repo.git`;
  const listed = await runSandboxed(`git -c '${helper}' ls-remote ${url}`);
  expect([listed.code, listed.stderr]).toEqual([0, ""]);
  expect(listed.stdout).toMatch(/^[0-9a-f]{40}\tHEAD\n[0-9a-f]{40}\trefs\/heads\/main\n$/);
  const target = join(bench.env.HOME!, "clone");
  const cloned = await runSandboxed(`git -c '${helper}' clone -q ${url} ${target}`);
  expect([cloned.code, cloned.stderr]).toEqual([0, ""]);
  expect(readFileSync(join(target, "file.txt"), "utf8")).toBe("content\n".repeat(20_000));
  expect(readFileSync(join(target, ".git/config"), "utf8")).not.toContain(VALUE);
});

test("a host that is not on the list gets the placeholder, and the value is in no file that keyswap wrote", async () => {
  const outcome = await runSandboxed(
    `echo $TOKEN; curl -sS --cacert "$HOME/upstream-ca.pem" -H "Authorization: Bearer $TOKEN" https://other.localhost:${origin.port}/`,
  );
  expect(outcome.code).toBe(0);
  const [placeholder] = outcome.stdout.split("\n");
  expect(origin.last().headers.authorization).toBe(`Bearer ${placeholder}`);
  const files = readdirSync(bench.dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files.map((file) => file.name)).toContain("audit.jsonl");
  for (const file of files) {
    const bytes = readFileSync(join(file.parentPath, file.name));
    expect(bytes.includes(VALUE), file.name).toBe(false);
    expect(bytes.includes(Buffer.from(VALUE).toString("base64").slice(0, -4)), file.name).toBe(false);
  }
});
