// Programs that a test of the gateway runs inside of network namespaces:
//
//   origin CERT KEY        an HTTPS server on 127.0.0.1:443 and an HTTP server on 127.0.0.1:80 that tell what they are sent
//   outside ADDRESS        TCP on 22 and 443, UDP on 443: answers `outside` to whoever gets through
//   probe tcp|udp HOST PORT prints what comes back, `refused` or `silent`

import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer } from "node:net";

const [program, ...args] = process.argv.slice(2);
const probeTimeoutMs = 1500;

function say(word: string): void {
  process.stdout.write(`${word}\n`);
}

function tell(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  // Reversed, so that scrubbing does not find in the answer what was sent.
  const key = [...String(request.headers["x-key"])].reverse().join("");
  response
    .writeHead(200, { "content-type": "application/json" })
    .end(JSON.stringify({ host: request.headers.host, key }));
}

function origin(cert = "", key = ""): void {
  createHttpServer(tell).listen(80, "127.0.0.1", () => {
    createHttpsServer({ cert: readFileSync(cert), key: readFileSync(key) }, tell).listen(443, "127.0.0.1", () =>
      say("ready"),
    );
  });
}

function outside(address = ""): void {
  for (const port of [22, 443]) {
    createServer((socket) => {
      socket.on("error", () => {});
      socket.end("outside");
    }).listen(port, address);
  }
  const udp = createSocket("udp4");
  udp.on("message", (_bytes, peer) => udp.send("outside", peer.port, peer.address));
  udp.bind(443, address, () => say("ready"));
}

function probe(protocol = "", host = "", port = 0): void {
  const finish = (word: string): void => {
    say(word);
    process.exit(0);
  };
  setTimeout(() => finish("silent"), probeTimeoutMs);
  if (protocol === "tcp") {
    const socket = connect(port, host);
    socket.on("data", (bytes) => finish(bytes.toString("latin1")));
    socket.on("end", () => finish("closed"));
    socket.on("error", () => finish("refused"));
  } else {
    // Connected, so that a rejection is heard of.
    const socket = createSocket("udp4");
    socket.on("message", (bytes) => finish(bytes.toString("latin1")));
    socket.on("error", () => finish("refused"));
    socket.connect(port, host, () => socket.send("hello"));
  }
}

switch (program) {
  case "origin":
    origin(...args);
    break;
  case "outside":
    outside(...args);
    break;
  case "probe":
    probe(args[0], args[1], Number(args[2]));
    break;
  default:
    throw new Error(`unknown program: ${program}`);
}
