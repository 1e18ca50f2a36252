// How values rest: AES-256-GCM under a master key, bound to what they belong to, so that a row copied over another does
// not open. Pure but for randomness.
//
//   box = format (1 byte) | nonce (12) | tag (16) | ciphertext
//
// A nonce is random; one key is good for 2^32 boxes (NIST SP 800-38D 8.3), far beyond what a store writes.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { StoreError } from "./store-error.ts";

const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES;

export interface MasterKey {
  /** Short name that stands beside each value; not secret. */
  readonly id: string;
  /** 32 bytes. */
  readonly bytes: Buffer;
}

/** What a box is bound to. The parts are joined with NUL, which none of them holds. */
export function bindTo(...parts: readonly (string | number)[]): Buffer {
  return Buffer.from(["keyswap/1", ...parts].join("\0"), "utf8");
}

export function seal(key: MasterKey, plaintext: Uint8Array, boundTo: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key.bytes, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(boundTo);
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([Buffer.from([FORMAT]), nonce, cipher.getAuthTag(), body]);
}

/** Undefined where the box was not made by this key for this binding, or was altered. */
export function open(key: MasterKey, box: Uint8Array, boundTo: Buffer): Buffer | undefined {
  if (box.length < HEAD_BYTES || box[0] !== FORMAT) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", key.bytes, box.subarray(1, 1 + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(boundTo);
  decipher.setAuthTag(box.subarray(1 + NONCE_BYTES, HEAD_BYTES));
  try {
    return Buffer.concat([decipher.update(box.subarray(HEAD_BYTES)), decipher.final()]);
  } catch {
    // final() throws where the tag does not fit: expected here, and nothing of it is worth telling.
    return undefined;
  }
}

/**
 * Reads `id:base64,id:base64`, the first current. Ids are `[A-Za-z0-9._-]{1,64}`; keys are 32 bytes in base64 or
 * base64url. The message of the error never holds a key.
 */
export function parseMasterKeys(text: string): readonly [MasterKey, ...MasterKey[]] {
  const keys: MasterKey[] = [];
  for (const [index, part] of text.split(",").entries()) {
    const at = part.indexOf(":");
    const id = part.slice(0, Math.max(at, 0)).trim();
    if (at === -1 || !/^[A-Za-z0-9._-]{1,64}$/.test(id)) throw badKey(index, "must read id:base64");
    const encoded = part.slice(at + 1).trim();
    const bytes = Buffer.from(encoded, "base64");
    if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded) || bytes.length !== 32)
      throw badKey(index, "must be 32 bytes in base64, as `openssl rand -base64 32` makes them");
    if (keys.some((key) => key.id === id)) throw badKey(index, "repeats an id");
    keys.push({ id, bytes });
  }
  // split() never gives an empty list, and every part was pushed or refused.
  return keys as [MasterKey, ...MasterKey[]];
}

export function formatMasterKey(key: MasterKey): string {
  return `${key.id}:${key.bytes.toString("base64")}`;
}

/** A new key with an id that tells nothing but is unlikely to be used before. */
export function makeMasterKey(): MasterKey {
  return { id: `k${randomBytes(4).toString("hex")}`, bytes: randomBytes(32) };
}

function badKey(index: number, problem: string): StoreError {
  return new StoreError("master-key", `Master key ${index + 1} ${problem}.`);
}
