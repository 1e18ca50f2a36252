import { describe, expect, it } from "vitest";
import { Http2Stream, type StreamOwner } from "../../../src/core/http2/stream.ts";
import { Heard } from "../../support/http2-ends.ts";

function make(): {
  stream: Http2Stream;
  heard: Heard;
  acknowledged: number[];
  asked: string[];
  held: { bytes: number };
} {
  const acknowledged: number[] = [];
  const asked: string[] = [];
  const held = { bytes: 0 };
  const owner: StreamOwner = {
    onReady: () => asked.push("ready"),
    onHeard: (_stream, bytes) => acknowledged.push(bytes),
    onHeld: (bytes) => {
      held.bytes += bytes;
    },
    onReset: (_stream, code) => asked.push(`reset ${code}`),
  };
  const stream = new Http2Stream(owner, 100, 100);
  return { stream, heard: new Heard(stream), acknowledged, asked, held };
}

describe("content", () => {
  it("is held while paused, and not acknowledged before it was heard", () => {
    const { stream, heard, acknowledged, held } = make();
    stream.pause();
    stream.deliver(Buffer.from("a"));
    expect(held.bytes).toBe(1);
    stream.deliverEnd(["x", "1"]);
    expect([heard.body.length, heard.lines, acknowledged]).toEqual([0, [], []]);
    stream.resume();
    expect([heard.body.toString(), heard.lines, acknowledged]).toEqual(["a", ["end x,1"], [1]]);
    expect(held.bytes).toBe(0);
  });

  it("in small pieces is held in few", () => {
    const { stream, heard, acknowledged } = make();
    stream.pause();
    for (let at = 0; at < 20_000; at++) stream.deliver(Buffer.from([at & 255]));
    stream.deliver(Buffer.alloc(5_000, "y"));
    stream.deliver(Buffer.from("z"));
    stream.resume();
    const expected = Buffer.concat([
      Buffer.from(Array.from({ length: 20_000 }, (_, at) => at & 255)),
      Buffer.alloc(5_000, "y"),
      Buffer.from("z"),
    ]);
    expect(heard.body.equals(expected)).toBe(true);
    expect(acknowledged.length).toBeLessThan(10);
  });

  it("stops again where its listener says so", () => {
    const { stream, heard } = make();
    stream.pause();
    for (const text of ["a".repeat(2_000), "b".repeat(2_000)]) stream.deliver(Buffer.from(text));
    const { onData } = heard;
    heard.onData = (content) => {
      onData.call(heard, content);
      stream.pause();
    };
    stream.resume();
    expect(heard.body.toString()).toBe("a".repeat(2_000));
    stream.resume();
    expect(heard.body.length).toBe(4_000);
  });

  it("that came whole is heard after the other side closed; what we gave up is not", () => {
    for (const by of ["both", "peer", "us"] as const) {
      const { stream, heard, held } = make();
      stream.pause();
      stream.deliver(Buffer.from("a"));
      stream.deliverEnd([]);
      stream.close(by);
      stream.resume();
      expect(held.bytes).toBe(0);
      const closed = by === "both" ? "closed by both" : `closed by ${by} 0`;
      expect(heard.lines).toEqual(by === "us" ? [closed] : ["end ", closed]);
    }
  });
});

describe("giving up", () => {
  it("lets go of what came whole and is held, though the stream is closed", () => {
    const { stream, heard, held, asked } = make();
    stream.pause();
    stream.deliver(Buffer.from("a"));
    stream.deliverEnd([]);
    stream.close("both");
    stream.reset(8);
    expect([held.bytes, heard.lines, heard.body.length]).toEqual([0, ["closed by both"], 0]);
    stream.resume();
    stream.reset(8);
    expect([heard.lines, asked]).toEqual([["closed by both"], []]);
  });
});

describe("output", () => {
  it("asks to be sent on flush alone, and not when there is none", () => {
    const { stream, asked } = make();
    stream.flush();
    stream.sendHead([":status", "200"]);
    expect(asked).toEqual([]);
    stream.flush();
    expect(asked).toEqual(["ready"]);
  });

  it("says when there is too much of it, and when that is over", () => {
    const { stream } = make();
    expect(stream.hasRoom).toBe(true);
    expect(stream.takeDrain()).toBe(false);
    stream.sendData(Buffer.alloc(100_000));
    expect(stream.hasRoom).toBe(false);
    expect(stream.takeDrain()).toBe(false);
    stream.waitingBytes = 10;
    expect([stream.takeDrain(), stream.takeDrain()]).toEqual([true, false]);
  });

  it("trailers are the last head; without any the end is the end", () => {
    const { stream } = make();
    stream.sendTrailers(["x", "1"]);
    expect([stream.output, stream.ends]).toEqual([[["x", "1"]], true]);
    stream.sendTrailers(["late", "2"]);
    expect(stream.output).toHaveLength(1);
    const other = make();
    other.stream.sendTrailers([]);
    expect([other.stream.output, other.stream.ends]).toEqual([[], true]);
  });

  it("ends with the end, and with the stream", () => {
    const { stream } = make();
    stream.sendEnd();
    stream.sendData(Buffer.from("late"));
    expect(stream.output).toEqual([]);
    const other = make();
    other.stream.close("connection");
    other.stream.sendHead([":status", "200"]);
    other.stream.flush();
    other.stream.reset(8);
    expect([other.stream.output, other.asked]).toEqual([[], []]);
  });
});
