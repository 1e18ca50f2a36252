// What a client says first on an opened way: TLS (its ClientHello read, unanswered), HTTP, or anything else.

import type { Socket } from "node:net";
import { type ClientHello, parseClientHello, startsLikeTls } from "../core/wire/client-hello.ts";
import type { Timed } from "./deadlines.ts";
import type { Services } from "./services.ts";

export type Hello = Extract<ClientHello, { kind: "hello" }>;

/** `seen` is everything that was read; the socket is paused and has no listeners of ours any more. */
export type FirstBytes =
  | { readonly kind: "tls"; readonly seen: Buffer; readonly hello: Hello }
  | { readonly kind: "http"; readonly seen: Buffer }
  /** Neither TLS nor HTTP. Empty where the client ended its direction without a word. */
  | { readonly kind: "other"; readonly seen: Buffer }
  /** Begins like TLS and cannot be read: whoever is behind might read it differently. */
  | { readonly kind: "malformed"; readonly detail: string };

/**
 * How long a client may stay silent where its protocol may be one in which the server speaks first, in milliseconds.
 * Clients of TLS and HTTP speak at once.
 */
export const silencePatienceMs = 300;

/** No HTTP method of any registry is longer; more bytes without a blank are not HTTP. */
const maxMethodBytes = 32;
const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]";
/** A method of letters, whatever its target: where nothing but HTTP may come, its reader says what is wrong with it. */
const methodSeen = /^(?:\r\n)*[A-Za-z-]+ /;
// "SSH-2.0-OpenSSH_9.2 Debian" and "EHLO me" begin with a token and a blank too. `PRI *` is HTTP/2 without TLS.
const httpSeen = new RegExp(`^(?:\\r\\n)*(?:CONNECT |(?!PRI )${token}+ (?:/|\\* H|https?://))`);
const httpBegun = new RegExp(
  `^(?:\\r\\n)*(?:C|CO|CON|CONN|CONNE|CONNEC|${token}+ (?:\\*|\\* |[htps]{1,5}:?/?)?|${token}*)$`,
);
const maxStartBytes = maxMethodBytes + 12;
const nothing = Buffer.alloc(0);

/**
 * Reads until it can tell, and says so once, possibly before the constructor returns; never where the socket closes
 * first. Without `onSilence` the client has to speak TLS or HTTP, and what looks like HTTP passes for it. With it anything
 * may come, HTTP has to be plain to see, and silence is told of, after which reading goes on.
 */
export class FirstBytesReader implements Timed {
  deadlineAt: number;
  readonly #services: Services;
  readonly #socket: Socket;
  readonly #onSilence: (() => void) | undefined;
  readonly #then: (first: FirstBytes) => void;
  #seen: Buffer | undefined;
  #patience: NodeJS.Timeout | undefined;
  #stopped = false;
  readonly #onData = (bytes: Buffer): void => this.#look(bytes);
  readonly #onClose = (): void => {
    this.stop();
  };
  readonly #onEnd = (): void => {
    if (this.#onSilence === undefined) this.#socket.end();
    else this.#tell({ kind: "other", seen: this.#seen ?? nothing });
  };

  constructor(
    services: Services,
    socket: Socket,
    rest: Buffer | undefined,
    then: (first: FirstBytes) => void,
    onSilence?: () => void,
  ) {
    this.#services = services;
    this.#socket = socket;
    this.#onSilence = onSilence;
    this.#then = then;
    this.deadlineAt = services.clock() + services.options.limits.headTimeoutMs;
    services.deadlines.add(this);
    socket.on("close", this.#onClose);
    socket.on("end", this.#onEnd);
    socket.on("data", this.#onData);
    if (onSilence !== undefined) this.#patience = setTimeout(() => this.#onPatienceEnd(), silencePatienceMs);
    if (rest !== undefined) this.#look(rest);
    if (!this.#stopped) socket.resume();
  }

  /** Half a ClientHello or more has come. */
  get looksLikeTls(): boolean {
    return this.#seen !== undefined && startsLikeTls(this.#seen);
  }

  /** Lets go of the socket, which is paused; what was read comes back. */
  stop(): Buffer | undefined {
    this.#stopped = true;
    clearTimeout(this.#patience);
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onEnd);
    this.#socket.off("close", this.#onClose);
    this.#services.deadlines.delete(this);
    this.#socket.pause();
    return this.#seen;
  }

  onDeadline(): void {
    this.#socket.destroy();
  }

  #look(bytes: Buffer): void {
    const seen = this.#seen === undefined ? bytes : Buffer.concat([this.#seen, bytes]);
    this.#seen = seen;
    if (startsLikeTls(seen)) {
      const hello = parseClientHello(seen);
      if (hello.kind === "hello") this.#tell({ kind: "tls", seen, hello });
      else if (hello.kind === "malformed") this.#tell({ kind: "malformed", detail: hello.detail });
      else if (hello.kind === "not-tls") this.#tell({ kind: "other", seen });
      return;
    }
    const isPatient = this.#onSilence !== undefined;
    const text = seen.toString("latin1", 0, maxStartBytes);
    if (httpSeen.test(text) || (!isPatient && methodSeen.test(text))) this.#tell({ kind: "http", seen });
    else if (!httpBegun.test(text) || seen.length > maxMethodBytes) this.#tell({ kind: "other", seen });
  }

  #onPatienceEnd(): void {
    if (this.#seen === undefined) this.#onSilence?.();
    // Half a ClientHello will be completed; half a word may be all that a client of another protocol says.
    else if (!this.looksLikeTls) this.#tell({ kind: "other", seen: this.#seen });
  }

  #tell(first: FirstBytes): void {
    this.stop();
    this.#then(first);
  }
}
