// The master key that keyswap made itself, in the data folder, and its change while the store is in use:
//
//   file: new,old ─► the store takes both ─► values sealed anew ─► file: new; old goes to master-key.retired
//
// Whenever this is cut off, the file holds every key that the database needs. Retired keys are kept beside it: backups
// that were taken under them do not open without them.

import { appendFileSync, chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { MasterKeyRotation, Store } from "../core/store.ts";
import { formatMasterKey, type MasterKey, makeMasterKey, parseMasterKeys } from "../store/envelope.ts";
import { RETIRED_SUFFIX } from "./data-folder.ts";

/** Makes a new key, seals all values under it, and takes the keys that are needed no more out of the file. */
export async function rotateMasterKeyFile(
  store: Pick<Store, "useMasterKeys" | "rotateMasterKey">,
  path: string,
): Promise<MasterKeyRotation> {
  const keys = [makeMasterKey(), ...parseMasterKeys(readFileSync(path, "utf8").trim())];
  // Durable before the first value needs it.
  replaceFile(path, keys);
  await store.useMasterKeys(format(keys));
  const rotation = await store.rotateMasterKey();
  const retired = new Set(rotation.retired);
  const gone = keys.filter((key) => retired.has(key.id));
  if (gone.length === 0) return rotation;
  appendFileSync(path + RETIRED_SUFFIX, gone.map((key) => `${formatMasterKey(key)}\n`).join(""), {
    mode: 0o600,
    flush: true,
  });
  chmodSync(path + RETIRED_SUFFIX, 0o600);
  replaceFile(
    path,
    keys.filter((key) => !retired.has(key.id)),
  );
  return rotation;
}

function replaceFile(path: string, keys: readonly MasterKey[]): void {
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, `${format(keys)}\n`, { mode: 0o600, flag: "wx", flush: true });
  renameSync(draft, path);
}

function format(keys: readonly MasterKey[]): string {
  return keys.map(formatMasterKey).join(",");
}
