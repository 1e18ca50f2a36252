// A SOCKS5 client's connection up to its request: method, user name and password (the sandbox's id and token), CONNECT.
// What follows is an opening as any other.

import type { Socket } from "node:net";
import { parseWireHost } from "../core/authority/host.ts";
import type { ErrorCode } from "../core/errors.ts";
import {
  parseSocksCredentials,
  parseSocksGreeting,
  parseSocksRequest,
  type SocksCredentials,
  type SocksParsed,
  type SocksReply,
  type SocksRequest,
  socksMethods,
  socksReplies,
  socksReplyFor,
  writeSocksMethod,
  writeSocksReply,
  writeSocksVerdict,
} from "../core/wire/socks5.ts";
import type { Connections } from "./connections.ts";
import type { Timed } from "./deadlines.ts";
import { endWith } from "./farewell.ts";
import { admit, type Caller, callerFor, openCaller } from "./identify.ts";
import { Opening, type Voice } from "./opening.ts";
import type { Services } from "./services.ts";

/** The longest message is a password's; clients may send all of theirs at once. */
const maxHeldBytes = 2 * 1024;

export class SocksPort implements Timed {
  deadlineAt: number;
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #socket: Socket;
  readonly #address: string;
  #state: "greeting" | "credentials" | "checking" | "request" | "done" = "greeting";
  #held: Buffer = Buffer.alloc(0);
  #caller: Caller | undefined;
  readonly #onData = (bytes: Buffer): void => this.#take(bytes);
  readonly #onEnd = (): void => {
    this.#socket.end();
  };
  readonly #onClose = (): void => this.#stop();

  /** Takes the socket over. */
  constructor(services: Services, connections: Connections, socket: Socket, address: string) {
    this.#services = services;
    this.#connections = connections;
    this.#socket = socket;
    this.#address = address;
    this.deadlineAt = services.clock() + services.options.limits.headTimeoutMs;
    services.deadlines.add(this);
    socket.on("close", this.#onClose);
    socket.on("end", this.#onEnd);
    socket.on("data", this.#onData);
    // Whoever looked at it first has paused it.
    socket.resume();
  }

  onDeadline(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#read();
    if (this.#state !== "done" && this.#held.length > maxHeldBytes)
      this.#refuse("bad-request", "SOCKS: too much at once");
  }

  #read(): void {
    if (this.#state === "greeting") this.#parse(parseSocksGreeting, (methods) => this.#onGreeting(methods));
    if (this.#state === "credentials")
      this.#parse(parseSocksCredentials, (credentials) => this.#onCredentials(credentials));
    if (this.#state === "request") this.#parse(parseSocksRequest, (request) => this.#onRequest(request));
  }

  #parse<T>(parse: (bytes: Buffer) => SocksParsed<T>, then: (message: T) => void): void {
    const parsed = parse(this.#held);
    if (parsed.kind === "incomplete") return;
    if (parsed.kind === "malformed") {
      this.#refuse("bad-request", `SOCKS: ${parsed.detail}`);
      return;
    }
    this.#held = this.#held.subarray(parsed.length);
    then(parsed.message);
  }

  #onGreeting(methods: readonly number[]): void {
    const open = openCaller(this.#services);
    if (open !== undefined && methods.includes(socksMethods.none)) {
      this.#caller = open;
      this.#socket.write(writeSocksMethod(socksMethods.none));
      this.#state = "request";
    } else if (methods.includes(socksMethods.password)) {
      this.#socket.write(writeSocksMethod(socksMethods.password));
      this.#state = "credentials";
    } else {
      this.#refuse("proxy-auth-required", "SOCKS: no method in common", writeSocksMethod(socksMethods.unacceptable));
    }
  }

  #onCredentials({ username, password }: SocksCredentials): void {
    // Where nobody has to show anything, whatever is shown will do.
    const credentials = { sandboxId: username, token: password };
    const caller = openCaller(this.#services) ?? callerFor(credentials, this.#services, this.#address);
    if (typeof caller === "string") {
      this.#refuse(caller, undefined, writeSocksVerdict(false));
      return;
    }
    this.#state = "checking";
    void this.#check(caller).catch((error: unknown) => {
      this.#services.logger.error({ err: error instanceof Error ? error.message : "unknown" }, "SOCKS5 failed");
      this.#socket.destroy();
    });
  }

  async #check(caller: Caller): Promise<void> {
    const known = admit(await this.#services.parts.grants.get(caller.sandboxId), caller, this.#services);
    if (this.#state !== "checking" || this.#socket.destroyed) return;
    // That grants cannot be had is told in answer to the request: it is no fault of the token.
    if (known === "proxy-auth-required" || known === "too-many-logins") {
      this.#refuse(known, undefined, writeSocksVerdict(false));
      return;
    }
    this.#caller = caller;
    this.#socket.write(writeSocksVerdict(true));
    this.#state = "request";
    this.#read();
  }

  #onRequest({ command, address, port }: SocksRequest): void {
    const caller = this.#caller;
    if (caller === undefined) return;
    if (command !== "connect") {
      this.#refuse("bad-request", `SOCKS: ${command}`, writeSocksReply(socksReplies.commandUnsupported));
      return;
    }
    if (address.kind === "unknown") {
      this.#refuse("host-invalid", "SOCKS: type of address", writeSocksReply(socksReplies.addressUnsupported));
      return;
    }
    const parsed = parseWireHost(address.text);
    if (parsed.kind === "invalid" || port === 0) {
      const detail = parsed.kind === "invalid" ? parsed.detail : "the port must be a number from 1 to 65535";
      this.#refuse("host-invalid", detail, writeSocksReply(socksReplyFor("host-invalid")));
      return;
    }
    this.#stop();
    this.#socket.pause();
    const authority = { scheme: "https", host: parsed.host, port } as const;
    const rest = this.#held.length === 0 ? undefined : this.#held;
    const request = { socket: this.#socket, rest, caller, way: "socks5", authority, voice } as const;
    new Opening(this.#services, this.#connections, request);
  }

  #refuse(code: ErrorCode, detail: string | undefined, reply?: Buffer): void {
    this.#connections.recordRefusal("socks5", this.#caller?.sandboxId, undefined, code, detail);
    this.#stop();
    if (reply === undefined) this.#socket.destroy();
    else endWith(this.#socket, reply);
  }

  #stop(): void {
    this.#state = "done";
    this.#services.deadlines.delete(this);
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onEnd);
    this.#socket.off("close", this.#onClose);
  }
}

const voice: Voice = {
  confirm(socket) {
    socket.write(writeSocksReply(socksReplies.succeeded));
  },
  refuse(socket, code) {
    const reply: SocksReply = socksReplyFor(code);
    endWith(socket, writeSocksReply(reply));
  },
};
