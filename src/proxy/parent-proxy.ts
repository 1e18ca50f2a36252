// The parent proxy: upstreams are reached through it, by CONNECT (http, https) or by SOCKS5, and never past it but where a
// rule says so. Names go by name, so the parent resolves them; dial.ts says what is judged here all the same.

import type { Socket } from "node:net";
import { type Authority, formatAuthority } from "../core/authority/authority.ts";
import { type Host, isIpLiteral, parseHost } from "../core/authority/host.ts";
import { type Cidr, CidrSet, parseIp } from "../core/authority/ip.ts";
import { EgressList, type EgressPattern } from "../core/authority/policy.ts";
import { KeyswapError } from "../core/errors.ts";
import type { SecretValue } from "../core/secret-value.ts";
import { parseResponseHead } from "../core/wire/head.ts";
import {
  parseSocksMethod,
  parseSocksReply,
  parseSocksVerdict,
  type SocksParsed,
  socksMethods,
  writeSocksConnect,
  writeSocksCredentials,
  writeSocksGreeting,
} from "../core/wire/socks5.ts";

/** Where the parent is left out: hosts (with or without a port) and, for destinations that are addresses, blocks. */
export interface NoProxyRules {
  readonly hosts: readonly EgressPattern[];
  readonly cidrs: readonly Cidr[];
}

export class ParentProxy {
  readonly authority: Authority;
  /** Whether TLS is spoken with the parent itself. */
  readonly isTls: boolean;
  readonly #isSocks: boolean;
  readonly #credentials: { readonly username: string; readonly password: string } | undefined;
  readonly #directHosts: EgressList;
  readonly #directAddresses: CidrSet;

  /** `url`: http, https or socks5, with or without user name and password. Throws where it cannot be read, quoting nothing. */
  constructor(url: SecretValue, noProxy: NoProxyRules) {
    const parsed = URL.parse(url.reveal().toString("utf8"));
    // A scheme that URL does not know keeps its host as it was written.
    const host = parsed === null ? undefined : parseHost(parsed.hostname);
    const fallbackPort = parsed === null ? undefined : defaultPorts[parsed.protocol];
    if (parsed === null || host?.kind !== "host" || fallbackPort === undefined) {
      throw new Error("the parent proxy's URL is not http://, https:// or socks5:// with a host");
    }
    this.isTls = parsed.protocol === "https:";
    this.#isSocks = parsed.protocol === "socks5:";
    const port = parsed.port === "" ? fallbackPort : Number(parsed.port);
    this.authority = { scheme: "https", host: host.host, port };
    this.#credentials = parsed.username === "" ? undefined : decodeCredentials(parsed);
    this.#directHosts = new EgressList(noProxy.hosts);
    this.#directAddresses = new CidrSet(noProxy.cidrs);
  }

  /** Whether a rule leaves the parent out. */
  isLeftOutFor(authority: Authority): boolean {
    if (this.#directHosts.find(authority) !== undefined) return true;
    const ip = isIpLiteral(authority.host) ? parseIp(authority.host) : undefined;
    return ip !== undefined && this.#directAddresses.has(ip);
  }

  /**
   * Asks the parent, over a connection to it, for one to `authority`; then the socket leads there. Rejects with
   * parent-proxy-failed, or with the signal's reason; the socket is the caller's to close.
   */
  async open(socket: Socket, authority: Authority, signal: AbortSignal): Promise<void> {
    if (this.#isSocks) await this.#openSocks(socket, authority, signal);
    else await this.#openHttp(socket, authority, signal);
  }

  async #openHttp(socket: Socket, authority: Authority, signal: AbortSignal): Promise<void> {
    const target = formatAuthority(authority);
    const { username, password } = this.#credentials ?? {};
    const basic = Buffer.from(`${username}:${password}`, "utf8").toString("base64");
    const proof = username === undefined ? "" : `Proxy-Authorization: Basic ${basic}\r\n`;
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${proof}\r\n`, "latin1");
    const status = await readMessage(socket, parseConnectAnswer, signal);
    if (status < 200 || status > 299) throw failed(authority, `it answered ${status}`);
  }

  async #openSocks(socket: Socket, authority: Authority, signal: AbortSignal): Promise<void> {
    const credentials = this.#credentials === undefined ? undefined : writeSocksCredentials(this.#credentials);
    socket.write(writeSocksGreeting(credentials === undefined ? [socksMethods.none] : [0, socksMethods.password]));
    const method = await readMessage(socket, parseSocksMethod, signal);
    if (method === socksMethods.password && credentials !== undefined) {
      socket.write(credentials);
      if (!(await readMessage(socket, parseSocksVerdict, signal)))
        throw failed(authority, "it refuses our credentials");
    } else if (method !== socksMethods.none) throw failed(authority, "it wants another authentication");
    const { host, port } = authority;
    socket.write(writeSocksConnect(host, isIpLiteral(host) ? parseIp(host) : undefined, port));
    const reply = await readMessage(socket, parseSocksReply, signal);
    if (reply !== 0) throw failed(authority, `it replied ${reply}`);
  }
}

/**
 * Names that mean something inside: without a dot, special by RFC 6761, 6762 and 8375, `internal` by ICANN's reservation,
 * and those that networks use all the same (RFC 6762, appendix G). A parent would resolve them to who knows what.
 */
export function isInternalName(host: Host): boolean {
  return /^[^.]+$|(?:^|\.)(?:localhost|localdomain|local|internal|home\.arpa|intranet|private|corp|home|lan)$/.test(
    host,
  );
}

const defaultPorts: Readonly<Record<string, number>> = { "http:": 80, "https:": 443, "socks5:": 1080 };
const maxAnswerBytes = 16 * 1024;
const maxAnswerFields = 100;

function decodeCredentials({ username, password }: URL): { username: string; password: string } {
  try {
    return { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  } catch {
    throw new Error("the parent proxy's user name and password are not percent-encoded");
  }
}

/** The status of the answer to CONNECT; what stands behind its head is the destination's already. */
function parseConnectAnswer(bytes: Buffer): SocksParsed<number> {
  const end = bytes.indexOf("\r\n\r\n", 0, "latin1");
  if (end === -1) {
    return bytes.length > maxAnswerBytes ? { kind: "malformed", detail: "its answer" } : { kind: "incomplete" };
  }
  const length = end + 4;
  const parsed = parseResponseHead(bytes.subarray(0, end + 2), maxAnswerFields);
  if (parsed.kind !== "head") return { kind: "malformed", detail: "its answer" };
  return { kind: "message", message: parsed.head.status, length };
}

/** Reads one message and leaves what follows in the socket. */
function readMessage<T>(socket: Socket, parse: (bytes: Buffer) => SocksParsed<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let held: Buffer = Buffer.alloc(0);
  const stop = (): void => {
    // Not `data` and `pause`: whoever is next must find the socket as if it had never been read.
    socket.off("readable", onReadable);
    socket.off("end", onEnd);
    socket.off("close", onEnd);
    signal.removeEventListener("abort", onAbort);
  };
  const onReadable = (): void => {
    for (let bytes: unknown = socket.read(); Buffer.isBuffer(bytes); bytes = socket.read()) {
      held = Buffer.concat([held, bytes]);
      const parsed = parse(held);
      if (parsed.kind === "incomplete") continue;
      stop();
      if (parsed.kind === "malformed") reject(new KeyswapError("parent-proxy-failed", `${parsed.detail} is malformed`));
      else {
        if (held.length > parsed.length) socket.unshift(held.subarray(parsed.length));
        resolve(parsed.message);
      }
      return;
    }
  };
  const onEnd = (): void => {
    stop();
    reject(new KeyswapError("parent-proxy-failed", "it closed the connection"));
  };
  const onAbort = (): void => {
    stop();
    reject(signal.reason);
  };
  socket.on("readable", onReadable);
  socket.on("end", onEnd);
  socket.on("close", onEnd);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort);
  return promise;
}

function failed(authority: Authority, detail: string): KeyswapError {
  return new KeyswapError("parent-proxy-failed", `${formatAuthority(authority)}: ${detail}`);
}
