import { describe, expect, it } from "vitest";
import { frameType } from "../../../src/core/http2/frame.ts";
import { Http2Output, isHead, type OutputOwner } from "../../../src/core/http2/output.ts";
import { Http2Stream } from "../../../src/core/http2/stream.ts";
import { framesOf } from "../../support/http2-ends.ts";

function make() {
  const said: string[] = [];
  const owner: OutputOwner = {
    onOutput: () => said.push("output"),
    onOpening: (stream) => {
      stream.id = 7;
      said.push("opening");
    },
    onResetSent: () => said.push("reset sent"),
    onFinished: (stream) => said.push(`finished ${stream.id}`),
  };
  const output = new Http2Output(owner);
  const open = (id: number): Http2Stream => {
    const none = (): void => {};
    const stream = new Http2Stream(
      { onReady: (ready) => output.ready(ready), onHeard: none, onHeld: none, onReset: none },
      1_000,
      1_000,
    );
    stream.id = id;
    return stream;
  };
  const pull = () => {
    const parts: Buffer[] = [];
    while (output.pull((bytes) => parts.push(bytes)));
    return framesOf(Buffer.concat(parts)).map(({ type, stream, payload }) => `${type} ${stream} ${payload.length}`);
  };
  return { said, output, open, pull };
}

describe("output", () => {
  it("has frames of the connection first, and says itself once", () => {
    const { said, output, open, pull } = make();
    const stream = open(1);
    stream.sendHead([":status", "200"]);
    stream.flush();
    output.control(frameType.ping, 1, 0, [1, 2]);
    expect(said).toEqual(["output"]);
    expect(pull()).toEqual(["6 0 8", "1 1 1"]);
    expect(pull()).toEqual([]);
  });

  it("numbers a request when it goes out, not before; its end alone is no request", () => {
    const { said, open, pull } = make();
    const stream = open(0);
    stream.sendEnd();
    stream.flush();
    expect(pull()).toEqual([]);
    const other = open(0);
    other.sendHead([":method", "GET"]);
    other.sendEnd();
    other.flush();
    expect(pull()).toEqual(["1 7 1"]);
    expect(said.filter((line) => line === "opening")).toHaveLength(1);
  });

  it("tells of streams that are over once the bytes are gone", () => {
    const { said, output, open } = make();
    const stream = open(1);
    stream.endReceived = true;
    stream.sendHead([":status", "200"]);
    stream.sendEnd();
    stream.flush();
    output.pull(() => said.push("taken"));
    expect(said.slice(1)).toEqual(["taken", "finished 1"]);
  });

  it("is flooded by frames that nobody pulls", () => {
    const { output, pull } = make();
    for (let at = 0; at < 5_000; at++) output.control(frameType.ping, 1, 0, [1, 2]);
    expect(output.isFlooded).toBe(true);
    pull();
    expect(output.isFlooded).toBe(false);
  });

  it("has bounded pieces, however many streams are ready", () => {
    const { output, open } = make();
    output.widen(10_000_000);
    for (let at = 0; at < 50; at++) {
      const stream = open(2 * at + 1);
      stream.sendWindow = 100_000;
      stream.sendHead([":status", "200"]);
      stream.sendData(Buffer.alloc(50_000));
      stream.flush();
    }
    const sizes: number[] = [];
    while (output.pull((bytes) => sizes.push(bytes.length)));
    expect(Math.max(...sizes)).toBeLessThan(100 * 1024);
    expect(sizes.reduce((sum, size) => sum + size)).toBeGreaterThan(50 * 50_000);
  });

  it("knows heads from content", () => {
    expect([isHead([]), isHead(Buffer.alloc(0)), isHead(undefined)]).toEqual([true, false, false]);
  });
});
