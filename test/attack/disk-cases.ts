// Faults: the disk is full, under the audit log and under the store.

import { join } from "node:path";
import { canMount, SmallDisk } from "../support/small-disk.ts";
import { assertSubstitutes } from "./ways.ts";
import { type AttackCase, goodHost, holds, inOwnWorld, same, until } from "./world.ts";

const skip = canMount();
const hostile = "a real value on a full disk";

export const diskCases: readonly AttackCase[] = [
  {
    name: "a full disk under the audit log: traffic goes on, and with room again so does the log, without a line lost or cut",
    skip,
    run: async () => {
      using disk = new SmallDisk("1m");
      await inOwnWorld(
        async (world) => {
          const secret = await world.secret(hostile, [goodHost]);
          const sandbox = await world.sandbox([secret]);
          await assertSubstitutes(world, sandbox, secret, "/before");
          disk.fill();
          for (let at = 0; at < 20; at++) await assertSubstitutes(world, sandbox, secret, `/full-${at}`);
          await until(() =>
            holds(world.keyswap.stderr().includes("the audit log cannot be written"), "nobody was told"),
          );
          disk.free();
          await until(() =>
            holds(world.keyswap.stderr().includes("the audit log is written again"), "nobody was told"),
          );
          await until(() => {
            const paths = world.audit().flatMap(({ path }) => path ?? []);
            for (let at = 0; at < 20; at++) {
              same(paths.filter((path) => path === `/full-${at}`).length, 1, `events of /full-${at}`);
            }
          });
        },
        { KEYSWAP_AUDIT: join(disk.path, "audit.jsonl") },
      );
    },
  },
  {
    name: "a full disk under the store: writes get 507 and change nothing, reads and traffic go on, and so do writes with room again",
    skip,
    run: async () => {
      using disk = new SmallDisk("24m");
      await inOwnWorld(
        async (world) => {
          const secret = await world.secret(hostile, [goodHost]);
          const sandbox = await world.sandbox([secret]);
          const names = async (): Promise<readonly string[]> =>
            (await world.api("GET", "/secret")).body.map((each: { name: string }) => each.name);
          const create = (name: string) =>
            world.api("POST", "/secret", { name, value: "x".repeat(8_000), hosts: [goodHost] });
          disk.fill();
          const written = [secret.name];
          let refused: Awaited<ReturnType<typeof create>> | undefined;
          // What was set aside for the log of the database takes some more.
          for (let at = 0; at < 2_000 && refused === undefined; at++) {
            const answer = await create(`FULL_${at}`);
            if (answer.status < 300) written.push(`FULL_${at}`);
            else refused = answer;
          }
          same(refused?.status, 507, "status of a write");
          same([...(await names())].sort(), [...written].sort(), "secrets");
          await assertSubstitutes(world, sandbox, secret, "/full");
          disk.free();
          await until(async () => same((await create("ROOM")).status < 300, true, "a write with room again"));
          same([...(await names())].sort(), [...written, "ROOM"].sort(), "secrets with room again");
          await world.keyswap.stop("SIGKILL");
          await world.restart({});
          same([...(await names())].sort(), [...written, "ROOM"].sort(), "secrets after a restart");
        },
        { KEYSWAP_DATA_DIR: join(disk.path, "data"), KEYSWAP_AUDIT: "off" },
      );
    },
  },
];
