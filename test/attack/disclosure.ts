// Promise: a value is in nothing that keyswap writes, says or shows. A canary is sent through everything that could spill
// it, then every file, log, answer and page is searched for every form of it.

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { assertSubstitutes, exchange, intercepted } from "./ways.ts";
import { type AttackCase, goodHost, holds, inOwnWorld, same, until, type World } from "./world.ts";

/** Needs escaping in JSON, URLs and HTML alike. */
function makeCanary(): string {
  return `canary-${randomBytes(12).toString("base64url")}"/+&<é>%`;
}

/** Spelled by hand here, not by the code under test. */
function formsOf(value: string): ReadonlyMap<string, Buffer> {
  const bytes = Buffer.from(value, "utf8");
  const texts: Record<string, string> = {
    raw: value,
    json: JSON.stringify(value).slice(1, -1),
    "json, ASCII": JSON.stringify(value)
      .slice(1, -1)
      .replace(/[^ -~]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`),
    percent: encodeURIComponent(value),
    form: encodeURIComponent(value).replaceAll("%20", "+"),
    html: value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;"),
    hex: bytes.toString("hex"),
    HEX: bytes.toString("hex").toUpperCase(),
  };
  const forms = new Map(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text, "utf8")]));
  forms.set("latin1", Buffer.from(value, "latin1"));
  forms.set("utf16", Buffer.from(value, "utf16le"));
  for (const coding of ["base64", "base64url"] as const) {
    for (const offset of [0, 1, 2]) {
      const text = Buffer.concat([Buffer.alloc(offset), bytes])
        .toString(coding)
        .replace(/=+$/, "");
      // The first and last characters hold bits of what stands beside it.
      const core = text.slice(offset === 0 ? 0 : offset + 1, (bytes.length + offset) % 3 === 0 ? undefined : -1);
      forms.set(`${coding}, offset ${offset}`, Buffer.from(core));
    }
  }
  return forms;
}

function assertAbsent(forms: ReadonlyMap<string, Buffer>, bytes: Buffer, where: string): void {
  for (const [form, needle] of forms) holds(!bytes.includes(needle), `${where} holds the value (${form})`);
}

function* filesBelow(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}

interface Spilled {
  readonly forms: ReadonlyMap<string, Buffer>;
  /** Everything that clients of the proxy and of the API were answered. */
  readonly heard: readonly (readonly [what: string, bytes: Buffer])[];
}

let spilled: Promise<Spilled> | undefined;

/** Once for all cases: they look at different places. */
function spill(world: World): Promise<Spilled> {
  spilled ??= provoke(world);
  return spilled;
}

async function provoke(world: World): Promise<Spilled> {
  const value = makeCanary();
  const heard: (readonly [string, Buffer])[] = [];
  const secret = await world.secret(value, [goodHost], { description: "a canary" });
  const sandbox = await world.sandbox([secret]);
  const say = async (what: string, text: string): Promise<void> => {
    const client = await intercepted(world, sandbox, goodHost, world.good.port);
    const attempt = await exchange(client, text);
    heard.push([what, Buffer.from(JSON.stringify(attempt))], [what, Buffer.from(attempt.body, "latin1")]);
    client.close();
  };
  const head = (line: string, more: string) => `${line} HTTP/1.1\r\nHost: ${goodHost}\r\n${more}\r\n`;
  const { placeholder } = secret;
  const json = JSON.stringify({ key: placeholder });
  const post = (type: string, body: string) =>
    head("POST /", `Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n`) + body;
  await say("an echo of JSON", post("application/json", json));
  await say("an echo of a form", post("application/x-www-form-urlencoded", `key=${placeholder}`));
  await say("an echo of text", post("text/plain", placeholder));
  await say("an echo of a query", head(`GET /?key=${placeholder}`, ""));
  await say("an echo of a path", head(`GET /${placeholder}`, ""));
  await say("an echo of Basic", head("GET /", `Authorization: Basic ${btoa(`user:${placeholder}`)}\r\n`));
  // A header cannot hold what this value holds; then it goes out as it is, and says why.
  await say("a header", head("GET /", `X-Key: ${placeholder}\r\n`));
  await say(
    "a malformed body",
    `${head("POST /", "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n")}5\r\n${placeholder.slice(0, 5)}\r\nxx\r\n`,
  );
  // The origin breaks off in the middle of an answer that echoes, and answers garbage.
  for (const reply of [
    `HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${value}`,
    `${value}\r\n\r\n`,
    `HTTP/1.1 200 ${value}\r\n${value}: ${value}\r\n\r\n`,
  ]) {
    world.good.serve = async ({ wire, readRequest, socket }) => {
      await readRequest();
      wire.send(Buffer.from(reply, "utf8"));
      socket.end();
    };
    await say("an answer that breaks off", head(`GET /?key=${placeholder}`, ""));
    world.good.serve = undefined;
  }
  // The Secret API's own answers and complaints.
  const calls: readonly (readonly [string, string, unknown?])[] = [
    ["GET", "/secret"],
    ["GET", `/secret/${secret.id}`],
    ["POST", "/secret", { name: secret.name, value, hosts: [goodHost] }],
    ["POST", "/secret", { name: "1", value, hosts: [value] }],
    ["POST", "/secret", `{"name": "X", "value": ${JSON.stringify(value)}, `],
    ["POST", "/secret", { name: value, value: 5 }],
    ["PATCH", `/secret/${secret.id}`, { value, unknown: value }],
    ["GET", `/sandbox/${sandbox.id}`],
    ["GET", "/audit?limit=100"],
  ];
  for (const [method, path, body] of calls) {
    heard.push([`${method} ${path}`, Buffer.from((await world.api(method, path, body)).text)]);
  }
  const { api, admin } = world.keyswap.ready;
  for (const url of [
    api.replace(/\/api$/, "/"),
    `${api}/openapi.json`,
    `http://${admin}/metrics`,
    `http://${admin}/readyz`,
  ]) {
    heard.push([url, Buffer.from(await (await fetch(url)).arrayBuffer())]);
  }
  const listed = await world.bench.run(["secret", "list", "--json"]);
  heard.push(["keyswap secret list", Buffer.from(listed.stdout + listed.stderr)]);
  await until(() =>
    holds(
      world.audit().some((event) => event.sandbox === sandbox.id),
      "no audit yet",
    ),
  );
  return { forms: formsOf(value), heard };
}

export const cases: readonly AttackCase[] = [
  {
    name: "the value reaches its host (or the cases below would show nothing)",
    run: async (world) => {
      const { forms } = await spill(world);
      const raw = forms.get("raw");
      const json = forms.get("json");
      holds(raw !== undefined && json !== undefined, "no forms");
      holds(
        world.good.requests.some((text) => Buffer.from(text, "latin1").includes(json ?? "")),
        "it was never substituted",
      );
    },
  },
  {
    name: "no answer of the proxy, the API, the console, the metrics or the CLI holds it",
    run: async (world) => {
      const { forms, heard } = await spill(world);
      for (const [what, bytes] of heard) assertAbsent(forms, bytes, what);
    },
  },
  {
    name: "no file holds it: store, audit, keys, home",
    run: async (world) => {
      const { forms } = await spill(world);
      let count = 0;
      for (const path of filesBelow(join(world.bench.dataDir, ".."))) {
        assertAbsent(forms, readFileSync(path), path);
        count += 1;
      }
      holds(count >= 5, `only ${count} files were there`);
    },
  },
  {
    name: "the log holds it at no level",
    run: async (world) => {
      const { forms } = await spill(world);
      const log = world.keyswap.stderr();
      holds(log.includes('"level":'), "there is no log");
      assertAbsent(forms, Buffer.from(log), "the log");
    },
  },
  {
    name: "no sandbox's token is in a file or in the log: the store has its hash",
    run: async (world) => {
      const { token } = await world.sandbox([]);
      const forms = new Map([["raw", Buffer.from(token)]]);
      for (const path of filesBelow(join(world.bench.dataDir, ".."))) assertAbsent(forms, readFileSync(path), path);
      assertAbsent(forms, Buffer.from(world.keyswap.stderr()), "the log");
    },
  },
  {
    name: "the command line holds no key",
    run: async (world) => {
      const line = readFileSync(`/proc/${world.keyswap.pid}/cmdline`);
      assertAbsent(new Map([["raw", Buffer.from(world.apiKey)]]), line, "the command line");
    },
  },
  {
    name: "a core dump would hold no memory",
    run: async (world) => {
      const filter = readFileSync(`/proc/${world.keyswap.pid}/coredump_filter`, "utf8");
      same(Number.parseInt(filter, 16), 0, "coredump_filter");
    },
  },
  {
    name: "SIGUSR1 opens no debugger",
    run: async (world) => {
      process.kill(world.keyswap.pid, "SIGUSR1");
      same((await world.api("GET", "/secret?limit=1")).status, 200, "it goes on");
      await new Promise((resolve) => setTimeout(resolve, 300));
      holds(!world.keyswap.stderr().includes("Debugger"), "a debugger listens");
      const socket = connect(9229, "127.0.0.1");
      const inspector = await new Promise<boolean>((resolve) => {
        socket.once("error", () => resolve(false));
        socket.once("connect", () => resolve(true));
      });
      socket.destroy();
      holds(!inspector, "port 9229 is open");
    },
  },
  {
    name: "SIGUSR1 opens no debugger in a worker process either, and a core dump of one would hold no memory",
    run: () =>
      inOwnWorld(
        async (world) => {
          const { pid } = world.keyswap;
          const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
          same(workers.length, 2, "workers");
          for (const worker of workers) {
            same(Number.parseInt(readFileSync(`/proc/${worker}/coredump_filter`, "utf8"), 16), 0, "coredump_filter");
            process.kill(worker, "SIGUSR1");
          }
          await until(() => same(world.keyswap.stderr().split("SIGUSR1 opens no debugger").length, 3, "refusals"));
          holds(!world.keyswap.stderr().includes("Debugger"), "a debugger listens");
        },
        { KEYSWAP_WORKERS: "2" },
      ),
  },
  {
    name: "a command under `keyswap run` cannot open a debugger in it",
    run: async (world) => {
      const attack = "kill -USR1 $PPID; sleep 1; (exec 3<>/dev/tcp/127.0.0.1/9229) 2>&1 && echo opened";
      const { stdout, stderr } = await world.bench.run(["run", "--", "bash", "-c", attack]);
      holds(!`${stdout}${stderr}`.includes("Debugger"), "a debugger listens");
      holds(!stdout.includes("opened"), "port 9229 is open");
    },
  },
  {
    name: "the signal of --heapsnapshot-signal writes no heap",
    run: () =>
      inOwnWorld(
        async (world) => {
          const secret = await world.secret("a value in the heap", [goodHost]);
          const sandbox = await world.sandbox([secret]);
          await assertSubstitutes(world, sandbox, secret, "/before");
          process.kill(world.keyswap.pid, "SIGUSR2");
          await until(() => holds(world.keyswap.stderr().includes("no heap snapshot is written"), "it says nothing"));
          for (const path of filesBelow(join(world.bench.dataDir, ".."))) {
            holds(!path.endsWith(".heapsnapshot"), `${path} was written`);
          }
          await assertSubstitutes(world, sandbox, secret, "/after");
        },
        { NODE_OPTIONS: "--heapsnapshot-signal=SIGUSR2" },
      ),
  },
  {
    name: "key files are readable by their owner alone",
    run: async (world) => {
      const { statSync } = await import("node:fs");
      const paths = ["api-key", "proxy-key", "master-key", "keyswap.db"].map((name) => join(world.bench.dataDir, name));
      for (const path of [...paths, join(world.bench.certsDir, "ca-key.pem")]) {
        same(statSync(path).mode & 0o077, 0, path);
      }
    },
  },
];
