// A gRPC server and a client of grpc-js on both ends of the proxy, with messages of raw bytes.

import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import type { MadeSandbox, TestKeyswap } from "./keyswap.ts";

const raw = (bytes: Buffer): Buffer => bytes;
const kinds = { requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw };
export const grpcService = {
  unary: { path: "/t.T/Unary", requestStream: false, responseStream: false, ...kinds },
  upload: { path: "/t.T/Upload", requestStream: true, responseStream: false, ...kinds },
  download: { path: "/t.T/Download", requestStream: false, responseStream: true, ...kinds },
  chat: { path: "/t.T/Chat", requestStream: true, responseStream: true, ...kinds },
} as const;

/** More than any message here. */
const maxReceived = 64 * 1024 * 1024;
const gzip = { "grpc.default_compression_algorithm": 2 };

export interface GrpcServer {
  readonly port: number;
  /** What it saw; cleared by the tests. */
  readonly metadata: Metadata[];
  readonly messages: Buffer[];
  /** Calls that the client gave up. */
  readonly cancelled: string[];
  close(): void;
}

/**
 * unary: echoes the message and the metadata `x-key` (in head and trailers); "fail" fails with `failure` in its words;
 * "never" is not answered. upload: counts bytes. download: "<count>x<size>" messages, each filled with its number. chat:
 * echoes; "leave" ends the call, "break" resets it.
 */
export async function startGrpcServer(
  keyswap: TestKeyswap,
  host: string,
  failure: string,
  compress = false,
): Promise<GrpcServer> {
  const [metadata, messages, cancelled]: [Metadata[], Buffer[], string[]] = [[], [], []];
  const server = new Server({
    "grpc.max_receive_message_length": maxReceived,
    ...(compress ? gzip : {}),
  });
  const unary: handleUnaryCall<Buffer, Buffer> = (call, answer) => {
    metadata.push(call.metadata);
    messages.push(call.request);
    call.on("cancelled", () => cancelled.push("unary"));
    const text = call.request.length < 100 ? call.request.toString() : "";
    if (text === "never") return;
    if (text === "fail") {
      const trailing = new Metadata();
      trailing.set("x-why", failure);
      answer({ code: status.FAILED_PRECONDITION, details: `no ${failure}`, metadata: trailing });
      return;
    }
    const key = String(call.metadata.get("x-key")[0] ?? "");
    const initial = new Metadata();
    initial.set("x-echo", key);
    call.sendMetadata(initial);
    const trailing = new Metadata();
    trailing.set("x-after", key);
    answer(null, call.request, trailing);
  };
  const upload: handleClientStreamingCall<Buffer, Buffer> = (call, answer) => {
    let bytes = 0;
    call.on("data", (message: Buffer) => {
      bytes += message.length;
      messages.push(message);
    });
    call.on("end", () => answer(null, Buffer.from(String(bytes))));
  };
  const download: handleServerStreamingCall<Buffer, Buffer> = (call) => {
    const [count = 0, size = 0] = call.request.toString().split("x").map(Number);
    call.on("cancelled", () => cancelled.push("download"));
    const send = (at: number): void => {
      for (let next = at; next < count; ) {
        const message = Buffer.alloc(size);
        message.writeUInt32BE(next);
        next += 1;
        if (!call.write(message)) {
          call.once("drain", () => send(next));
          return;
        }
      }
      call.end();
    };
    send(0);
  };
  const chat: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on("cancelled", () => cancelled.push("chat"));
    call.on("data", (message: Buffer) => {
      messages.push(message);
      if (message.toString() === "leave") call.end();
      else if (message.toString() === "break") call.emit("error", { code: status.ABORTED, details: "broken off" });
      else call.write(message);
    });
    call.on("end", () => call.end());
  };
  server.addService(grpcService, { unary, upload, download, chat });
  const { certPem, keyPem } = keyswap.pki.issue([host]);
  const identity = { cert_chain: Buffer.from(certPem), private_key: Buffer.from(keyPem) };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createSsl(null, [identity]), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, metadata, messages, cancelled, close: () => server.forceShutdown() };
}

export interface UnaryAnswer {
  readonly message: Buffer;
  readonly initial: Metadata;
  readonly trailing: Metadata;
}

export class GrpcClient {
  readonly #client: Client;

  /** `compress`: messages are sent with gzip. */
  constructor(keyswap: TestKeyswap, sandbox: MadeSandbox, host: string, port: number, compress = false) {
    const Made = makeGenericClientConstructor(grpcService, "T");
    // grpc-js learns of a proxy from its environment, and asks when the client is made.
    const before = process.env.grpc_proxy;
    process.env.grpc_proxy = sandbox.proxyUrl;
    this.#client = new Made(`${host}:${port}`, credentials.createSsl(Buffer.from(keyswap.caPem)), {
      "grpc.max_receive_message_length": maxReceived,
      "grpc.use_local_subchannel_pool": 1,
      ...(compress ? gzip : {}),
    });
    if (before === undefined) delete process.env.grpc_proxy;
    else process.env.grpc_proxy = before;
  }

  /** Rejects with grpc-js's ServiceError. */
  unary(message: Buffer | string, key?: string, options: { readonly deadline?: number } = {}): Promise<UnaryAnswer> {
    const sent = new Metadata();
    if (key !== undefined) sent.set("x-key", key);
    return new Promise((resolve, reject) => {
      let initial = new Metadata();
      let trailing = new Metadata();
      const { path } = grpcService.unary;
      const done = (error: ServiceError | null, answer?: Buffer): void => {
        // The status event comes right after.
        setImmediate(() => {
          if (error !== null) reject(error);
          else resolve({ message: answer ?? Buffer.alloc(0), initial, trailing });
        });
      };
      const call = this.#client.makeUnaryRequest(path, raw, raw, Buffer.from(message), sent, options, done);
      call.on("metadata", (got) => {
        initial = got;
      });
      call.on("status", (got) => {
        trailing = got.metadata;
      });
    });
  }

  upload(messages: readonly Buffer[]): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const { path } = grpcService.upload;
      const done = (error: ServiceError | null, answer?: Buffer): void =>
        error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error);
      const call = this.#client.makeClientStreamRequest(path, raw, raw, new Metadata(), {}, done);
      for (const message of messages) call.write(message);
      call.end();
    });
  }

  download(asked: string): ClientReadableStream<Buffer> {
    const { path } = grpcService.download;
    return this.#client.makeServerStreamRequest(path, raw, raw, Buffer.from(asked), new Metadata(), {});
  }

  chat(): ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(grpcService.chat.path, raw, raw, new Metadata(), {});
  }

  close(): void {
    this.#client.close();
  }
}
