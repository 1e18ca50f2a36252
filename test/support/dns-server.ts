// A small DNS server on loopback: answers A and AAAA over UDP from a table that tests change as they go.

import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { parseIp } from "../../src/core/authority/ip.ts";

/** What is answered for one name and type. Nothing for it: NXDOMAIN if the name has no other type, else no data. */
export type DnsAnswer = DnsRecords | { readonly fail: "servfail" | "silence" | "garbage" };

export interface DnsRecords {
  readonly addresses: readonly string[];
  /** Seconds. */
  readonly ttl: number;
  /** An alias (CNAME) that stands between. */
  readonly via?: { readonly name: string; readonly ttl: number };
}

export interface DnsServer {
  /** For `new NameResolver({ servers: [address] })`. */
  readonly address: string;
  /** `A name` and `AAAA name`, in the order they were asked. */
  readonly questions: string[];
  set(type: "A" | "AAAA", name: string, answer: DnsAnswer | undefined): void;
  /** Holds all answers back until the returned function is called. */
  hold(): () => void;
  close(): Promise<void>;
}

const types: Readonly<Record<number, "A" | "AAAA">> = { 1: "A", 28: "AAAA" };

export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket("udp4");
  const table = new Map<string, DnsAnswer>();
  const questions: string[] = [];
  let held: (() => void)[] | undefined;

  const answer = (query: Buffer, peer: RemoteInfo) => {
    const { name, type, end } = readQuestion(query);
    const kind = types[type];
    const found = kind && table.get(`${kind} ${name}`);
    if (found && "fail" in found && found.fail === "silence") return;
    if (found && "fail" in found && found.fail === "garbage") {
      socket.send(
        Buffer.concat([query.subarray(0, 2), Buffer.from("ffffffffffffffffffffffff", "hex")]),
        peer.port,
        peer.address,
      );
      return;
    }
    const nameExists = table.has(`A ${name}`) || table.has(`AAAA ${name}`);
    const code = found && "fail" in found ? 2 : nameExists ? 0 : 3;
    const records = found && "addresses" in found ? writeRecords(type, found) : [];
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | code, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    socket.send(Buffer.concat([head, query.subarray(12, end), ...records]), peer.port, peer.address);
  };

  socket.on("message", (query, peer) => {
    const { name, type } = readQuestion(query);
    questions.push(`${types[type] ?? type} ${name}`);
    if (held) held.push(() => answer(query, peer));
    else answer(query, peer);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");

  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions,
    set(type, name, value) {
      if (value === undefined) table.delete(`${type} ${name}`);
      else table.set(`${type} ${name}`, value);
    },
    hold() {
      held = [];
      return () => {
        const release = held ?? [];
        held = undefined;
        for (const send of release) send();
      };
    },
    async close() {
      socket.close();
      await once(socket, "close");
    },
  };
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query.readUInt8(at); length !== 0; length = query.readUInt8(at)) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  // Askers mix the case of letters to make forged answers harder.
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function writeRecords(type: number, answer: DnsRecords): Buffer[] {
  const question = Buffer.from([0xc0, 12]);
  if (answer.via === undefined)
    return answer.addresses.map((each) => record(question, type, answer.ttl, bytesOf(each)));
  const alias = writeName(answer.via.name);
  return [
    record(question, 5, answer.via.ttl, alias),
    ...answer.addresses.map((each) => record(alias, type, answer.ttl, bytesOf(each))),
  ];
}

function record(name: Buffer, type: number, ttl: number, data: Buffer): Buffer {
  const middle = Buffer.alloc(10);
  middle.writeUInt16BE(type, 0);
  middle.writeUInt16BE(1, 2);
  middle.writeUInt32BE(ttl, 4);
  middle.writeUInt16BE(data.length, 8);
  return Buffer.concat([name, middle, data]);
}

function writeName(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label, "latin1")]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

function bytesOf(address: string): Buffer {
  const ip = parseIp(address);
  if (ip === undefined) throw new Error(`not an address: ${address}`);
  const isMapped = ip.family === 4 && address.includes(":");
  const hex = isMapped ? `ffff${ip.value.toString(16).padStart(8, "0")}` : ip.value.toString(16);
  return Buffer.from(hex.padStart(ip.family === 6 || isMapped ? 32 : 8, "0"), "hex");
}
