// http-proxy with node:https on both sides, in a process of its own: what a proxy made of the usual packages costs. It
// replaces the placeholder in header values, ends TLS with a fixed certificate, and checks nothing. Started by peers.ts.

import { Agent, createServer } from "node:https";
import type { AddressInfo } from "node:net";
import httpProxy from "http-proxy";
import { hostName, type ProxySetup } from "./scenario.ts";

// Whoever started it is gone.
process.once("disconnect", () => process.exit());
process.once("message", ({ cert, key, ca, port, placeholder, secret }: ProxySetup) => {
  const agent = new Agent({ keepAlive: true, ca, servername: hostName, maxFreeSockets: 256 });
  const proxy = httpProxy.createProxyServer({ target: `https://127.0.0.1:${port}`, agent, secure: true });
  proxy.on("error", (_error, _request, response) => response.destroy());
  const server = createServer({ cert, key, noDelay: true }, (request, response) => {
    for (const [name, value] of Object.entries(request.headers)) {
      if (typeof value === "string") request.headers[name] = value.replaceAll(placeholder, secret);
    }
    proxy.web(request, response);
  });
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
});
