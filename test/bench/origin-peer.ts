// The destination of the benchmark, in a process of its own. Answers whether the real credential reached it, so that a
// run in which nothing was substituted cannot pass for a fast one. Started by peers.ts.

import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { downloadBytes, type OriginSetup, secretValue } from "./scenario.ts";

const block = Buffer.alloc(64 * 1024, '{"line":"a line of text as answers have them","n":12345},');

// Whoever started it is gone.
process.once("disconnect", () => process.exit());
process.once("message", ({ cert, key }: OriginSetup) => {
  const server = createServer({ cert, key, noDelay: true }, (request, response) => {
    const header = isReal(request.headers.authorization ?? "");
    if (request.url === "/download") {
      response.writeHead(200, { "content-type": "application/json", "content-length": downloadBytes, "x-saw": header });
      let left = downloadBytes;
      const write = (): void => {
        while (left > 0) {
          left -= block.length;
          if (!response.write(block)) break;
        }
        if (left > 0) response.once("drain", write);
        else response.end();
      };
      write();
      return;
    }
    let bytes = 0;
    let last = "";
    request.on("data", (part: Buffer) => {
      bytes += part.length;
      last = (last + part.toString("latin1", Math.max(0, part.length - 200))).slice(-200);
    });
    request.on("end", () => {
      const body = JSON.stringify({ header, body: isReal(last), bytes, pad: "x".repeat(120) });
      response
        .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) })
        .end(body);
    });
  });
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
});

function isReal(text: string): "real" | "other" {
  return text.includes(secretValue) ? "real" : "other";
}
