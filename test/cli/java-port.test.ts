import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openJavaPort } from "../../src/cli/java-port.ts";
import { curl } from "../support/curl.ts";

// What the port asks of keyswap: any proxy that takes CONNECT shows it.
let proxy: Server;
let seen: { target: string | undefined; authorization: string | undefined };
const proxyUrl = () => `http://id:to%20ken@127.0.0.1:${(proxy.address() as AddressInfo).port}`;

beforeAll(async () => {
  proxy = createServer();
  proxy.on("connect", (request, socket) => {
    seen = { target: request.url, authorization: request.headers["proxy-authorization"] };
    if (request.url?.startsWith("denied")) socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    else socket.end("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
});

afterAll(() => void proxy.close());

const isLinux = process.platform === "linux";
const note = isLinux ? "" : " (skipped: only Linux tells whose connection it is)";

test.skipIf(!isLinux)(`CONNECT goes on with the sandbox's credentials${note}`, async () => {
  await using java = await openJavaPort(proxyUrl());
  const outcome = await curl(["-p", "-x", `http://127.0.0.1:${java!.port}`, "http://api.example.com:81/"]);
  expect(outcome).toMatchObject({ code: 0, body: "hi" });
  const credentials = Buffer.from("id:to ken").toString("base64");
  expect(seen).toEqual({ target: "api.example.com:81", authorization: `Basic ${credentials}` });
});

test.skipIf(!isLinux)(`keyswap's refusal is passed on; all but CONNECT is refused${note}`, async () => {
  await using java = await openJavaPort(proxyUrl());
  const through = ["-x", `http://127.0.0.1:${java!.port}`, "-o", "/dev/null", "-w", "%{http_connect} %{http_code}"];
  expect((await curl([...through, "-p", "http://denied.example.com/"])).body).toBe("403 000");
  expect((await curl([...through, "http://api.example.com/"])).body).toBe("000 501");
});

const canChangeUser = isLinux && process.getuid?.() === 0 && spawnSync("setpriv", ["--version"]).status === 0;

test.skipIf(!canChangeUser)(
  `another user's program is refused${canChangeUser ? "" : " (skipped: needs root and setpriv)"}`,
  async () => {
    await using java = await openJavaPort(proxyUrl());
    const script = `exec 3<>/dev/tcp/127.0.0.1/${java!.port}; printf 'CONNECT a.example:443 HTTP/1.1\\r\\n\\r\\n' >&3; head -1 <&3`;
    const child = spawn("setpriv", ["--reuid=65534", "--clear-groups", "bash", "-c", script]);
    let told = "";
    for await (const part of child.stdout) told += String(part);
    expect(told).toMatch(/^HTTP\/1\.1 403 /);
  },
);
