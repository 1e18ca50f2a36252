// One connection's bytes as two parsers read them: ours, and Node's (llhttp, strict, as node:http has it by default).

import { createRequire } from "node:module";
import { type Field, makeField, type RequestHead, type ResponseHead } from "../../src/core/message.ts";
import { type BodyLength, isPersistent } from "../../src/core/wire/framing.ts";
import { type MessageLimits, RequestReader, ResponseReader } from "../../src/core/wire/message-reader.ts";

/** Which way the bytes go. A response belongs to a request's method. */
export type Direction = "request" | "response";

export interface Message {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly reason: string;
  readonly minor: number;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Latin-1. */
  body: string;
  trailers: readonly (readonly [name: string, value: string])[];
  complete: boolean;
  /** What its sender means to do next: send another message, end the connection, or speak another protocol. */
  after: "next" | "close" | "switch";
}

export interface Transcript {
  readonly messages: Message[];
  /** Why the bytes were refused; undefined where they were not (they may be incomplete). */
  refusal: string | undefined;
  /** What follows the last message and is not HTTP any more, or not to be read; Latin-1. */
  rest: string;
}

/** `methods`: those of the requests that are answered, in order; GET beyond. Reading stops after a last message. */
export function readWithKeyswap(
  direction: Direction,
  chunks: readonly Buffer[],
  methods: readonly string[],
  limits: MessageLimits,
): Transcript {
  const transcript: Transcript = { messages: [], refusal: undefined, rest: "" };
  let current: Message | undefined;
  let answered = 0;
  let stopped = false;
  const handler = {
    onHead(head: RequestHead | ResponseHead, length: BodyLength): void {
      const { minor } = head;
      const fields = pairs(head.fields);
      current = emptyMessage(
        "method" in head
          ? { method: head.method, target: head.target, status: 0, reason: "", minor, fields }
          : { method: "", target: "", status: head.status, reason: head.reason, minor, fields },
      );
      current.after = isPersistent(head) && length !== "close" ? "next" : "close";
      transcript.messages.push(current);
      if (isInterim(direction, current.status)) current.complete = true;
    },
    onData(content: Buffer): void {
      if (current !== undefined) current.body += content.toString("latin1");
    },
    onEnd(trailers: readonly Field[]): void {
      if (current === undefined) throw new Error("an end without a head");
      current.trailers = pairs(trailers);
      current.complete = true;
      answered++;
      if (responses !== undefined) responses.method = methods[answered] ?? "GET";
      if (changesProtocol(direction, current, methods[answered - 1])) current.after = "switch";
      stopped = current.after !== "next";
      if (!stopped) reader.next();
    },
    onFault(fault: string, detail: string): void {
      transcript.refusal = `${fault}: ${detail}`;
    },
  };
  const responses = direction === "response" ? new ResponseReader(handler, limits) : undefined;
  const reader = responses ?? new RequestReader(handler, limits);
  if (responses !== undefined) responses.method = methods[0] ?? "GET";
  for (const chunk of chunks) reader.push(chunk);
  if (transcript.refusal !== undefined) return transcript;
  if (stopped) transcript.rest = reader.takeRest()?.toString("latin1") ?? "";
  else reader.finish();
  return transcript;
}

/** The same by Node's parser. */
export function readWithNode(direction: Direction, bytes: Buffer, methods: readonly string[]): Transcript {
  const transcript: Transcript = { messages: [], refusal: undefined, rest: "" };
  const parser = new HTTPParser();
  parser.initialize(direction === "request" ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 1 << 20, 0);
  let current: Message | undefined;
  let pending: string[] = [];
  let pendingUrl = "";
  let answered = 0;
  let stopped = false;
  parser[HTTPParser.kOnMessageBegin | 0] = () => {
    current = undefined;
  };
  parser[HTTPParser.kOnHeaders | 0] = (fields: string[], url: string) => {
    pending.push(...fields);
    pendingUrl += url;
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (
    _major: number,
    minor: number,
    fields: string[] | undefined,
    method: number | undefined,
    url: string | undefined,
    status: number | undefined,
    reason: string | undefined,
    _upgrade: boolean,
    persistent: boolean,
  ): number => {
    current = emptyMessage({
      // The list leaves out what is no HTTP method, so the numbers behind that are off: only QUERY is there.
      method: method === undefined ? "" : (knownMethods[method] ?? "QUERY"),
      target: url ?? pendingUrl,
      status: status ?? 0,
      reason: reason ?? "",
      minor,
      fields: inPairs(fields ?? pending),
    });
    // It does not know yet that an answer to HEAD has no body, and takes the connection's end for the body's.
    const asked = methods[answered] ?? "GET";
    current.after = persistent || (direction === "response" && asked === "HEAD") ? "next" : "close";
    pending = [];
    pendingUrl = "";
    transcript.messages.push(current);
    if (direction === "request") return 0;
    // As node:http's client has it: 1 is "no body", 2 "no body, and another protocol follows".
    if (current.status === 101 || (asked === "CONNECT" && current.status >= 200 && current.status < 300)) return 2;
    return asked === "HEAD" || current.status < 200 ? 1 : 0;
  };
  parser[HTTPParser.kOnBody | 0] = (content: Buffer) => {
    if (current !== undefined) current.body += content.toString("latin1");
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    if (current === undefined) return;
    current.trailers = inPairs(pending);
    pending = [];
    pendingUrl = "";
    current.complete = true;
    if (isInterim(direction, current.status)) return;
    stopped = changesProtocol(direction, current, methods[answered]);
    if (stopped) current.after = "switch";
    answered++;
  };
  let pos = 0;
  // An upgrade ends `execute`; node:http without a listener for it reads on.
  for (;;) {
    const result = parser.execute(bytes.subarray(pos));
    if (typeof result !== "number") {
      transcript.refusal = `${result.code}: ${result.reason}`;
      break;
    }
    pos += result;
    if (stopped || pos >= bytes.length) break;
    // Behind an upgrade the binding hides errors and only shows that it stopped short.
    if (result === 0 || !isComplete(current)) {
      transcript.refusal = "an error behind an upgrade";
      break;
    }
  }
  if (transcript.refusal === undefined && stopped) transcript.rest = bytes.toString("latin1", pos);
  else if (transcript.refusal === undefined) parser.finish();
  parser.close();
  return transcript;
}

// TypeScript does not see that callbacks assign to the variable.
function isComplete(message: Message | undefined): boolean {
  return message?.complete === true;
}

/** Whether these bytes end after this message: CONNECT, or 101. */
function changesProtocol(direction: Direction, message: Message, asked: string | undefined): boolean {
  if (direction === "request") return message.method === "CONNECT";
  return message.status === 101 || (asked === "CONNECT" && message.status < 300);
}

function isInterim(direction: Direction, status: number): boolean {
  return direction === "response" && status < 200 && status !== 101;
}

function emptyMessage(head: Pick<Message, "method" | "target" | "status" | "reason" | "minor" | "fields">): Message {
  return { ...head, body: "", trailers: [], complete: false, after: "next" };
}

function pairs(fields: readonly Field[]): (readonly [string, string])[] {
  return fields.map((field) => {
    if (field.key !== makeField(field.name, "").key) throw new Error("a field's key is not its name in lower case");
    return [field.name, field.value] as const;
  });
}

function inPairs(flat: readonly string[]): (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) found.push([flat[i] ?? "", flat[i + 1] ?? ""]);
  return found;
}

/** Node's binding to llhttp, as node:_http_common exports it; it has no types. */
interface NodeParser {
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Buffer): number | { code: string; reason: string };
  finish(): unknown;
  close(): void;
  [callback: number]: unknown;
}
interface NodeParserClass {
  new (): NodeParser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnMessageBegin: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}
// The cast gives an untyped internal module the shape that the tests below it rely on.
const { HTTPParser, methods: knownMethods } = createRequire(import.meta.url)("node:_http_common") as {
  HTTPParser: NodeParserClass;
  methods: readonly string[];
};

/** The methods that Node's parser knows. */
export { knownMethods };
