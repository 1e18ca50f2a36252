import { describe, expect, it } from "vitest";
import { readSettings, writeSettings } from "../../../src/core/http2/settings.ts";
import { framesOf, settingsFrame } from "../../support/http2-ends.ts";

const own = { maxStreams: 10, streamWindowBytes: 70_000, maxHeadBytes: 1_000 };

function read(pairs: readonly (readonly [number, number])[], isServer = true) {
  const [frame] = framesOf(settingsFrame(pairs));
  const payload = frame?.payload ?? Buffer.alloc(0);
  return readSettings(payload, 0, payload.length, isServer);
}

describe("SETTINGS", () => {
  it.each([true, false])("what we say is what the other side may say (server: %s)", (isServer) => {
    const [frame] = framesOf(writeSettings(own, isServer));
    const payload = frame?.payload ?? Buffer.alloc(0);
    expect(readSettings(payload, 0, payload.length, !isServer)).toEqual({ maxStreams: 10, windowBytes: 70_000 });
  });

  it("the last of a name counts, others are ignored", () => {
    expect(
      read([
        [4, 1],
        [4, 2],
        [1, 0],
        [9, 9],
        [6, 1],
        [5, 20_000],
        [2, 1],
      ]),
    ).toEqual({
      windowBytes: 2,
      tableBytes: 0,
    });
  });

  it.each([
    ["a push wish that is none", [[2, 2]], true, 1],
    ["a server that pushes", [[2, 1]], false, 1],
    ["a window beyond 2^31", [[4, 2 ** 31]], true, 3],
    ["frames below 16 KiB", [[5, 16_383]], true, 1],
    ["frames beyond 16 MiB", [[5, 2 ** 24]], true, 1],
  ] as const)("refuses %s", (_name, pairs, isServer, code) => {
    expect(read(pairs, isServer)).toBe(code);
  });
});
