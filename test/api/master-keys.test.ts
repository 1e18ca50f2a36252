// A process whose master key was changed by another one, while it went on.

import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { openStore } from "../../src/store/open.ts";
import { startSecretApi } from "../support/secret-api.ts";

it("writes no value under a key that was retired meanwhile, and says what to do", async () => {
  const [old, fresh] = [formatMasterKey(makeMasterKey()), formatMasterKey(makeMasterKey())];
  const api = await startSecretApi({
    openStore: (directory) => openStore({ path: join(directory, "keyswap.db"), masterKeys: old }),
  });
  onTestFinished(() => api.close());
  expect((await api.call("POST", "/secret", { name: "BEFORE", value: "v", hosts: [] })).status).toBe(201);
  const path = join(api.directory, "keyswap.db");
  const other = await openStore({ path, masterKeys: `${fresh},${old}` });
  expect(await other.rotateMasterKey()).toMatchObject({ resealed: 1 });
  await other.close();

  const late = await api.call("POST", "/secret", { name: "LATE", value: "late value", hosts: [] });
  expect([late.status, late.body.message]).toEqual([503, expect.stringMatching(/master key.* changed.* again/)]);
  expect((await api.call("GET", "/secret")).body.map(({ name }: { name: string }) => name)).toEqual(["BEFORE"]);
  const next = await openStore({ path, masterKeys: fresh });
  await next.close();
});
