import { describe, expect, test } from "vitest";
import { makeField, type RequestHead, type ResponseHead } from "../../../src/core/message.ts";
import {
  asksForWebSocket,
  toWebSocketRequest,
  webSocketAnswerFault,
} from "../../../src/core/wire/websocket-handshake.ts";
import { writeRequestHead, writeResponseHead } from "../../../src/core/wire/writer.ts";

const usual = {
  Host: "a.test",
  Connection: "keep-alive, Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
};

const fieldsOf = (fields: Record<string, string>) =>
  Object.entries(fields).map(([name, value]) => makeField(name, value));
const request = (fields: Record<string, string> = {}, more: Partial<RequestHead> = {}): RequestHead => {
  return { method: "GET", target: "/", minor: 1, fields: fieldsOf({ ...usual, ...fields }), ...more };
};
const answer = (fields: Record<string, string>): ResponseHead => {
  return { status: 101, reason: "Switching Protocols", minor: 1, fields: fieldsOf(fields) };
};

describe("a request asks for WebSocket", () => {
  test("as every client writes it", () => {
    expect(asksForWebSocket(request(), 0)).toBe(true);
    expect(asksForWebSocket(request({ Upgrade: "WebSocket", Connection: "upgrade" }), 0)).toBe(true);
  });

  test.each([
    ["another method", request({}, { method: "POST" }), 0],
    ["HTTP/1.0", request({}, { minor: 0 }), 0],
    ["a body", request(), 5],
    ["a chunked body", request(), "chunked"],
    ["another protocol", request({ Upgrade: "h2c" }), 0],
    ["no word of it in Connection", request({ Connection: "keep-alive" }), 0],
    ["another version", request({ "Sec-WebSocket-Version": "8" }), 0],
  ] as const)("not with %s", (_name, head, length) => {
    expect(asksForWebSocket(head, length)).toBe(false);
  });
});

test("goes upstream without extensions, and with its Upgrade", () => {
  const text = writeRequestHead(toWebSocketRequest(request()), "/", 0);
  expect(text).not.toContain("deflate");
  expect(text).toContain("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
  expect(text.match(/^(?:connection|upgrade): .*$/gim)).toEqual(["Connection: Upgrade", "Upgrade: websocket"]);
});

test("an ordinary request's Upgrade stays behind", () => {
  expect(writeRequestHead(request({ Upgrade: "h2c" }), "/", 0)).not.toMatch(/upgrade/i);
});

test("the answer is written with its Upgrade", () => {
  const head = answer({ Upgrade: "WebSocket", Connection: "Upgrade", "Sec-WebSocket-Accept": "x" });
  expect(writeResponseHead(head, undefined, false)).toBe(
    "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  );
});

describe("an answer", () => {
  test("to WebSocket is right", () => {
    expect(webSocketAnswerFault(answer({ Upgrade: "websocket" }))).toBeUndefined();
  });

  test("to another protocol, or with an extension that was not offered, is not", () => {
    expect(webSocketAnswerFault(answer({ Upgrade: "h2c" }))).toBe("101 to another protocol");
    expect(webSocketAnswerFault(answer({}))).toBe("101 to another protocol");
    expect(
      webSocketAnswerFault(answer({ Upgrade: "websocket", "Sec-WebSocket-Extensions": "permessage-deflate" })),
    ).toBe("an extension that was not offered");
  });
});
