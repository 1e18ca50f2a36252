import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { errorCode, setting } from "../../../src/core/http2/frame.ts";
import { cuts, offsetsOf } from "../../fuzz/cuts.ts";
import { bounds, End, framesOf, get, post, settingsFrame, uint32 } from "../../support/http2-ends.ts";
import { encodeFields, encodeFrame, flag, frameType } from "../../support/http2-frames.ts";

const ok: string[] = [":status", "200"];

function server(options = {}): End {
  return new End("server", options).greet();
}

describe("the beginning", () => {
  it("a server says its settings and its window, and answers the client's", () => {
    const end = new End("server");
    const [settings, window] = end.pull();
    const said = new Map<number, number>();
    const payload = settings?.payload ?? Buffer.alloc(0);
    for (let at = 0; at < payload.length; at += 6) said.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    expect([...said]).toEqual([
      [setting.maxConcurrentStreams, bounds.maxStreams],
      [setting.initialWindowSize, bounds.streamWindowBytes],
      [setting.maxHeaderListSize, bounds.maxHeadBytes],
    ]);
    expect(window?.payload.readUInt32BE()).toBe(bounds.windowBytes - 65_535);
    end.greet();
    expect(end.lines).toEqual(["max streams Infinity"]);
  });

  it("a client says the preface first, and no push", () => {
    const bytes = new End("client").pullBytes();
    expect(bytes.toString("latin1", 0, 24)).toBe("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    expect(framesOf(bytes.subarray(24))[0]?.payload.subarray(0, 6)).toEqual(Buffer.from([0, 2, 0, 0, 0, 0]));
  });

  it.each([
    ["another protocol", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")],
    ["no SETTINGS", Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), encodeFrame(6, 0, 0, "12345678")])],
  ])("%s is refused", (_name, bytes) => {
    const end = new End("server");
    end.connection.receive(bytes);
    expect(end.lines[0]).toMatch(/^failed 1 /);
    expect(end.pullLines().at(-1)).toBe("goaway 0 1");
  });
});

describe("a request and its answer", () => {
  it("head, content and trailers, both ways", () => {
    const end = server();
    end.request(1, post, 0);
    end.frame(frameType.data, 0, 1, "content");
    end.frame(frameType.headers, flag.endHeaders | flag.endStream, 1, encodeFields([["x-sum", "1"]]));
    const [heard] = end.requests;
    expect(heard?.lines).toEqual(["head :method,POST,:scheme,https,:authority,a.test,:path,/", "end x-sum,1"]);
    expect(heard?.body.toString()).toBe("content");
    heard?.stream.sendHead([":status", "103", "link", "</a>"]);
    heard?.stream.sendHead([...ok, "server", "x"]);
    heard?.stream.sendData(Buffer.from("answer"));
    heard?.stream.sendHead(["x-after", "2"]);
    heard?.stream.sendEnd();
    heard?.stream.flush();
    expect(end.pullLines()).toEqual([
      "headers 1 :status,103,link,</a>",
      "headers 1 :status,200,server,x",
      "data 1 6",
      "headers 1 x-after,2 end",
    ]);
    expect(heard?.lines.at(-1)).toBe("closed by both");
    expect(end.connection.streams).toBe(0);
  });

  it("an answer without content ends with its head; an end that comes later is a frame of its own", () => {
    const end = server();
    end.request(1);
    end.request(3);
    const [first, second] = end.requests;
    first?.stream.sendHead(ok);
    first?.stream.sendEnd();
    first?.stream.flush();
    second?.stream.sendHead(ok);
    second?.stream.flush();
    expect(end.pullLines()).toEqual(["headers 1 :status,200 end", "headers 3 :status,200"]);
    second?.stream.sendEnd();
    second?.stream.flush();
    expect(end.pullLines()).toEqual(["data 3 0 end"]);
  });

  it("padding and priority are taken off", () => {
    const end = server();
    const head = Buffer.concat([Buffer.from([3]), uint32(0), Buffer.from([7]), encodeFields(post), Buffer.alloc(3)]);
    end.frame(frameType.headers, flag.endHeaders | flag.padded | 0x20, 1, head);
    end.frame(frameType.data, flag.padded | flag.endStream, 1, "\x02hi\0\0");
    expect(end.requests[0]?.body.toString()).toBe("hi");
    expect(end.requests[0]?.lines.at(-1)).toBe("end ");
  });

  it("heads of several frames are read and written", () => {
    const end = server();
    const block = encodeFields(get);
    end.frame(frameType.headers, flag.endStream, 1, block.subarray(0, 5));
    end.frame(frameType.continuation, 0, 1, block.subarray(5, 6));
    expect(end.requests).toHaveLength(0);
    end.frame(frameType.continuation, flag.endHeaders, 1, block.subarray(6));
    const stream = end.requests[0]?.stream;
    stream?.sendHead([...ok, "x-long", "\x80".repeat(40_000)]);
    stream?.sendEnd();
    stream?.flush();
    const frames = end.pull();
    expect(frames.map(({ type, flags, payload }) => [type, flags, payload.length > 16_384])).toEqual([
      [frameType.headers, flag.endStream, false],
      [frameType.continuation, 0, false],
      [frameType.continuation, flag.endHeaders, false],
    ]);
    const whole = Buffer.concat(frames.map(({ payload }) => payload));
    expect(end.decoder.decode(whole, 0, whole.length)).toEqual([...ok, "x-long", "\x80".repeat(40_000)]);
  });

  it("says that there is output once until it was pulled", () => {
    const end = server();
    const { outputs } = end;
    end.request(1);
    end.request(3);
    for (const { stream } of end.requests) {
      stream.sendHead(ok);
      stream.flush();
    }
    expect(end.outputs).toBe(outputs + 1);
  });

  it("a head beyond the bounds is told, and the connection goes on", () => {
    const end = server({ maxFields: 5 });
    end.request(1, [...get, ["a", "1"], ["b", "2"]]);
    end.request(3);
    expect(end.requests.map(({ lines }) => lines[0]?.slice(0, 14))).toEqual(["head too-large", "head :method,G"]);
  });
});

describe("flow control", () => {
  it("content waits for the stream's window, then for the connection's, and no stream is forgotten", () => {
    const end = server();
    end.connection.receive(settingsFrame([[setting.initialWindowSize, 40_000]]));
    end.pull();
    for (const id of [1, 3, 5]) end.request(id);
    for (const { stream } of end.requests) {
      stream.sendHead(ok);
      stream.sendData(Buffer.alloc(50_000));
      stream.sendEnd();
      stream.flush();
      expect(stream.hasRoom).toBe(true);
    }
    const sent = (): number =>
      end
        .pull()
        .filter(({ type }) => type === frameType.data)
        .reduce((sum, { payload }) => sum + payload.length, 0);
    expect(sent()).toBe(65_535);
    end.frame(frameType.windowUpdate, 0, 0, uint32(1_000_000));
    expect(sent()).toBe(3 * 40_000 - 65_535);
    for (const id of [1, 3, 5]) end.frame(frameType.windowUpdate, 0, id, uint32(9_999));
    expect(sent()).toBe(3 * 9_999);
    end.frame(frameType.windowUpdate, 0, 3, uint32(10));
    const frames = end.pull();
    expect(frames.map(({ flags, stream, payload }) => [flags, stream, payload.length])).toEqual([[1, 3, 1]]);
    expect(end.requests.map(({ lines }) => lines.at(-1) === "closed by both")).toEqual([false, true, false]);
  });

  it("a smaller window counts for what is open, below zero too", () => {
    const end = server();
    end.request(1);
    const stream = end.requests[0]?.stream;
    stream?.sendHead(ok);
    stream?.sendData(Buffer.alloc(1_000));
    stream?.flush();
    end.pull();
    end.connection.receive(settingsFrame([[setting.initialWindowSize, 500]]));
    stream?.sendData(Buffer.alloc(100));
    stream?.flush();
    expect(end.pull().filter(({ type }) => type === frameType.data)).toEqual([]);
    end.frame(frameType.windowUpdate, 0, 1, uint32(510));
    expect(end.pull().map(({ payload }) => payload.length)).toEqual([10]);
  });

  it("streams take turns", () => {
    const end = server();
    for (const id of [1, 3]) end.request(id);
    for (const { stream } of end.requests) {
      stream.sendHead(ok);
      stream.sendData(Buffer.alloc(30_000));
      stream.flush();
    }
    const turns = end.pull().filter(({ type }) => type === frameType.data);
    expect(turns.map(({ stream }) => stream)).toEqual([1, 3, 1, 3]);
  });

  it("tells who waits that there is room again", () => {
    const end = server();
    end.request(1);
    const [heard] = end.requests;
    heard?.stream.sendHead(ok);
    heard?.stream.sendData(Buffer.alloc(100_000));
    heard?.stream.flush();
    expect(heard?.stream.hasRoom).toBe(false);
    end.pull();
    expect(heard?.lines).not.toContain("drain");
    end.frame(frameType.windowUpdate, 0, 0, uint32(1_000_000));
    end.frame(frameType.windowUpdate, 0, 1, uint32(1_000_000));
    end.pull();
    expect(heard?.lines.at(-1)).toBe("drain");
  });

  it("windows are given back: the connection's at once, a stream's once its content was heard", () => {
    const end = server({ streamWindowBytes: 40_000, windowBytes: 80_000 });
    end.request(1, post, 0);
    const [heard] = end.requests;
    heard?.stream.pause();
    for (let at = 0; at < 4; at++) end.frame(frameType.data, 0, 1, Buffer.alloc(10_000));
    expect(end.pullLines()).toEqual(["windowUpdate 0 40000"]);
    heard?.stream.resume();
    expect(end.pullLines()).toEqual(["windowUpdate 1 20000", "windowUpdate 1 20000"]);
    expect(heard?.body.length).toBe(40_000);
  });

  it("where too much is held in all the connection waits, until it was heard or dropped", () => {
    const end = server({ streamWindowBytes: 80_000, windowBytes: 80_000, maxHeldBytes: 60_000 });
    for (const id of [1, 3, 5]) end.request(id, post, 0);
    for (const { stream } of end.requests) stream.pause();
    const send = (id: number): void => {
      for (let at = 0; at < 4; at++) end.frame(frameType.data, 0, id, Buffer.alloc(10_000));
    };
    send(1);
    expect(end.pullLines()).toEqual(["windowUpdate 0 40000"]);
    send(3);
    send(5);
    expect(end.pullLines()).toEqual([]);
    end.requests[0]?.stream.reset(errorCode.cancel);
    expect(end.pullLines()).toEqual(["rstStream 1 8"]);
    end.requests[1]?.stream.resume();
    expect(end.pullLines()).toEqual(["windowUpdate 0 80000", "windowUpdate 3 40000"]);
    // As long as nothing is given back the window has an end.
    const other = server({ streamWindowBytes: 200_000, windowBytes: 80_000, maxHeldBytes: 0 });
    other.request(1, post, 0);
    other.requests[0]?.stream.pause();
    for (let at = 0; at < 9; at++) other.frame(frameType.data, 0, 1, Buffer.alloc(10_000));
    expect(other.lines.at(-1)).toMatch(/^failed 3 /);
  });

  it("more than a stream's window resets it", () => {
    const small = server({ streamWindowBytes: 5_000, windowBytes: 80_000 });
    small.request(1, post, 0);
    small.requests[0]?.stream.pause();
    small.frame(frameType.data, 0, 1, Buffer.alloc(5_001));
    expect(small.pullLines()).toEqual(["rstStream 1 3"]);
  });
});

describe("endings", () => {
  it("a reset ends a stream: by the client, by us, and behind the answer where the request is not wanted", () => {
    const end = server();
    for (const id of [1, 3, 5]) end.request(id, post, 0);
    const [first, second, third] = end.requests;
    end.frame(frameType.rstStream, 0, 1, uint32(errorCode.cancel));
    expect(first?.lines.at(-1)).toBe("closed by peer 8");
    second?.stream.reset(errorCode.internalError);
    expect(second?.lines.at(-1)).toBe("closed by us 2");
    third?.stream.sendHead(ok);
    third?.stream.sendEnd();
    third?.stream.reset(errorCode.noError);
    third?.stream.flush();
    expect(third?.lines.at(-1)).not.toMatch(/^closed/);
    expect(end.pullLines()).toEqual(["rstStream 3 2", "headers 5 :status,200 end", "rstStream 5 0"]);
    expect(third?.lines.at(-1)).toBe("closed by us 0");
    // What was on its way is nobody's fault.
    for (const id of [3, 5]) {
      end.frame(frameType.data, 0, id, "late");
      end.frame(frameType.windowUpdate, 0, id, uint32(1));
      end.frame(frameType.rstStream, 0, id, uint32(8));
      end.frame(frameType.headers, flag.endHeaders | flag.endStream, id, encodeFields([["x", "1"]]));
    }
    expect(end.connection.failed).toBe(false);
  });

  it("a head that was said goes out before the reset, content does not", () => {
    const end = server();
    end.request(1);
    const [heard] = end.requests;
    heard?.stream.sendHead(ok);
    heard?.stream.sendData(Buffer.from("half"));
    heard?.stream.flush();
    heard?.stream.reset(errorCode.internalError);
    expect(end.pullLines()).toEqual(["headers 1 :status,200", "rstStream 1 2"]);
    expect(heard?.lines.at(-1)).toBe("closed by us 2");
    expect(end.connection.streams).toBe(0);
  });

  it("GOAWAY: what runs goes on, what comes later is ignored", () => {
    const end = server();
    end.request(1, post, 0);
    end.connection.goaway(errorCode.noError);
    end.request(3);
    end.frame(frameType.data, flag.endStream, 1, "x");
    expect(end.requests).toHaveLength(1);
    expect(end.requests[0]?.lines.at(-1)).toBe("end ");
    expect(end.pullLines()).toEqual(["goaway 0 0"]);
  });

  it("a lost connection ends every stream", () => {
    const end = server();
    end.request(1);
    end.connection.lost();
    expect(end.requests[0]?.lines.at(-1)).toBe("closed by connection 0");
    expect(end.pull()).toEqual([]);
  });
});

describe("a client", () => {
  function client(): End {
    const end = new End("client");
    end.connection.receive(settingsFrame([[setting.maxConcurrentStreams, 7]]));
    end.pullBytes();
    return end;
  }

  function ask(end: End): ReturnType<typeof server>["requests"][number] {
    const stream = end.connection.open();
    end.onRequest(stream, [], false);
    stream.sendHead(get.flat());
    stream.sendEnd();
    stream.flush();
    return end.requests.at(-1)!;
  }

  it("opens streams in order, and hears interim and final answers with trailers", () => {
    const end = client();
    expect(end.lines).toEqual(["max streams 7"]);
    const [first, second] = [ask(end), ask(end)];
    expect(end.pullLines().map((line) => line.slice(0, 9))).toEqual(["headers 1", "headers 3"]);
    end.request(3, [[":status", "103"]], 0);
    end.request(3, [[":status", "200"]], 0);
    end.frame(frameType.data, 0, 3, "hi");
    end.request(3, [["x-sum", "1"]]);
    end.request(1, [[":status", "204"]]);
    expect(second.lines.slice(1)).toEqual(["head :status,103", "head :status,200", "end x-sum,1", "closed by both"]);
    expect(second.body.toString()).toBe("hi");
    expect(first.lines.slice(1)).toEqual(["head :status,204 end", "closed by both"]);
  });

  it("hears of GOAWAY which requests were not looked at", () => {
    const end = client();
    const [first, second] = [ask(end), ask(end)];
    end.pull();
    const third = ask(end);
    end.frame(frameType.goaway, 0, 0, uint32(1, 0));
    expect(end.lines.at(-1)).toBe("goaway 0");
    expect([first, second, third].map(({ stream }) => stream.unprocessed)).toEqual([false, true, true]);
    end.request(1, [[":status", "200"]]);
    expect(first.lines.at(-1)).toBe("closed by both");
  });

  it.each<[string, (end: End) => void]>([
    ["content before a head", (end) => end.frame(frameType.data, 0, 1, "x")],
    ["an interim answer that ends", (end) => end.request(1, [[":status", "100"]])],
    [
      "trailers that do not end",
      (end) => {
        end.request(1, [[":status", "200"]], 0);
        end.request(1, [[":status", "200"]], 0);
      },
    ],
  ])("resets a stream on %s", (_name, send) => {
    const end = client();
    const heard = ask(end);
    end.pull();
    send(end);
    expect(heard.lines.at(-1)).toBe("closed by us 1");
    expect(end.pullLines()).toEqual(["rstStream 1 1"]);
  });

  it.each<[string, (end: End) => void]>([
    ["PUSH_PROMISE", (end) => end.frame(frameType.pushPromise, flag.endHeaders, 1, uint32(2))],
    ["a stream of the server's", (end) => end.request(2, [[":status", "200"]])],
    ["an answer that nobody asked for", (end) => end.request(3, [[":status", "200"]])],
    ["ENABLE_PUSH", (end) => end.connection.receive(settingsFrame([[setting.enablePush, 1]]))],
  ])("fails on %s", (_name, send) => {
    const end = client();
    ask(end);
    end.pull();
    send(end);
    expect(end.lines.at(-1)).toMatch(/^failed 1 /);
  });
});

describe("what breaks the rules", () => {
  const { protocolError, flowControlError, streamClosed, frameSizeError, compressionError, enhanceYourCalm } =
    errorCode;

  it.each<[string, number, (end: End) => void]>([
    ["DATA on stream 0", protocolError, (end) => end.frame(frameType.data, 0, 0, "x")],
    ["DATA on a stream that was never opened", protocolError, (end) => end.frame(frameType.data, 0, 5, "x")],
    ["DATA with more padding than bytes", protocolError, (end) => end.frame(frameType.data, flag.padded, 1, "\x05hi")],
    ["DATA with a flag and nothing", protocolError, (end) => end.frame(frameType.data, flag.padded, 1)],
    ["HEADERS on stream 0", protocolError, (end) => end.request(0)],
    ["HEADERS on an even stream", protocolError, (end) => end.request(2)],
    ["HEADERS with more padding than bytes", protocolError, (end) => end.frame(1, flag.padded | 4, 3, "\x09x")],
    ["HEADERS with half a priority", protocolError, (end) => end.frame(1, 0x24, 3, "xx")],
    ["a head that is no HPACK", compressionError, (end) => end.frame(1, flag.endHeaders, 3, "\x80")],
    ["CONTINUATION without HEADERS", protocolError, (end) => end.frame(frameType.continuation, 4, 1)],
    [
      "a head that is interrupted",
      protocolError,
      (end) => {
        end.frame(frameType.headers, 0, 3, encodeFields(get));
        end.frame(frameType.ping, 0, 0, "12345678");
      },
    ],
    [
      "a head that goes on on another stream",
      protocolError,
      (end) => {
        end.frame(frameType.headers, 0, 3, encodeFields(get));
        end.frame(frameType.continuation, flag.endHeaders, 5);
      },
    ],
    [
      "a head in too many pieces",
      enhanceYourCalm,
      (end) => {
        end.frame(frameType.headers, 0, 3, encodeFields(get));
        for (let at = 0; at < 40; at++) end.frame(frameType.continuation, 0, 3);
      },
    ],
    ["PRIORITY on stream 0", protocolError, (end) => end.frame(frameType.priority, 0, 0, "12345")],
    ["PRIORITY of another size", frameSizeError, (end) => end.frame(frameType.priority, 0, 1, "1234")],
    ["RST_STREAM on stream 0", protocolError, (end) => end.frame(frameType.rstStream, 0, 0, uint32(8))],
    ["RST_STREAM on an idle stream", protocolError, (end) => end.frame(frameType.rstStream, 0, 3, uint32(8))],
    ["RST_STREAM of another size", frameSizeError, (end) => end.frame(frameType.rstStream, 0, 1, "12345")],
    ["SETTINGS on a stream", protocolError, (end) => end.frame(frameType.settings, 0, 1)],
    ["SETTINGS of another size", frameSizeError, (end) => end.frame(frameType.settings, 0, 0, "12345")],
    ["an acknowledgement with settings", frameSizeError, (end) => end.frame(frameType.settings, 1, 0, "123456")],
    ["ENABLE_PUSH of 2", protocolError, (end) => end.connection.receive(settingsFrame([[2, 2]]))],
    ["a window beyond 2^31", flowControlError, (end) => end.connection.receive(settingsFrame([[4, 2 ** 31]]))],
    ["frames below 16 KiB", protocolError, (end) => end.connection.receive(settingsFrame([[5, 16_383]]))],
    ["PUSH_PROMISE", protocolError, (end) => end.frame(frameType.pushPromise, 4, 1, uint32(2))],
    ["PING on a stream", protocolError, (end) => end.frame(frameType.ping, 0, 1, "12345678")],
    ["PING of another size", frameSizeError, (end) => end.frame(frameType.ping, 0, 0, "1234567")],
    ["GOAWAY on a stream", protocolError, (end) => end.frame(frameType.goaway, 0, 1, uint32(0, 0))],
    ["GOAWAY of another size", frameSizeError, (end) => end.frame(frameType.goaway, 0, 0, "1234567")],
    ["WINDOW_UPDATE of nothing", protocolError, (end) => end.frame(frameType.windowUpdate, 0, 0, uint32(0))],
    ["WINDOW_UPDATE of another size", frameSizeError, (end) => end.frame(frameType.windowUpdate, 0, 0, "123")],
    ["WINDOW_UPDATE on an idle stream", protocolError, (end) => end.frame(frameType.windowUpdate, 0, 3, uint32(1))],
    ["a window beyond 2^31 by updates", flowControlError, (end) => end.frame(8, 0, 0, uint32(0x7fff_ffff))],
    [
      "HEADERS on a stream that was closed",
      streamClosed,
      (end) => {
        end.frame(frameType.data, flag.endStream, 1);
        const stream = end.requests[0]?.stream;
        stream?.sendHead(ok);
        stream?.sendEnd();
        stream?.flush();
        end.pull();
        end.request(1);
      },
    ],
    ["a frame beyond the bound", frameSizeError, (end) => end.frame(frameType.data, 0, 1, Buffer.alloc(16_385))],
  ])("%s: the connection fails", (_name, code, send) => {
    const end = server();
    end.request(1, post, 0);
    end.pull();
    send(end);
    expect(end.lines.at(-1)).toMatch(new RegExp(`^failed ${code} `));
    const goaway = end.pull().at(-1);
    expect([goaway?.type, goaway?.payload.readUInt32BE(4)]).toEqual([frameType.goaway, code]);
    expect(end.requests[0]?.lines.at(-1)).toMatch(/^closed by/);
    // Nothing is read any more.
    const heard = end.requests.length;
    end.request(101);
    expect([end.requests.length, end.pull()]).toEqual([heard, []]);
  });

  it.each<[string, number, number, (end: End) => void]>([
    ["DATA behind the end", streamClosed, 0, (end) => end.frame(frameType.data, 0, 1, "x")],
    ["HEADERS behind the end", streamClosed, 0, (end) => end.request(1)],
    ["WINDOW_UPDATE of nothing", protocolError, 0, (end) => end.frame(frameType.windowUpdate, 0, 1, uint32(0))],
    ["a window beyond 2^31", flowControlError, 0, (end) => end.frame(8, 0, 1, uint32(0x7fff_ffff))],
    ["more than Content-Length", protocolError, 5, (end) => end.frame(frameType.data, 0, 1, "123456")],
    ["less than Content-Length", protocolError, 5, (end) => end.frame(frameType.data, flag.endStream, 1, "1234")],
    ["less than Content-Length and trailers", protocolError, 5, (end) => end.request(1, [["x-sum", "1"]])],
    ["a second head that does not end", protocolError, 5, (end) => end.request(1, [["x-sum", "1"]], 0)],
  ])("%s: the stream is reset", (_name, code, length, send) => {
    const end = server();
    end.request(1, post, length === 0 ? flag.endStream : 0);
    if (length > 0) end.requests[0]?.stream.expect(length);
    send(end);
    expect(end.pullLines()).toEqual([`rstStream 1 ${code}`]);
    expect(end.requests[0]?.lines.at(-1)).toBe(`closed by us ${code}`);
    expect(end.lines.at(-1)).toBe("fault by us");
    end.request(3);
    expect(end.requests).toHaveLength(2);
  });

  it("streams beyond the bound are refused, and counted", () => {
    const end = server({ maxStreams: 2 });
    for (const id of [1, 3, 5]) end.request(id);
    expect(end.requests).toHaveLength(2);
    expect(end.pullLines()).toEqual(["rstStream 5 7"]);
    expect(end.lines.at(-1)).toBe("fault by us");
  });

  it("PING, SETTINGS and DATA without bytes are told; answers that are not read have a bound", () => {
    const end = server();
    const { controlFrames } = end;
    end.request(1, post, 0);
    end.frame(frameType.ping, 0, 0, "12345678");
    end.connection.receive(settingsFrame([]));
    end.frame(frameType.data, 0, 1);
    expect(end.controlFrames).toBe(controlFrames + 3);
    for (let at = 0; at < 10_000 && !end.connection.failed; at++) end.frame(frameType.ping, 0, 0, "12345678");
    expect(end.lines.at(-1)).toMatch(/^failed 11 /);
    expect(end.pullBytes().length).toBeLessThan(100_000);
  });

  it("frames of unknown types are nobody's business", () => {
    const end = server();
    end.frame(0x77, 0xff, 9, "what");
    end.request(1);
    expect(end.requests).toHaveLength(1);
  });
});

describe("two ends", () => {
  const lists = fc.array(fc.tuple(fc.constantFrom("a", "x-b", "content-type"), fc.stringMatching(/^[ -~]{0,40}$/)), {
    maxLength: 5,
  });
  const asked = fc.record({
    fields: lists,
    body: fc.integer({ min: 1, max: 100_000 }),
    answer: fc.integer({ min: 1, max: 100_000 }),
    trailers: lists,
    pauses: fc.boolean(),
  });

  it("carry every request and answer whole, whatever the windows and however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(asked, { minLength: 1, maxLength: 6 }),
        fc.constantFrom(1, 1_000, 16_384, 65_535, 256 * 1024),
        cuts,
        (made, windowBytes, cut) => {
          const [client, serves] = [
            new End("client", { streamWindowBytes: Math.max(windowBytes, 500) }),
            new End("server"),
          ];
          const heard = made.map(({ fields, body }) => {
            const stream = client.connection.open();
            client.onRequest(stream, [], false);
            stream.sendHead([...get.flat(), ...fields.flat()]);
            stream.sendData(Buffer.alloc(body, "q"));
            stream.sendEnd();
            stream.flush();
            return client.requests.at(-1)!;
          });
          const answered = new Set<unknown>();
          for (let round = 0; round < 2_000; round++) {
            const there = client.pullBytes();
            pass(there, cut, serves);
            for (const [at, request] of serves.requests.entries()) {
              const plan = made[at]!;
              if (plan.pauses && round % 2 === 0) request.stream.pause();
              else request.stream.resume();
              if (answered.has(request) || !request.lines.some((line) => line.startsWith("end"))) continue;
              answered.add(request);
              request.stream.sendHead([...ok, ...plan.fields.flat()]);
              request.stream.sendData(Buffer.alloc(plan.answer, "a"));
              if (plan.trailers.length > 0) request.stream.sendHead(plan.trailers.flat());
              request.stream.sendEnd();
              request.stream.flush();
            }
            const back = serves.pullBytes();
            pass(back, cut, client);
            if (there.length === 0 && back.length === 0 && round > 4) break;
          }
          expect(client.connection.failed || serves.connection.failed).toBe(false);
          for (const [at, plan] of made.entries()) {
            expect(serves.requests[at]?.body.length).toBe(plan.body);
            expect(serves.requests[at]?.lines[0]).toBe(`head ${[...get.flat(), ...plan.fields.flat()]}`);
            expect(heard[at]?.body.length).toBe(plan.answer);
            expect(heard[at]?.lines.at(-1)).toBe("closed by both");
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  function pass(bytes: Buffer, cut: Parameters<typeof offsetsOf>[0], to: End): void {
    let from = 0;
    // One byte at a time only where that ends some day.
    const made = typeof cut === "number" && bytes.length > 5_000 ? 997 : cut;
    for (const end of [...offsetsOf(made, bytes.length), bytes.length]) {
      to.connection.receive(bytes.subarray(from, end));
      from = end;
    }
  }
});
