// Peers for tests of HTTP/2: a client through the proxy, and an origin that speaks the protocols it is told to.

import type { RequestListener } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type SessionOptions,
} from "node:http2";
import { createServer } from "node:https";
import { type AddressInfo, connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { MadeSandbox, TestKeyswap } from "./keyswap.ts";
import type { Pki } from "./pki.ts";

/** Over HTTP/1.1 they are node:http's, which have the same methods, but no `stream`. */
export type OriginRequest = Http2ServerRequest;
export type OriginResponse = Http2ServerResponse;

export interface SeenRequest {
  readonly protocol: "h2" | "http/1.1";
  readonly method: string;
  readonly target: string;
  /** Host or `:authority`. */
  readonly authority: string;
  /** Names in lower case, with their values as sent. No pseudo-headers. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
}

export interface Http2Origin {
  readonly port: number;
  /** Requests in the order in which they were complete. */
  readonly seen: SeenRequest[];
  last(): SeenRequest;
  readonly sockets: ReadonlySet<Socket>;
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  /** Decides what is answered; called when the request is complete. */
  handler: (response: OriginResponse, seen: SeenRequest, request: OriginRequest) => void;
  /** Called before the body is read; answering true takes the request over. */
  early: ((request: OriginRequest, response: OriginResponse) => boolean) | undefined;
  close(): Promise<void>;
}

export async function startHttp2Origin(options: {
  readonly pki: Pki;
  readonly names: string[];
  readonly speaks: "h2" | "http/1.1" | "both";
  readonly session?: SessionOptions;
}): Promise<Http2Origin> {
  const { certPem, keyPem } = options.pki.issue(options.names);
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const onRequest = (request: OriginRequest, response: OriginResponse): void => {
    request.on("error", () => {});
    response.on("error", () => {});
    if (origin.early?.(request, response)) return;
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const fields = pairs(request.rawHeaders);
      const isHttp2 = request.httpVersion === "2.0";
      const seen: SeenRequest = {
        protocol: isHttp2 ? "h2" : "http/1.1",
        method: request.method ?? "",
        target: request.url ?? "",
        authority: fields.find(([name]) => name === (isHttp2 ? ":authority" : "host"))?.[1] ?? "",
        fields: fields.filter(([name]) => !name.startsWith(":") && name !== "host"),
        body: Buffer.concat(parts),
        trailers: pairs(request.rawTrailers),
      };
      origin.seen.push(seen);
      origin.handler(response, seen, request);
    });
  };
  const key = { cert: certPem, key: keyPem };
  const server =
    options.speaks === "http/1.1"
      ? // A cast, because the two libraries' types do not know of each other.
        createServer(key, onRequest as unknown as RequestListener)
      : createSecureServer({ ...key, ...options.session, allowHTTP1: options.speaks === "both" }, onRequest).on(
          "session",
          (session) => {
            sessions.add(session);
            session.on("error", () => {});
            session.on("close", () => sessions.delete(session));
          },
        );
  server.on("secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("sessionError", () => {});
  server.on("clientError", (_error: Error, socket: Socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin: Http2Origin = {
    port: (server.address() as AddressInfo).port,
    seen: [],
    last() {
      const entry = origin.seen.at(-1);
      if (entry === undefined) throw new Error("the origin saw no request");
      return entry;
    },
    sockets,
    sessions,
    handler: (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end('{"ok":true}');
    },
    early: undefined,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return origin;
}

/** A TLS connection through a CONNECT to the proxy. */
export async function tunnelTls(
  keyswap: TestKeyswap,
  sandbox: MadeSandbox,
  host: string,
  port: number,
  alpn: string[],
): Promise<TLSSocket> {
  const socket = connectTcp(keyswap.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write(
    `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`,
  );
  const answer = await new Promise<string>((resolve, reject) => {
    socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1")));
    socket.once("close", () => reject(new Error("closed before CONNECT was answered")));
  });
  if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(answer);
  const secure = connectTls({ socket, servername: host, ca: keyswap.caPem, ALPNProtocols: alpn });
  await new Promise<void>((resolve, reject) => {
    secure.once("secureConnect", resolve);
    secure.once("error", reject);
  });
  secure.on("error", () => {});
  return secure;
}

export async function connectHttp2(
  keyswap: TestKeyswap,
  sandbox: MadeSandbox,
  host: string,
  port: number,
  options: SessionOptions = {},
): Promise<ClientHttp2Session> {
  const socket = await tunnelTls(keyswap, sandbox, host, port, ["h2", "http/1.1"]);
  if (socket.alpnProtocol !== "h2") throw new Error(`ALPN chose ${String(socket.alpnProtocol)}`);
  const session = connect(`https://${host}:${port}`, { ...options, createConnection: () => socket });
  session.on("error", () => {});
  return session;
}

export interface Http2Answer {
  readonly status: number;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  readonly interim: readonly (readonly (readonly [string, string])[])[];
  /** RFC 9113 section 7. */
  readonly rstCode: number;
  /** END_STREAM came before the stream closed. */
  readonly ended: boolean;
}

export interface Http2Ask {
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  /** Pseudo-headers too, if they shall be others. */
  readonly fields?: readonly (readonly [string, string])[];
  readonly body?: string | Buffer;
  readonly trailers?: Record<string, string>;
}

/** Opens a stream; the writable side is left open where there is a body. */
export function open(session: ClientHttp2Session, ask: Http2Ask): ClientHttp2Stream {
  const list = [":method", ask.method ?? "GET", ":path", ask.path ?? "/", ":scheme", "https"];
  if (ask.authority !== undefined) list.push(":authority", ask.authority);
  for (const [name, value] of ask.fields ?? []) list.push(name, value);
  const stream = session.request(list, {
    endStream: ask.body === undefined && ask.trailers === undefined,
    waitForTrailers: ask.trailers !== undefined,
  });
  stream.on("error", () => {});
  if (ask.trailers !== undefined) stream.on("wantTrailers", () => stream.sendTrailers(ask.trailers ?? {}));
  return stream;
}

/** Resolves when the stream has closed. */
export function answerOf(stream: ClientHttp2Stream): Promise<Http2Answer> {
  let [status, ended] = [0, false];
  let fields: Http2Answer["fields"] = [];
  let trailers: Http2Answer["trailers"] = [];
  const interim: Http2Answer["interim"][number][] = [];
  const parts: Buffer[] = [];
  stream.on("headers", (_headers, _flags, list) => interim.push(pairs(list)));
  stream.on("response", (headers, _flags, list) => {
    status = Number(headers[":status"]);
    fields = pairs(list).filter(([name]) => !name.startsWith(":"));
  });
  stream.on("trailers", (_headers, _flags, list) => {
    trailers = pairs(list);
  });
  stream.on("data", (part: Buffer) => parts.push(part));
  stream.on("end", () => {
    ended = true;
  });
  return new Promise((resolve) => {
    stream.on("close", () =>
      resolve({ status, fields, body: Buffer.concat(parts), trailers, interim, rstCode: stream.rstCode ?? 0, ended }),
    );
  });
}

export function exchange(session: ClientHttp2Session, ask: Http2Ask = {}): Promise<Http2Answer> {
  const stream = open(session, ask);
  const answer = answerOf(stream);
  if (ask.body !== undefined) stream.end(ask.body);
  else if (ask.trailers !== undefined) stream.end();
  return answer;
}

/** Every value of a field. */
export function valuesOf(fields: readonly (readonly [string, string])[], name: string): string[] {
  return fields.filter(([key]) => key === name).map(([, value]) => value);
}

function pairs(list: readonly string[]): [string, string][] {
  const made: [string, string][] = [];
  for (let at = 0; at < list.length; at += 2) made.push([(list[at] ?? "").toLowerCase(), list[at + 1] ?? ""]);
  return made;
}
