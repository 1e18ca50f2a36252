// The audit trail is kept as long as is configured, and no longer.

import { expect, it, onTestFinished } from "vitest";
import { startSecretApi } from "../support/secret-api.ts";

const DAY_MS = 86_400_000;

it("forgets entries by their age alone", async () => {
  let now = Date.UTC(2026, 0, 1);
  const api = await startSecretApi({ clock: () => now, auditRetentionMs: 30 * DAY_MS });
  onTestFinished(() => api.close());
  const names = async () =>
    (await api.call("GET", "/audit")).body.items.map((entry: { targetName: string }) => entry.targetName);
  await api.call("POST", "/secret", { name: "OLD", value: "v" });
  now += 20 * DAY_MS;
  await api.call("POST", "/secret", { name: "YOUNG", value: "v" });
  expect(await names()).toEqual(["YOUNG", "OLD"]);
  now += 10 * DAY_MS + 1;
  await expect.poll(names, { timeout: 10_000 }).toEqual(["YOUNG"]);
  // Only the trail forgets.
  expect((await api.call("GET", "/secret")).body).toHaveLength(2);
});
