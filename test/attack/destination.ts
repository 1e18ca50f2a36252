// Promise: a value goes to its own hosts and nowhere else, however the destination is spelled.

import { connect as connectHttp2, constants } from "node:http2";
import { hello, helloBody, inRecords, serverName } from "../support/client-hello.ts";
import { askConnect, dial } from "../support/wire-client.ts";
import { spellingCases } from "./spelling-cases.ts";
import { attemptOf, exchange, intercepted } from "./ways.ts";
import {
  type AttackCase,
  evilHost,
  goodHost,
  holds,
  type Sandbox,
  type Secret,
  same,
  until,
  type World,
} from "./world.ts";

/** A sandbox with a secret for the good host, and one for `*.wild.test`. */
async function armed(world: World): Promise<{ sandbox: Sandbox; secret: Secret; wild: Secret }> {
  const secret = await world.secret("the-real-value-of-good", [goodHost]);
  const wild = await world.secret("the-real-value-of-wild", ["*.wild.test"]);
  return { sandbox: await world.sandbox([secret, wild]), secret, wild };
}

function bearing({ placeholder }: Secret, host: string, more = ""): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${placeholder}\r\n${more}\r\n`;
}

/** What a request with these pseudo-headers is answered in HTTP/2; 0 where the stream is reset. */
async function http2Status(world: World, headers: Readonly<Record<string, string>>): Promise<number> {
  const { sandbox, secret } = await armed(world);
  const tls = await intercepted(world, sandbox, goodHost, world.good.port, { alpn: ["h2"] });
  tls.socket.removeAllListeners("data");
  const session = connectHttp2(`https://${goodHost}`, { createConnection: () => tls.socket });
  session.on("error", () => {});
  const stream = session.request({ ":path": "/", authorization: `Bearer ${secret.placeholder}`, ...headers });
  const status = await new Promise<number>((resolve) => {
    stream.on("response", (fields) => resolve(Number(fields[constants.HTTP2_HEADER_STATUS])));
    stream.on("error", () => resolve(0));
    stream.on("close", () => resolve(0));
    stream.resume();
  });
  session.destroy();
  return status;
}

/** Spellings of the one granted host: the value may go out, and goes where it belongs. */
const sameHost: readonly string[] = ["API.GOOD.TEST", "api.good.test.", "Api.Good.Test.", "aPI.gOOD.tEST"];

/** CONNECT targets that are refused with 400, before anything is dialled. */
const refused: Readonly<Record<string, string>> = {
  "user information in front": `${goodHost}@${evilHost}:443`,
  "user information with a password": `a:b@${evilHost}:443`,
  "a fragment": `${evilHost}#${goodHost}:443`,
  "a query": `${evilHost}?${goodHost}:443`,
  "a path": `${evilHost}/${goodHost}:443`,
  "a backslash": `${evilHost}\\${goodHost}:443`,
  "a NUL": `${goodHost}\0.${evilHost}:443`,
  "a percent escape": `api%2egood.test:443`,
  "an escaped NUL": `${goodHost}%00.${evilHost}:443`,
  "a zone id": "[fe80::1%25lo]:443",
  "a zone id, not escaped": "[fe80::1%lo]:443",
  "a high byte": "api.g\xf6\xf6d.test:443",
  "a full-width full stop in UTF-8": "api\xef\xbc\x8egood.test:443",
  "a label of 64": `${"a".repeat(64)}.test:443`,
  "a name of 254": `${"a.".repeat(124)}a.test12:443`,
  "two dots": "api..good.test:443",
  "a leading dot": ".good.test:443",
  "two trailing dots": `${goodHost}..:443`,
  "a wildcard": "*.good.test:443",
  "punycode that is none": "xn--a.test:443",
  "five numbers": "1.2.3.4.5:443",
  "a number that is too large": "4294967296:443",
  "an octet of 256": "127.0.0.256:443",
  "port 0": `${goodHost}:0`,
  "a port of 65536": `${goodHost}:65536`,
  "two ports": `${goodHost}:443:80`,
  "a signed port": `${goodHost}:+443`,
  "no port": goodHost,
  "an empty host": ":443",
};

/** Names that look like granted ones: `pattern`'s value must not go to them. */
const lookalikes: readonly (readonly [name: string, of: "secret" | "wild"])[] = [
  ["evilwild.test", "wild"],
  ["wild.test.evil.test", "wild"],
  ["api.good.test.evil.test", "secret"],
  ["xn--pi-5ja.good.test", "secret"],
  [evilHost, "secret"],
];

export const cases: readonly AttackCase[] = [
  ...sameHost.map((spelling) => ({
    name: `CONNECT ${spelling} is the granted host`,
    run: async (world: World) => {
      const { sandbox, secret } = await armed(world);
      const client = await intercepted(world, sandbox, spelling, world.good.port, { serverName: goodHost });
      const { status } = await exchange(client, bearing(secret, spelling));
      client.close();
      same(status, 200, "status");
      holds(world.good.requests.at(-1)?.includes(secret.value) === true, "the value did not reach its host");
    },
  })),
  ...Object.entries(refused).map(([what, target]) => ({
    name: `CONNECT with ${what} is refused`,
    run: async (world: World) => {
      const { sandbox } = await armed(world);
      const before = world.dns.questions.length;
      const { answer, client } = await askConnect(world, target, sandbox.credentials);
      client.close();
      same(attemptOf(answer).status, 400, "status");
      same(world.dns.questions.length, before, "names asked");
    },
  })),
  ...Object.entries({ blank: " ", tab: "\t", CR: "\r", LF: "\n", CRLF: "\r\n" }).map(([what, text]) => ({
    name: `CONNECT with a ${what} inside is no request`,
    run: async (world: World) => {
      const { sandbox } = await armed(world);
      const client = await dial(world.port);
      const target = `${goodHost}${text}${evilHost}:443`;
      const line = `CONNECT ${target} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`;
      const { status } = await exchange(client, line);
      client.close();
      same(status, 400, "status");
    },
  })),
  ...lookalikes.map(([name, of]) => ({
    name: `${name} gets no value, by tunnel, with a Host that lies, or in plain`,
    run: async (world: World) => {
      const { sandbox, ...secrets } = await armed(world);
      const secret = secrets[of];
      const client = await intercepted(world, sandbox, name, world.evil.port);
      await exchange(client, bearing(secret, name));
      await exchange(client, bearing(secret, of === "wild" ? "wild.test" : goodHost));
      client.close();
      const plain = await dial(world.port);
      const url = `http://${name}:${world.evil.port}/`;
      await exchange(
        plain,
        `GET ${url} HTTP/1.1\r\nHost: ${name}:${world.evil.port}\r\nProxy-Authorization: ${sandbox.credentials}\r\nX-Key: ${secret.placeholder}\r\n\r\n`,
      );
      plain.close();
      world.assertUnseenByEvil(secret.value);
    },
  })),
  {
    name: "*.wild.test covers wild.test and what is below it",
    run: async (world) => {
      const { sandbox, wild } = await armed(world);
      for (const host of ["wild.test", "sub.wild.test"]) {
        const client = await intercepted(world, sandbox, host, world.good.port);
        same((await exchange(client, bearing(wild, host))).status, 200, host);
        client.close();
        holds(world.good.requests.at(-1)?.includes(wild.value) === true, `${host} got no value`);
      }
    },
  },
  ...Object.entries({
    "Host twice": `GET / HTTP/1.1\r\nHost: ${goodHost}\r\nHost: ${evilHost}\r\n\r\n`,
    "Host twice, alike": `GET / HTTP/1.1\r\nHost: ${goodHost}\r\nHost: ${goodHost}\r\n\r\n`,
    "no Host": "GET / HTTP/1.1\r\n\r\n",
    "an empty Host": "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "Host with user information": `GET / HTTP/1.1\r\nHost: ${goodHost}@${evilHost}\r\n\r\n`,
    "Host of another name": `GET / HTTP/1.1\r\nHost: ${evilHost}\r\n\r\n`,
    "Host with another port": `GET / HTTP/1.1\r\nHost: ${goodHost}:1\r\n\r\n`,
    "Host as a list": `GET / HTTP/1.1\r\nHost: ${goodHost}, ${evilHost}\r\n\r\n`,
    "a second Host behind a line feed": `GET / HTTP/1.1\r\nHost: ${goodHost}\nHost: ${evilHost}\r\n\r\n`,
    "an absolute-form target": `GET https://${evilHost}/ HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`,
    "CONNECT inside": `CONNECT ${evilHost}:443 HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`,
    "an authority as target": `GET //${evilHost} HTTP/1.1\r\nHost: ${evilHost}\r\n\r\n`,
    TRACE: `TRACE / HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`,
  }).map(([what, text]) => ({
    name: `on an intercepted connection ${what} is refused`,
    run: async (world: World) => {
      const { sandbox } = await armed(world);
      const before = world.good.requests.length;
      const client = await intercepted(world, sandbox, goodHost, world.good.port);
      const { status } = await exchange(client, text);
      client.close();
      holds(status !== undefined && [400, 405, 421].includes(status), `status ${status}`);
      same(world.good.requests.length, before, "requests at the origin");
    },
  })),
  {
    name: "an absolute-form target against its Host field: 421",
    run: async (world) => {
      const { sandbox } = await armed(world);
      const client = await dial(world.port);
      const head = `Host: ${goodHost}\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`;
      same((await exchange(client, `GET http://other.test/ HTTP/1.1\r\n${head}`)).status, 421, "status");
      client.close();
    },
  },
  ...Object.entries({
    "of another host": hello(serverName(evilHost)),
    "of two hosts": hello(serverName(goodHost, evilHost)),
    twice: hello(serverName(goodHost), serverName(evilHost)),
    "with a NUL": hello(serverName(`${goodHost}\0.${evilHost}`)),
    "with a high byte": hello(serverName("api.g\xf6od.test")),
    "that is empty": hello(serverName("")),
    "with a port": hello(serverName(`${goodHost}:443`)),
    "in many small records, of another host": inRecords(helloBody([serverName(evilHost)]), { recordBytes: 7 }),
  }).map(([what, bytes]) => ({
    name: `a server name ${what} is refused before anything is minted`,
    run: async (world: World) => {
      const { sandbox } = await armed(world);
      const { answer, client } = await askConnect(world, `${goodHost}:${world.good.port}`, sandbox.credentials);
      same(answer.status, 200, "CONNECT");
      client.send(bytes);
      const reply = Buffer.from(await client.closed(), "latin1");
      client.close();
      // An alert, or nothing; never a ServerHello (a handshake record).
      holds(reply.length === 0 || reply[0] === 21, `answered ${reply.subarray(0, 16).toString("hex")}`);
    },
  })),
  {
    name: "in HTTP/2 the granted host gets the value",
    run: async (world: World) => {
      same(await http2Status(world, { ":authority": goodHost }), 200, "status");
      holds(world.good.requests.at(-1)?.includes("the-real-value-of-good") === true, "no value at its host");
    },
  },
  ...Object.entries({
    ":authority of another host": { ":authority": evilHost },
    "host beside :authority that differs": { ":authority": goodHost, host: evilHost },
    "host alone, of another host": { host: evilHost },
    ":authority with user information": { ":authority": `${goodHost}@${evilHost}` },
    ":authority with another port": { ":authority": `${goodHost}:1` },
    ":scheme http": { ":authority": goodHost, ":scheme": "http" },
  }).map(([what, headers]) => ({
    name: `in HTTP/2 ${what} is refused`,
    run: async (world: World) => {
      const before = world.good.requests.length;
      const status = await http2Status(world, headers);
      // 0: the stream was reset.
      holds([0, 400, 421].includes(status), `status ${status}`);
      same(world.good.requests.length, before, "requests at the origin");
    },
  })),
  ...[
    "*.com",
    "*.co.uk",
    "*.org",
    "*",
    "*.",
    "**.good.test",
    "*good.test",
    "good.*",
    "api.*.test",
    "https://good.test",
    "good.test:443",
    "good.test/",
  ].map((pattern) => ({
    name: `a secret for ${pattern} is refused with 400`,
    run: async (world: World) => {
      const body = { name: "WIDE", value: "a value that is long enough", hosts: [pattern] };
      same((await world.api("POST", "/secret", body)).status, 400, "status");
    },
  })),
  ...["*.github.io", "*.s3.amazonaws.com"].map((pattern) => ({
    name: `a secret for ${pattern} is taken, with an audit entry that warns`,
    run: async (world: World) => {
      const { name } = await world.secret("a value for a private suffix", [pattern]);
      await until(async () => {
        const { text } = await world.api("GET", "/audit?limit=100");
        holds(text.includes(name) && text.includes("many owners"), "no warning in the audit");
      });
    },
  })),
  ...spellingCases,
];
