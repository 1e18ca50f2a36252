// The settings that bound what sandboxes, upstreams and strangers may take: the part of the table in settings.ts that
// few have to touch.

import { integer } from "./values.ts";

const HOUR_MS = 3_600_000;
const MIB = 1_048_576;
const count = integer(1, 1_000_000);
const timeMs = integer(100, 24 * HOUR_MS);

export const bounds = {
  maxConnections: {
    schema: count,
    description: "Connections of clients, in all, on each of the proxy's ports; further ones are closed.",
    example: "20000",
    fallback: "20000",
    part: "proxy",
  },
  maxSandboxConnections: {
    schema: count,
    description: "Connections of one sandbox, and as many of its HTTP to destinations; beyond it 429.",
    example: "4000",
    fallback: "4000",
    part: "proxy",
  },
  maxNewcomers: {
    schema: count,
    description:
      "Connections that have not said yet whose they are, of each proxy process and of each Secret API; beyond it the oldest is closed.",
    example: "2000",
    fallback: "2000",
    part: "both",
  },
  maxFailedLogins: {
    schema: count,
    description:
      "Wrong credentials that one address (of IPv6: one /64) may show in a minute, to each proxy process and to each Secret API; beyond it 429. Those that were right from there before pass always.",
    example: "60",
    fallback: "60",
    part: "both",
  },
  maxMints: {
    schema: count,
    description: "Certificates that one sandbox may have made in a minute; hosts that have one already do not count.",
    example: "6000",
    fallback: "6000",
    part: "proxy",
  },
  maxHeadBytes: {
    schema: integer(4_096, MIB),
    description: "Size of a request's or an answer's head, in bytes.",
    example: "65536",
    fallback: "65536",
    part: "proxy",
  },
  maxFields: {
    schema: integer(10, 10_000),
    description: "Fields of a request's or an answer's head.",
    example: "200",
    fallback: "200",
    part: "proxy",
  },
  maxHeldBytes: {
    schema: integer(MIB, 64 * 1024 * MIB),
    description: "Bodies that are held at a time, in all, in bytes; beyond it bodies are streamed instead.",
    example: "268435456",
    fallback: "268435456",
    part: "proxy",
  },
  headTimeoutMs: {
    schema: timeMs,
    description: "For a request's head, and for a TLS handshake, in milliseconds.",
    example: "30000",
    fallback: "30000",
    part: "proxy",
  },
  bodyTimeoutMs: {
    schema: timeMs,
    description: "For the next bytes of a request's body before its answer; none for gRPC's streams. In milliseconds.",
    example: "60000",
    fallback: "60000",
    part: "proxy",
  },
  stallTimeoutMs: {
    schema: timeMs,
    description:
      "For a client that takes nothing of an answer that waits for it, and for either side of a tunnel or WebSocket that takes nothing; in milliseconds.",
    example: "120000",
    fallback: "120000",
    part: "proxy",
  },
  idleTimeoutMs: {
    schema: timeMs,
    description: "For a client's connection without a request, in milliseconds.",
    example: "120000",
    fallback: "120000",
    part: "proxy",
  },
  answerTimeoutMs: {
    schema: timeMs,
    description: "From the end of a request to the head of its answer, in milliseconds; slow answers are normal.",
    example: "600000",
    fallback: "600000",
    part: "proxy",
  },
} as const;
