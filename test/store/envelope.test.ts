import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { bindTo, formatMasterKey, makeMasterKey, open, parseMasterKeys, seal } from "../../src/store/envelope.ts";

const key = makeMasterKey();
const boundTo = bindTo("secret", "org", "id", 1);

describe("a box", () => {
  it.each([0, 1, 16, 65_536])("opens to the %i bytes that were sealed", (length) => {
    const plaintext = randomBytes(length);
    expect(open(key, seal(key, plaintext, boundTo), boundTo)).toEqual(plaintext);
  });

  it("is different each time", () => {
    const plaintext = Buffer.from("the same");
    expect(seal(key, plaintext, boundTo).equals(seal(key, plaintext, boundTo))).toBe(false);
  });

  it("does not open with another key, for another binding, altered or cut", () => {
    const box = seal(key, Buffer.from("value"), boundTo);
    expect(open({ id: key.id, bytes: randomBytes(32) }, box, boundTo)).toBeUndefined();
    for (const other of [
      bindTo("secret", "org2", "id", 1),
      bindTo("secret", "org", "id2", 1),
      bindTo("secret", "org", "id", 2),
      bindTo("check", "org", "id", 1),
    ])
      expect(open(key, box, other)).toBeUndefined();
    for (let at = 0; at < box.length; at++) {
      const altered = Buffer.from(box);
      altered[at]! ^= 1;
      expect(open(key, altered, boundTo), `byte ${at}`).toBeUndefined();
      expect(open(key, box.subarray(0, at), boundTo), `cut at ${at}`).toBeUndefined();
    }
  });
});

describe("master keys as text", () => {
  it("are read in order, in base64 and base64url, and written back", () => {
    const second = makeMasterKey();
    const text = `${formatMasterKey(key)}, ${second.id}:${second.bytes.toString("base64url")}`;
    expect(parseMasterKeys(text)).toEqual([key, second]);
  });

  const good = randomBytes(32).toString("base64");
  it.each([
    ["nothing", ""],
    ["no id", good],
    ["an empty id", `:${good}`],
    ["a blank in the id", `a b:${good}`],
    ["too few bytes", `a:${randomBytes(31).toString("base64")}`],
    ["too many bytes", `a:${randomBytes(33).toString("base64")}`],
    ["no base64", `a:${"!".repeat(44)}`],
    ["the same id twice", `a:${good},a:${good}`],
    ["a trailing comma", `a:${good},`],
  ])("are refused with %s, and the message holds no key", (_, text) => {
    let message = "";
    try {
      parseMasterKeys(text);
    } catch (error) {
      message = error instanceof Error ? error.message : "";
    }
    expect(message).toMatch(/^Master key \d /);
    expect(message).not.toContain(good);
  });
});
