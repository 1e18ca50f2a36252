// What is measured of each contender. Every answer is checked: it has to tell that the real credential arrived.

import { Connection, type Target } from "./load.ts";
import { downloadBytes, hostName, postBytes, uploadBytes } from "./scenario.ts";

export interface Work {
  /** Requests, connections or MiB. */
  readonly amount: number;
  readonly unit: "request" | "connection" | "MiB";
}

export interface Phase {
  readonly name: string;
  readonly run: (target: Target, seconds: number) => Promise<Work>;
}

const connections = 16;

export const phases: readonly Phase[] = [
  {
    name: `small GET, keep-alive, ${connections} connections`,
    run: (target, seconds) => keepAlive(target, seconds, () => [requestHead(target, "GET", "/small"), []]),
  },
  {
    name: `POST of ${postBytes / 1024} KiB JSON, ${connections} connections`,
    run: (target, seconds) => {
      const body = jsonBody(target, postBytes);
      return keepAlive(target, seconds, () => [requestHead(target, "POST", "/post", body.length), [body]]);
    },
  },
  { name: "new connection, 8 at a time", run: newConnections },
  { name: `upload of ${uploadBytes / 1024 / 1024} MiB JSON`, run: upload },
  { name: `download of ${downloadBytes / 1024 / 1024} MiB`, run: download },
];

export function requestHead(target: Target, method: string, path: string, length?: number): string {
  const framing = length === undefined ? "" : `Content-Type: application/json\r\nContent-Length: ${length}\r\n`;
  return (
    `${method} ${path} HTTP/1.1\r\nHost: ${hostName}:${target.originPort}\r\nUser-Agent: bench\r\nAccept: */*\r\n` +
    `Authorization: Bearer ${target.placeholder}\r\n${framing}\r\n`
  );
}

/** JSON of this many bytes; a placeholder stands at its end. */
function jsonBody(target: Target, bytes: number): Buffer {
  const end = `","key":"${target.placeholder}"}`;
  const start = '{"text":"';
  const line = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. ";
  const text = line.repeat(Math.ceil(bytes / line.length)).slice(0, bytes - start.length - end.length);
  return Buffer.from(start + text + end, "latin1");
}

/** `answer`: head and beginning of the body. */
function check(target: Target, answer: Buffer, hasBody: boolean): void {
  const text = answer.toString("latin1");
  // Directly the placeholder arrives: nobody is there to replace it.
  const header = target.port === target.originPort ? "other" : "real";
  const isRight = text.includes(`"header":"${header}"`) || text.toLowerCase().includes(`x-saw: ${header}`);
  const isBodyRight = !hasBody || !target.writesBodies || text.includes('"body":"real"');
  if (!isRight || !isBodyRight) throw new Error(`another credential arrived: ${text.slice(0, 600)}`);
}

async function keepAlive(
  target: Target,
  seconds: number,
  make: () => [head: string, body: readonly Buffer[]],
): Promise<Work> {
  const until = performance.now() + seconds * 1000;
  let amount = 0;
  const [head, body] = make();
  const run = async (): Promise<void> => {
    const connection = await Connection.open(target);
    do {
      const answer = await connection.exchange(head, body);
      if (amount % 100 === 0) check(target, answer, body.length > 0);
      amount += 1;
    } while (performance.now() < until);
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, run));
  return { amount, unit: "request" };
}

async function newConnections(target: Target, seconds: number): Promise<Work> {
  const until = performance.now() + seconds * 1000;
  const head = requestHead(target, "GET", "/small");
  let amount = 0;
  const run = async (): Promise<void> => {
    do {
      const connection = await Connection.open(target);
      check(target, await connection.exchange(head), false);
      connection.close();
      amount += 1;
    } while (performance.now() < until);
  };
  await Promise.all(Array.from({ length: 8 }, run));
  return { amount, unit: "connection" };
}

async function upload(target: Target): Promise<Work> {
  const piece = 1024 * 1024;
  const body = Array.from({ length: uploadBytes / piece }, () => jsonBody(target, piece));
  const connection = await Connection.open(target);
  check(target, await connection.exchange(requestHead(target, "POST", "/upload", uploadBytes), body), true);
  connection.close();
  return { amount: uploadBytes / 1024 / 1024, unit: "MiB" };
}

async function download(target: Target): Promise<Work> {
  const connection = await Connection.open(target);
  check(target, await connection.exchange(requestHead(target, "GET", "/download")), false);
  connection.close();
  return { amount: downloadBytes / 1024 / 1024, unit: "MiB" };
}
