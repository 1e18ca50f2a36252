// An HTTPS server that prints the credential each request brought, and echoes it: something to point keyswap at without
// leaving the machine. Serves every *.localhost name. `node docs/examples/echo-server.ts [port]`

import { createServer } from "node:https";
import { join } from "node:path";
import { CertificateAuthority } from "../../src/tls/authority.ts";
import { LeafCache } from "../../src/tls/leaf-cache.ts";

const port = Number(process.argv[2] ?? 9443);
const folder = join(import.meta.dirname, "../../certs/echo");
const authority = await CertificateAuthority.open(folder, Date.now);
const leaves = new LeafCache(authority, { maxLeaves: 100, clock: Date.now });

createServer({ SNICallback: (name, done) => done(null, leaves.contextFor(name)) }, (request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (text: string) => {
    body += text;
  });
  request.on("end", () => {
    const { host, authorization = "no credential" } = request.headers;
    process.stdout.write(`${host} received: ${authorization}${body === "" ? "" : ` and ${body}`}\n`);
    response.end(`you sent ${authorization}\n`);
  });
}).listen(port, "127.0.0.1", () => {
  process.stdout.write(`https://api.localhost:${port} is up; its CA is ${authority.certificatePath}\n`);
});
