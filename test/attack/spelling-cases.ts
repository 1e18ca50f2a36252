// Hosts in spellings that are none, by every way that names a host itself: refused before any name is asked for.

import { askSocks, socksName } from "../support/socks-client.ts";
import { dial } from "../support/wire-client.ts";
import { exchange, fromAlice } from "./ways.ts";
import { type AttackCase, aliceAddress, evilHost, goodHost, holds, portOf, same, type World } from "./world.ts";

const odd: Readonly<Record<string, string>> = {
  "user information in front": `${goodHost}@${evilHost}`,
  "a fragment": `${evilHost}#${goodHost}`,
  "a backslash": `${evilHost}\\${goodHost}`,
  "a path": `${evilHost}/${goodHost}`,
  "a NUL": `${goodHost}\0.${evilHost}`,
  "a blank": `${goodHost} ${evilHost}`,
  "a tab": `${goodHost}\t${evilHost}`,
  "a percent escape": "api%2egood.test",
  "a zone id": "fe80::1%25lo",
  "a high byte": "api.g\xf6\xf6d.test",
  "a full-width full stop in UTF-8": "api\xef\xbc\x8egood.test",
  "a label of 64": `${"a".repeat(64)}.test`,
  "a name of 254": `${"a.".repeat(123)}a.test12`,
  "two dots": "api..good.test",
  "two trailing dots": `${goodHost}..`,
  "a wildcard": "*.good.test",
  "punycode that is none": "xn--a.test",
  "five numbers": "1.2.3.4.5",
  "a number that is too large": "4294967296",
};

export const spellingCases: readonly AttackCase[] = Object.entries(odd).map(([what, host]) => ({
  name: `a host with ${what} is refused by SOCKS5, in absolute form and on the transparent port`,
  run: async (world: World) => {
    const secret = await world.secret("a value for no odd name", [goodHost, evilHost]);
    const sandbox = await world.sandbox([secret], { sources: [`${aliceAddress}/32`] });
    const before = world.dns.questions.length;
    const key = `X-Key: ${secret.placeholder}\r\n\r\n`;
    try {
      const { code, client: socks } = await askSocks(world, sandbox, socksName(host, world.evil.port));
      socks.close();
      holds(code !== 0, "SOCKS5 opened a way");

      const plain = await dial(world.port);
      const target = `GET http://${host}:${world.evil.port}/ HTTP/1.1\r\nHost: ${host}:${world.evil.port}\r\n`;
      const absolute = await exchange(plain, `${target}Proxy-Authorization: ${sandbox.credentials}\r\n${key}`);
      plain.close();
      // "/…" and "#…" end the authority: what stands before is a host, and has to be another than Host's.
      holds([400, 403, 421].includes(absolute.status ?? 0), `absolute form: ${absolute.status}`);

      const transparent = await fromAlice(portOf(world.keyswap.ready.http));
      const { status } = await exchange(transparent, `GET / HTTP/1.1\r\nHost: ${host}:${world.evil.port}\r\n${key}`);
      transparent.close();
      same(status, 400, "transparent");
      same(world.dns.questions.length, before, "names asked");
      world.assertUnseenByEvil(secret.value);
    } finally {
      await world.api("DELETE", `/sandbox/${sandbox.id}`);
    }
  },
}));
