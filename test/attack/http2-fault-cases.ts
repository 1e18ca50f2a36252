// HTTP/2 that breaks off at any byte, on either side: no half message passes for whole, nothing mixes with what follows.

import { encodeFields, encodeFrame, flag, frameType, Http2Wire } from "../support/http2-frames.ts";
import { startRawOrigin } from "../support/raw-origin.ts";
import { exchange, intercepted } from "./ways.ts";
import { type AttackCase, goodHost, holds, same, type World } from "./world.ts";

const answer = Buffer.concat([
  encodeFrame(frameType.headers, flag.endHeaders, 1, encodeFields([[":status", "200"]])),
  encodeFrame(frameType.data, 0, 1, "wh"),
  encodeFrame(frameType.data, flag.endStream, 1, "ole"),
]);

const request = Buffer.concat([
  encodeFrame(
    frameType.headers,
    flag.endHeaders,
    1,
    encodeFields([
      [":method", "POST"],
      [":scheme", "https"],
      [":authority", goodHost],
      [":path", "/cut-upload"],
      ["content-length", "5"],
    ]),
  ),
  encodeFrame(frameType.data, 0, 1, "wh"),
  encodeFrame(frameType.data, flag.endStream, 1, "ole"),
]);

async function armed(world: World) {
  return world.sandbox([await world.secret("a value amid broken frames", [goodHost])]);
}

export const http2FaultCases: readonly AttackCase[] = [
  {
    name: `an upstream of HTTP/2 that breaks off at each of the ${answer.length} bytes of an answer: none passes for whole but the whole one`,
    run: async (world) => {
      const sandbox = await armed(world);
      for (let length = 0; length <= answer.length; length++) {
        const options = { pki: world.pki, names: [goodHost], alpn: ["h2"] };
        const origin = await startRawOrigin(options, async ({ socket }) => {
          socket.removeAllListeners("data");
          const wire = new Http2Wire(socket, "server");
          await wire.frame(frameType.headers);
          socket.write(answer.subarray(0, length), () => {
            // With and without TLS's own farewell (close_notify).
            if (length % 2 === 0) socket.destroy();
            else socket.end();
          });
        });
        const client = await intercepted(world, sandbox, goodHost, origin.port);
        const { status, body } = await exchange(client, `GET /${length} HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`);
        client.close();
        await origin.close();
        if (status === 200) holds(length === answer.length && body === "whole", `byte ${length}: ${status} ${body}`);
        else holds(status === undefined || status === 502, `byte ${length}: ${status}`);
      }
    },
  },
  {
    name: `a client of HTTP/2 that aborts at each of the ${request.length} bytes of an upload: none arrives whole`,
    run: async (world) => {
      const sandbox = await armed(world);
      for (let length = 0; length < request.length; length++) {
        const client = await intercepted(world, sandbox, goodHost, world.good.port, { alpn: ["h2"] });
        client.socket.removeAllListeners("data");
        const wire = new Http2Wire(client.socket, "client");
        await new Promise((resolve) => wire.socket.write(request.subarray(0, length), resolve));
        if (length % 2 === 0) client.close();
        else client.socket.end();
      }
      const next = await intercepted(world, sandbox, goodHost, world.good.port);
      const { body } = await exchange(next, `GET /after HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`);
      next.close();
      holds(body.startsWith("GET /after "), "the next answer is not its own");
      same(world.good.requests.filter((text) => text.startsWith("POST /cut-upload")).length, 0, "whole uploads");
    },
  },
];
