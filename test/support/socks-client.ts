// A SOCKS5 client that says exactly what it is told, byte by byte where a test wants that.

import type { MadeSandbox, TestKeyswap } from "./keyswap.ts";
import { dial, type WireClient } from "./wire-client.ts";

export function socksName(name: string, port: number, command = 1): Buffer {
  const text = Buffer.from(name, "latin1");
  return Buffer.concat([Buffer.of(5, command, 0, 3, text.length), text, Buffer.of(port >> 8, port & 0xff)]);
}

export function socksIpv4(address: string, port: number): Buffer {
  return Buffer.of(5, 1, 0, 1, ...address.split(".").map(Number), port >> 8, port & 0xff);
}

export function socksLogin({ id, token }: Pick<MadeSandbox, "id" | "token">): Buffer {
  return Buffer.concat([Buffer.of(1, id.length), Buffer.from(id), Buffer.of(token.length), Buffer.from(token)]);
}

/** Up to the reply; its code. */
export async function askSocks(
  keyswap: Pick<TestKeyswap, "port">,
  sandbox: Pick<MadeSandbox, "id" | "token">,
  request: Buffer,
): Promise<{ readonly code: number; readonly client: WireClient }> {
  const client = await dial(keyswap.port, { allowHalfOpen: true });
  client.send(Buffer.of(5, 1, 2));
  const method = await client.readExactly(2);
  if (method[1] !== 2) throw new Error(`method ${method.toString("hex")}`);
  client.send(socksLogin(sandbox));
  const verdict = await client.readExactly(2);
  if (verdict[1] !== 0) throw new Error(`login ${verdict.toString("hex")}`);
  client.send(request);
  const reply = await client.readExactly(10);
  return { code: reply[1] ?? -1, client };
}
